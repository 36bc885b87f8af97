"""One recorded answer as plain JSON: what was asked, what came back, the verdict, what it cost.

The key is the sha256 of the canonical JSON of exactly what is sent, plus the schema version, the endpoint's
alias and the sample index. No clock, no host port, no secret is part of it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from framework.errors import SignalError
from framework.llm.decision import SIGNAL_KIND, Decision, Prompt

if TYPE_CHECKING:
    from framework.llm.signal import Parsed

SCHEMA = 1
Record = dict[str, Any]  # key request analyst stand_in price reply status problems repairs latency_ns ...
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
                cost: Cost | None = None) -> Record:
    """Return the record of one answer.

    Parameters
    ----------
    latency_ns : wire time of the successful attempt, ns
    waited_ns : time lost before it to failed attempts and to waiting between them, ns
    """
    return {
        "key": key_of(request),
        "request": request,
        "analyst": analyst,
        "stand_in": stand_in,
        "price": prompt.brief.price,
        "reply": _dict_of(reply),
        "status": verdict.status,
        "problems": list(verdict.problems),
        "repairs": list(verdict.repairs),
        "latency_ns": int(latency_ns),
        "waited_ns": int(waited_ns),
        "attempts": int(attempts),
        "cost": _dict_of(cost or Cost()),
    }


def _dict_of(row: Reply | Cost) -> Record:
    """Return the fields as they are: `asdict` would copy what a relay nested, level by level."""
    return {one.name: getattr(row, one.name) for one in fields(row)}


def to_decision(record: Record, prompt: Prompt, in_sample: int, verdict: Parsed | None = None) -> Decision:
    """Return the decision a record gives for a prompt; a recorded abstention stays one.

    Raises
    ------
    SignalError
        The record lacks a field.
    """
    try:
        status, problems = record["status"], tuple(record["problems"])
        repairs, signal = tuple(record["repairs"]), None
        if status == "ok":
            verdict = verdict or judge(Reply(**record["reply"]), prompt)
            signal = verdict.signal
            if signal is None:
                status, problems = verdict.status, tuple(REPLAY_CHANGED + p for p in verdict.problems)
        return Decision(
            ts=prompt.ts, instrument=prompt.instrument, latency_ns=int(record["latency_ns"]), status=status,
            signal=signal, reasoning=signal.reasoning if signal else "", cost=float(record["cost"]["usd"]),
            in_sample=in_sample, key=record["key"], problems=problems, repairs=repairs,
            model=str(record["request"]["body"]["model"]),
        )  # fmt: skip
    except (KeyError, TypeError) as error:
        raise SignalError(f"record lacks {error}; record the decision again with --refresh") from None


def missing(prompt: Prompt, key: str, model: str, in_sample: int, problem: str) -> Decision:
    """Return the decision of a call that failed: no signal, no cost, never stored."""
    return Decision(
        prompt.ts, prompt.instrument, 0, "missing", None, "", 0.0, in_sample, key, (problem,), (), model
    )  # fmt: skip
