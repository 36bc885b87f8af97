"""Masking: the same question without the name, the date and the level by which a model could know it.

A price is a date: Bitcoin at 19,783.06 was one hour of one day. So symbol, times, prices and volumes change
together, the answer is mapped back, rounded to the instrument's tick, and only then judged. It is a
diagnosis, not a licence: models rebuild name and date from context (Lopez-Lira, Tang, Zhu: "The Memorization
Problem", arXiv:2504.14765), and a number written otherwise may be read otherwise without any memory.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from framework.errors import ConfigError
from framework.llm import cutoffs
from framework.llm.decision import Decision, Prompt
from framework.llm.facts import Fact
from framework.llm.prompt import Brief, Candle
from framework.llm.record import canonical
from framework.llm.written import DAY_NS

if TYPE_CHECKING:
    from framework.llm.signal import Parsed, TradingSignal

WEEK_NS = 7 * DAY_NS
EPOCH = 978_307_200_000_000_000  # Monday 2001-01-01, before there was any coin
MONDAY = 4 * DAY_NS  # 1970-01-05
LEAST, MOST = 2.0, 20.0  # factors of price and volume, up or down
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"

_PRICES = ("price", "macd", "macd_signal", "macd_hist", "atr", "mid", "entry_price")
_VOLUMES = ("bid_volume", "ask_volume", "bid_total", "ask_total", "trade_size", "position")
_LEVELS = ("suggested_entry", "stop_loss", "take_profit")
_SAID = ("regime", "direction", "confidence", "reasoning", *_LEVELS, "position_size_pct")


@dataclass(frozen=True, slots=True)
class Mask:
    """How questions are masked: everything follows from `seed` and the symbol.

    The symbol becomes `ASSET-xx`; prices and volumes are multiplied by factors of 2 to 20, up or down; all
    times of a question move by whole weeks into the first week of 2001, so that day of the week and time of
    day stay. Text facts, and facts and features whose name shows the symbol, are left out.
    """

    seed: int = 0

    def symbol(self, symbol: str) -> str:
        """Return the name shown instead."""
        draw = self._draw("symbol", symbol)
        return f"ASSET-{LETTERS[draw % 24]}{LETTERS[draw // 24 % 24]}"

    def price_factor(self, symbol: str) -> float:
        """Return what prices are multiplied by."""
        return self._factor("price", symbol)

    def volume_factor(self, symbol: str) -> float:
        """Return what volumes are multiplied by."""
        return self._factor("volume", symbol)

    def brief(self, brief: Brief) -> Brief:
        """Return the masked brief."""
        price, volume = self.price_factor(brief.symbol), self.volume_factor(brief.symbol)
        shift = EPOCH + (brief.ts - MONDAY) % WEEK_NS - brief.ts
        scaled: dict[str, Any] = {name: _times(getattr(brief, name), price) for name in _PRICES}
        scaled |= {name: _times(getattr(brief, name), volume) for name in _VOLUMES}
        told = _words(brief.symbol)
        return replace(
            brief, **scaled, ts=brief.ts + shift, bar_ts=brief.bar_ts + shift,
            symbol=self.symbol(brief.symbol),
            candles=tuple(_candle(one, shift, price, volume) for one in brief.candles),
            features=tuple(pair for pair in brief.features if not _shows(pair[0], told)),
            facts=tuple(
                _fact(one, price, volume)
                for one in brief.facts
                if not (isinstance(one[1], str) or _shows(one[0], told))
            ),
        )  # fmt: skip

    def prompt(self, prompt: Prompt) -> Prompt:
        """Return the masked question."""
        return replace(Prompt.of(self.brief(prompt.brief), prompt.instrument), mask=self.seed)

    def _draw(self, what: str, symbol: str) -> int:
        text = f"{self.seed}|{what}|{symbol}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")

    def _factor(self, what: str, symbol: str) -> float:
        draw = self._draw(what, symbol)
        factor = LEAST + (MOST - LEAST) * (draw // 2 / 2.0**47)
        return factor if draw % 2 else 1.0 / factor


def unmask(parsed: Parsed, prompt: Prompt, mask: Mask, tick: float = 0.0) -> Parsed:
    """Return the verdict on the real question: levels mapped back, rounded to the tick, then judged again.

    Parameters
    ----------
    parsed : the verdict on the masked question
    prompt : the question as it was before masking
    tick : the instrument's step of price; 0 = no grid
    """
    from framework.llm.signal import parse

    if parsed.signal is None:
        return parsed
    said: dict[str, Any] = {name: getattr(parsed.signal, name) for name in _SAID}
    factor = mask.price_factor(prompt.brief.symbol)
    for name in _LEVELS:
        if said[name] is not None:
            said[name] = on_tick(said[name] / factor, tick)
    found = parse(canonical(said), price=prompt.brief.price, symbol=prompt.brief.symbol, ts=prompt.ts)
    problems = tuple(f"unmasked and rounded to {tick:g}: {problem}" for problem in found.problems)
    return replace(found, repairs=parsed.repairs, problems=problems)


def on_tick(price: float, tick: float) -> float:
    """Return the nearest multiple of `tick`, as the number its decimals name; as it is when tick is 0."""
    return float(Decimal(repr(tick)) * round(price / tick)) if tick > 0.0 else price


class Masked:
    """An analyst who is asked through a mask, and answers as if it were not there.

    Parameters
    ----------
    analyst : who answers; its records and its store hold the masked questions
    seed : of the mask
    instruments : those of the market, for their ticks; None = levels are not rounded

    Examples
    --------
    backtest(RegimeTrader, market, analyst=Masked(HolySheep("gpt-4.1"), 1, market.instruments))
    """

    def __init__(self, analyst: Any, seed: int = 0, instruments: Sequence[Any] | None = None) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise ConfigError(f"seed={seed!r} of a mask must be a whole number")
        self.analyst, self.mask = analyst, Mask(seed)
        self.ticks = tuple(float(one.tick_size) for one in instruments or ())
        self.name, self.model = f"{analyst.name}, masked", analyst.model
        self.stand_in = analyst.stand_in

    def __getattr__(self, name: str) -> Any:
        if name in ("analyst", "request") or name.startswith("__"):  # not made yet, or of masked questions
            raise AttributeError(name)
        return getattr(self.analyst, name)  # records, spent, progress, close ...

    def __repr__(self) -> str:
        return f"Masked({self.analyst!r}, seed={self.mask.seed})"

    def decide(self, prompts: Sequence[Prompt]) -> list[Decision]:
        """Return one decision per question, in order, levels in the market's own prices."""
        found = self.analyst.decide([self.mask.prompt(one) for one in prompts])
        return [self._back(one, prompt) for one, prompt in zip(found, prompts, strict=True)]

    def plan(self, prompts: Sequence[Prompt]) -> Any:
        """Return what asking would cost: that of the masked questions."""
        return self.analyst.plan([self.mask.prompt(one) for one in prompts])

    def recorded(self, prompts: Sequence[Prompt]) -> Masked:
        """Return the same for workers: it holds records and nothing that could ask."""
        twin = Masked(self.analyst.recorded([self.mask.prompt(one) for one in prompts]), self.mask.seed)
        twin.ticks = self.ticks
        return twin

    def describe(self) -> dict[str, Any]:
        """Return what a manifest pins."""
        return {**self.analyst.describe(), "name": self.name, "mask": {"seed": self.mask.seed}}

    def _back(self, decision: Decision, prompt: Prompt) -> Decision:
        seen = decision.in_sample
        if not self.stand_in:  # its own was that of the masked time
            seen = cutoffs.in_sample(decision.model, prompt.ts, getattr(self.analyst, "models", None))
        decision = replace(decision, ts=prompt.ts, in_sample=seen)
        if decision.signal is None:
            return decision
        tick = self.ticks[prompt.instrument] if self.ticks else 0.0
        return _judged(decision, decision.signal, prompt, self.mask, tick)


