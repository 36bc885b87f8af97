"""The canary: five fixed questions at the start and at the end of a recording. Was it one model all along?

A relay may put another model, or another snapshot, behind a name (arXiv:2603.01919 found it in 45.83 % of the
fingerprint tests of three relays). So the same five questions are asked anew at both ends, under sample
indices of their own, and whatever the relay tells of the model, and what the model says, is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from framework.llm.decision import Prompt
from framework.llm.prompt import Brief
from framework.llm.record import Record, Reply, judge, key_of

FIRST_SAMPLE = 1_000_000  # sample index of turn 0: far from those of any question
WATCHED = 50  # questions from which on a recording is watched
CHANGED = 3  # of five directions: at a temperature one or two may change by themselves
APART = 0.25  # mean difference of confidence, where directions agree
_TS, _HOUR = 1_262_304_000_000_000_000, 3_600_000_000_000  # 2010-01-01, a year without a market
_CASES = (  # change over 24 h, RSI, MACD histogram, Bollinger position, trend, slope, step of a candle
    (0.062, 66.0, 0.35, 0.86, 2.4, 0.50, 0.80),  # a rise
    (-0.058, 33.0, -0.34, 0.15, -2.3, -0.48, -0.80),  # a fall
    (0.001, 50.4, 0.01, 0.52, 0.05, 0.01, 0.02),  # nothing
    (-0.012, 27.0, -0.05, 0.03, -0.30, -0.06, -0.25),  # the lower edge of a range
    (0.034, 78.0, -0.10, 1.08, 1.10, -0.04, 0.45),  # signs that disagree
)
COUNT = len(_CASES)


class Shelf(Protocol):
    """Where the counter is kept: text by key."""

    def get(self, key: str) -> str | None: ...

    def set(self, key: str, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Seen:
    """What one turn of the canary showed. Answers are (direction or status, confidence), in order."""

    models: tuple[str, ...]  # as echoed, each once
    fingerprints: tuple[str, ...]
    answers: tuple[tuple[str, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-serialisable fields, for `describe`."""
        return {"models": [*self.models], "fingerprints": [*self.fingerprints],
                "answers": [f"{word} {confidence:.2f}" for word, confidence in self.answers]}  # fmt: skip


@cache
def prompts() -> tuple[Prompt, ...]:
    """Return the five questions; their bytes never change within a version of the brief."""
    return tuple(Prompt.of(_brief(*case)) for case in _CASES)


def _brief(change: float, rsi: float, hist: float, band: float, trend: float, slope: float,
           step: float) -> Brief:
    closes = [100.0 - (4 - k) * step for k in range(5)]
    candles = tuple(
        (_TS - (4 - k) * _HOUR, close - step, max(close, close - step) + 0.2, min(close, close - step) - 0.2,
         close, 1000.0 + 10.0 * k)
        for k, close in enumerate(closes)
    )  # fmt: skip
    return Brief(
        ts=_TS, symbol="CANARY", interval_ns=_HOUR, price=100.0, bar_ts=_TS, change_24h=change, rsi=rsi,
        macd=2.0 * hist, macd_signal=hist, macd_hist=hist, bollinger=band, atr=1.0, trend=trend, slope=slope,
        volatility=0.006, volatility_long=0.006, candles=candles,
    )  # fmt: skip


def sample_of(turn: int) -> int:
    """Return the sample index of a turn: 0 at the start of the first recording, 1 at its end, and so on."""
    return FIRST_SAMPLE + turn


def seen(records: Sequence[Record | None]) -> Seen:
    """Return what a turn showed.

    Parameters
    ----------
    records : those of `prompts()`, in that order; None = unanswered
    """
    answers = []
    for record, prompt in zip(records, prompts(), strict=True):
        if record is None:
            answers.append(("missing", 0.0))
            continue
        verdict = judge(Reply(**record["reply"]), prompt)
        signal = verdict.signal
        answers.append((signal.direction, signal.confidence) if signal else (verdict.status, 0.0))
    replies = [record["reply"] for record in records if record is not None]
    models, prints = ({str(r[n]) for r in replies if r[n]} for n in ("model", "fingerprint"))
    return Seen(tuple(sorted(models)), tuple(sorted(prints)), tuple(answers))


