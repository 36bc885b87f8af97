"""A question and its answer: plain records, without network and without pydantic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from framework.errors import SignalError
from framework.llm.prompt import SYSTEM, Brief, render
from framework.records import DIRECTIONS, REGIMES, SIGNAL, SIGNAL_STATUS

if TYPE_CHECKING:
    from framework.llm.signal import TradingSignal

SIGNAL_KIND = "signal"
_LEVELS = {"entry": "suggested_entry", "stop": "stop_loss", "target": "take_profit",
           "risk_reward": "risk_reward_ratio"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question. `text` is the user message exactly as it is sent; it is the identity of the answer."""

    ts: int  # ns; when it is asked
    instrument: int  # index in Market.instruments
    brief: Brief
    text: str
    system: str = SYSTEM
    kind: str = SIGNAL_KIND  # what is answered: a signal, or "recall", "reidentify" (see `recall`)
    mask: int | None = None  # seed of the mask it is asked through

    @classmethod
    def of(cls, brief: Brief, instrument: int = 0) -> Prompt:
        """Return the prompt of a brief, through the one renderer."""
        system, text = render(brief)
        return cls(brief.ts, instrument, brief, text, system)

    @property
    def version(self) -> str:
        """Name of the wording, of `market_brief(version=)`; "" when it has none."""
        return self.brief.version

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-serialisable fields."""
        return asdict(self)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Prompt:
        """Rebuild a prompt written by `to_dict`."""
        fields = dict(row["brief"])
        fields["candles"] = tuple(tuple(candle) for candle in fields["candles"])
        for name in ("features", "facts"):
            fields[name] = tuple(tuple(pair) for pair in fields.get(name, ()))
        return cls(**{**row, "brief": Brief(**fields)})


@dataclass(frozen=True, slots=True)
class Decision:
    """What came back for one prompt. `signal` is None unless status is "ok": only then can orders follow."""

    ts: int  # ns; when it was asked
    instrument: int
    latency_ns: int  # wire time of the successful attempt; the reply arrives at ts + latency_ns
    status: str  # one of records.SIGNAL_STATUS
    signal: TradingSignal | None
    reasoning: str
    cost: float  # USD, booked per decision
    in_sample: int  # 1 = the model may remember this time
    key: str
    problems: tuple[str, ...]
    repairs: tuple[str, ...]
    model: str  # the model that was asked
    waited_ns: int = 0  # failed attempts and waiting before the answer; not part of its arrival
    sample: int = 0  # which of several answers to the same question
    tries: int = 0  # earlier turns under the same key that were not valid

    @property
    def arrival_ts(self) -> int:
        """Ns at which the strategy may see it."""
        return self.ts + self.latency_ns

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-serialisable fields."""
        row = {name: getattr(self, name) for name in self.__slots__}
        row["signal"] = None if self.signal is None else self.signal.model_dump()
        row["problems"], row["repairs"] = list(self.problems), list(self.repairs)
        return row

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Decision:
        """Rebuild a decision written by `to_dict`; its signal is validated again.

        Raises
        ------
        SignalError
            A field is missing or unknown, or the signal breaks its own rules.
        """
        from framework.llm.signal import TradingSignal

        fields = dict(row)
        try:
            if fields["signal"] is not None:
                fields["signal"] = TradingSignal.model_validate(fields["signal"])
            for name in ("problems", "repairs"):
                fields[name] = tuple(fields[name])
            return cls(**fields)
        except (KeyError, TypeError, ValueError) as error:
            text = str(error).replace("\n", " ")
            raise SignalError(f"decision record cannot be read: {text}; record it again") from None


def signal_rows(decisions: Sequence[Decision]) -> NDArray[Any]:
    """Return the decisions as a SIGNAL array sorted by arrival (stable); `id` = row in `decisions`.

    Decisions that are not "ok" have their status, cost and times, direction 0 and NaN levels.
    """
    rows = decision_rows(decisions)
    return rows[np.argsort(rows["arrival_ts"], kind="stable")]


def decision_rows(decisions: Sequence[Decision]) -> NDArray[Any]:
    """Return the decisions as a SIGNAL array in their own order."""
    rows = np.zeros(len(decisions), dtype=SIGNAL)
    for name in ("ts", "arrival_ts", "instrument", "cost", "in_sample"):
        rows[name] = [getattr(one, name) for one in decisions]
    rows["id"] = np.arange(len(decisions))
    rows["status"] = [SIGNAL_STATUS.index(one.status) for one in decisions]
    signals = [one.signal for one in decisions]
    rows["regime"] = [REGIMES.index(one.regime if one else "uncertain") for one in signals]
    rows["direction"] = [DIRECTIONS[one.direction] if one else 0 for one in signals]
    rows["confidence"] = [one.confidence if one else 0.0 for one in signals]
    rows["size"] = [one.position_size_pct if one else 0.0 for one in signals]
    for name, field in _LEVELS.items():
        rows[name] = [_level(one, field) for one in signals]
    return rows


def _level(signal: TradingSignal | None, field: str) -> float:
    value = None if signal is None else getattr(signal, field)
    return math.nan if value is None else float(value)
