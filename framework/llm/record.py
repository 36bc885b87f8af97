"""One recorded answer as plain JSON: what was asked, what came back, the verdict, what it cost.

The key is the sha256 of the canonical JSON of exactly what is sent, plus the schema version, the endpoint's
alias and the sample index. No clock, no host port, no secret is part of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from framework.errors import DataError, SignalError
from framework.llm.decision import SIGNAL_KIND, Decision, Prompt
from framework.llm.reply import PARSER

if TYPE_CHECKING:
    from framework.llm.signal import Parsed

SCHEMA = 1
Record = dict[str, Any]
FIELDS = frozenset({
    "key", "request", "analyst", "stand_in", "ts", "symbol", "price", "masked", "reply", "status", "problems",
    "repairs", "signal", "parser", "tries", "latency_ns", "waited_ns", "attempts", "cost", "digest",
})  # fmt: skip
SIGNAL_FIELDS = ("regime", "direction", "confidence", "reasoning", "suggested_entry", "stop_loss",
                 "take_profit", "position_size_pct")  # fmt: skip
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
REPLAY_CHANGED = "recorded as ok, but this version refuses it: "


def canonical(value: object) -> str:
    """Return canonical JSON: sorted keys, no spaces, ASCII only.

    Raises
    ------
    SignalError
        A number is not finite, or the value is not JSON.
    """
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise SignalError(f"request or reply cannot be written as JSON: {error}") from None


def key_of(request: Record) -> str:
    """Return the content address (sha256, hex) of a request."""
    return hashlib.sha256(canonical(request).encode("ascii")).hexdigest()


def request_of(endpoint: str, body: Record, sample: int = 0) -> Record:
    """Return key material: schema version, endpoint alias, sample index and the body as sent."""
    return {"schema": SCHEMA, "endpoint": endpoint, "sample": sample, "body": body}


def messages_of(prompt: Prompt) -> list[dict[str, str]]:
    """Return the chat messages of a prompt."""
    return [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.text}]


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply as the endpoint gave it; `extra` keeps every field nobody asked for."""

    text: str
    finish_reason: str | None = "stop"
    tool_calls: bool = False
    model: str = ""  # as echoed
    fingerprint: str = ""
    id: str = ""
    usage: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)  # the few that are kept, freed of our key
    problem: str = ""  # why there is a reply but no text to read, e.g. it was too large


@dataclass(frozen=True, slots=True)
class Cost:
    """What one answer cost in USD, and on which price."""

    usd: float = 0.0
    basis: str = "free"  # the price's source and date
    estimated: bool = False  # True when the reply told no usage, or one that cannot be true


def judge(reply: Reply, prompt: Prompt) -> Parsed:
    """Return the verdict on a reply to `prompt`."""
    from framework.llm.signal import Parsed, parse

    if reply.problem:
        return Parsed(None, "invalid", (), (reply.problem,))
    if prompt.kind != SIGNAL_KIND:
        from framework.llm.recall import judge_recall

        return judge_recall(reply, prompt.kind)
    return parse(reply.text, price=prompt.brief.price, finish_reason=reply.finish_reason,
                 tool_calls=reply.tool_calls, symbol=prompt.brief.symbol, ts=prompt.ts)  # fmt: skip


def make_record(request: Record, prompt: Prompt, reply: Reply, verdict: Parsed, *, analyst: str,
                stand_in: bool, latency_ns: int, waited_ns: int = 0, attempts: int = 1,
                cost: Cost | None = None, tries: Sequence[Record] = (),
                masked: Record | None = None) -> Record:
    """Return the sealed record of one answer.

    Parameters
    ----------
    latency_ns : wire time of the successful attempts, all turns summed, ns
    waited_ns : time lost to failed attempts and to waiting between them, ns
    attempts : HTTP attempts of all turns
    cost : of all turns
    tries : the earlier turns under this key, oldest first; `reply` is the last one
    masked : the mask the question was asked through; None = as it is
    """
    return seal({
        "key": key_of(request), "request": request, "analyst": analyst, "stand_in": stand_in,
        "ts": prompt.ts, "symbol": prompt.brief.symbol, "price": prompt.brief.price,
        "masked": masked or (None if prompt.mask is None else {"seed": prompt.mask}),
        "reply": _dict_of(reply), "status": verdict.status,
        "problems": list(verdict.problems), "repairs": list(verdict.repairs),
        "signal": signal_fields(verdict), "parser": PARSER, "tries": list(tries),
        "latency_ns": int(latency_ns), "waited_ns": int(waited_ns), "attempts": int(attempts),
        "cost": _dict_of(cost or Cost()),
    })  # fmt: skip