def alarms(before: Seen, after: Seen) -> tuple[str, ...]:
    """Return what changed between two turns, one sentence each; () = nothing that chance does not explain.

    The model's echo and its fingerprint must be the same. Answers may differ by chance: it is an alarm when
    three of five directions do, or when confidence moves by more than 0.25 on average where they agree.
    """
    found = []
    for name, was, now in (
        ("model echoed", before.models, after.models),
        ("system fingerprint", before.fingerprints, after.fingerprints),
    ):
        if was != now:
            found.append(f"canary: the {name} changed from {_listed(was)} to {_listed(now)}")
    pairs = [
        (a, b) for a, b in zip(before.answers, after.answers, strict=True) if "missing" not in (a[0], b[0])
    ]
    if len(pairs) < COUNT:
        found.append(f"canary: {COUNT - len(pairs)} of {COUNT} questions stayed unanswered, so less is known")
    changed = sum(a[0] != b[0] for a, b in pairs)
    if changed >= CHANGED:
        found.append(f"canary: {changed} of {COUNT} answers changed direction since the start")
    same = [abs(a[1] - b[1]) for a, b in pairs if a[0] == b[0]]
    if same and sum(same) / len(same) > APART:
        found.append(f"canary: confidence moved by {sum(same) / len(same):.2f} on average since the start")
    return tuple(found)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(repr(name) for name in names) or "not told"


def is_due(client: Any, count: int) -> bool:
    """True when a recording of so many questions is watched: not where the canary would cost more than it."""
    return bool(client.canary) and client.mode != "live" and count >= WATCHED


def requests(client: Any, sample: int) -> dict[str, tuple[Prompt, Record]]:
    """Return the questions of one turn by key, put the way the client puts its own."""
    rows = [(one, {**client.request(one), "sample": sample}) for one in prompts()]
    return {key_of(request): (prompt, request) for prompt, request in rows}


def extra(client: Any, count: int) -> list[Record]:
    """Return what the canary will ask beside so many questions, at both ends; it is part of the price."""
    turns = (0, 1) if is_due(client, count) else ()
    return [row for turn in turns for _, row in requests(client, sample_of(turn)).values()]


class Canary:
    """The turns of one recording.

    Parameters
    ----------
    ask : sample index -> records of `prompts()` in order, None where one stayed unanswered
    shelf, name : where the counter of turns is kept, so that every turn is asked anew
    """

    def __init__(self, ask: Callable[[int], Sequence[Record | None]], shelf: Shelf, name: str) -> None:
        self._ask, self._shelf, self._name = ask, shelf, name
        self.turns: list[tuple[int, Seen]] = []

    def turn(self) -> Seen:
        """Ask all questions anew; the counter moves first, so that a killed turn is not repeated."""
        text = self._shelf.get(self._name)
        number = int(text) if text is not None and text.isdigit() else 0
        self._shelf.set(self._name, str(number + 1))
        found = seen(self._ask(sample_of(number)))
        self.turns.append((number, found))
        return found

    @property
    def alarms(self) -> tuple[str, ...]:
        """What changed since the first turn of this recording, each once."""
        later = [alarms(self.turns[0][1], one) for _, one in self.turns[1:]] if self.turns else []
        return tuple(dict.fromkeys(words for found in later for words in found))

    def describe(self) -> dict[str, Any]:
        """Return what a manifest pins. JSON-serialisable."""
        return {
            "turns": [{"sample": sample_of(number), **one.to_dict()} for number, one in self.turns],
            "alarms": [*self.alarms],
        }  # fmt: skip