def _judged(decision: Decision, signal: TradingSignal, prompt: Prompt, mask: Mask, tick: float) -> Decision:
    from framework.llm.signal import Parsed

    verdict = unmask(Parsed(signal, "ok", decision.repairs), prompt, mask, tick)
    return replace(
        decision, status=verdict.status, signal=verdict.signal,
        reasoning=verdict.signal.reasoning if verdict.signal else "",
        problems=(*decision.problems, *verdict.problems),
    )  # fmt: skip


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else float(value) * factor


def _candle(candle: Candle, shift: int, price: float, volume: float) -> Candle:
    close_ts, first, high, low, last, size = candle
    return close_ts + shift, first * price, high * price, low * price, last * price, size * volume


def _fact(fact: Fact, price: float, volume: float) -> Fact:
    name, value, unit = fact
    factor = {"price": price, "volume": volume}.get(unit)
    return (name, float(value) * factor, unit) if factor is not None else fact


def _words(symbol: str) -> set[str]:
    """Return what of a symbol would show it: its parts, and the first letters of the pair."""
    raw = symbol.upper().rpartition(":")[2]
    return {part for part in re.split(r"[^A-Z0-9]+", symbol.upper()) if len(part) >= 3} | {raw[:3]}


def _shows(name: str, told: set[str]) -> bool:
    return any(word in name.upper() for word in told)