def signal_fields(verdict: Parsed) -> Record | None:
    """Return what the model said of a valid signal, as plain JSON; None when there is none."""
    if verdict.signal is None:
        return None
    return {name: getattr(verdict.signal, name) for name in SIGNAL_FIELDS}


def digest_of(record: Mapping[str, Any]) -> str:
    """Return the checksum over everything in a record but itself: 32 hex digits of sha256."""
    text = canonical({name: value for name, value in record.items() if name != "digest"})
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


def seal(record: Mapping[str, Any]) -> Record:
    """Return the record with its checksum, whatever it had before."""
    return {**record, "digest": digest_of(record)}


def check(record: Any, where: str = "record") -> None:
    """Refuse a record that is not whole: its fields, its key, its checksum; `where` is for the error.

    Raises
    ------
    DataError
        Fields are missing or unknown (another version wrote it), the key is not that of its request, or a
        byte of it was altered.
    """
    if not isinstance(record, dict) or not isinstance(record.get("request"), dict):
        raise DataError(f"{where}: not a record; copy it again or record it again with --refresh")
    if record.keys() != FIELDS:
        odd = ", ".join(sorted(map(str, record.keys() ^ FIELDS)))
        raise DataError(
            f"{where}: fields {odd} are missing or unknown, another version wrote it; "
            "record it again with --refresh"
        )
    try:
        if key_of(record["request"]) != record["key"]:
            raise DataError(
                f"{where}: the key is not that of its request: the record was altered; copy it again or "
                "record it again with --refresh"
            )
        if digest_of(record) != record["digest"]:
            raise DataError(
                f"{where}: its checksum differs: the record was altered; copy it again or record it again "
                "with --refresh"
            )
    except SignalError as error:
        raise DataError(f"{where}: {error}; copy it again") from None


def _dict_of(row: Reply | Cost) -> Record:
    """Return the fields as they are: `asdict` would copy what a relay nested, level by level."""
    return {one.name: getattr(row, one.name) for one in fields(row)}


def to_decision(record: Record, prompt: Prompt, in_sample: int) -> Decision:
    """Return the decision a record gives for a prompt; a recorded abstention stays one.

    The recorded signal counts; one that was read by other rules (`parser`) is read again from the reply.

    Raises
    ------
    SignalError
        The record lacks a field.
    """
    try:
        status, problems = record["status"], tuple(record["problems"])
        repairs, signal = tuple(record["repairs"]), None
        if status == "ok":
            verdict = _verdict(record, prompt)
            signal = verdict.signal
            if signal is None:
                status, problems = verdict.status, tuple(REPLAY_CHANGED + p for p in verdict.problems)
        return Decision(
            ts=prompt.ts, instrument=prompt.instrument, latency_ns=int(record["latency_ns"]), status=status,
            signal=signal, reasoning=signal.reasoning if signal else "", cost=float(record["cost"]["usd"]),
            in_sample=in_sample, key=record["key"], problems=problems, repairs=repairs,
            model=str(record["request"]["body"]["model"]), waited_ns=int(record["waited_ns"]),
            sample=int(record["request"]["sample"]), tries=len(record["tries"]),
        )  # fmt: skip
    except (KeyError, TypeError) as error:
        raise SignalError(f"record lacks {error}; record the decision again with --refresh") from None


def _verdict(record: Record, prompt: Prompt) -> Parsed:
    """Return the verdict on a record that was ok: as recorded, or anew when the rules changed since."""
    from framework.llm.signal import Parsed, TradingSignal

    if record["parser"] != PARSER or prompt.kind != SIGNAL_KIND:
        return judge(Reply(**record["reply"]), prompt)
    try:
        signal = TradingSignal(**record["signal"], symbol=prompt.brief.symbol, timestamp=prompt.ts)
        return Parsed(signal, "ok")
    except ValueError:
        return Parsed(None, "invalid", (), ("its signal breaks its own rules",))


def missing(prompt: Prompt, key: str, model: str, in_sample: int, problem: str) -> Decision:
    """Return the decision of a call that failed: no signal, no cost, never stored."""
    return Decision(
        prompt.ts, prompt.instrument, 0, "missing", None, "", 0.0, in_sample, key, (problem,), (), model
    )  # fmt: skip
