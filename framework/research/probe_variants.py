"""Other versions of a question: mirrored, shuffled, with a part deleted. Time, symbol and price stay."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.llm.decision import Prompt
from framework.llm.facts import Fact
from framework.llm.masking import Mask
from framework.llm.prompt import Brief, Candle, make_brief
from framework.llm.recall import recall_prompt, reidentify_prompt
from framework.llm.technical import WINDOW
from framework.llm.written import DAY_NS

ORIGINAL, MASKED, MIRRORED, SHUFFLED = "original", "masked", "mirrored", "shuffled"
DELETION, SAMPLES, RECALL, REIDENTIFY = "deletion", "samples", "recall", "reidentify"
TESTS = (MASKED, MIRRORED, SHUFFLED, DELETION, SAMPLES, RECALL, REIDENTIFY)

FLOW = (
    "book_imbalance", "bid_volume", "ask_volume", "mid", "spread", "depth_imbalance", "bid_total",
    "ask_total", "buy_pressure", "trade_size", "flow_pressure",
)  # fmt: skip
SIGNED = ("macd", "macd_signal", "macd_hist", "trend", "slope", "book_imbalance", "depth_imbalance")
BLOCKS: dict[str, tuple[str, ...]] = {  # what `deletion` takes away, one at a time
    "momentum": ("rsi", "macd", "macd_signal", "macd_hist", "bollinger"),
    "trend": ("trend", "slope", "change_24h"),
    "volatility": ("atr", "volatility", "volatility_long"),
    "candles": ("candles",),
    "flow": (*FLOW, "flow_trades"),
    "added": ("features", "facts"),
}
EMPTY: dict[str, Any] = {"candles": (), "flow_trades": 0, "features": (), "facts": ()}

Bars = Callable[[Prompt], NDArray[Any]]  # history of a question's instrument as known then


@dataclass(frozen=True, slots=True)
class Asked:
    """One question of the probe."""

    test: str
    row: int  # which of the chosen questions it was made of
    prompt: Prompt
    detail: str = ""  # the deleted block
    sample: int = 0


def variants(tests: Sequence[str], chosen: Sequence[Prompt], bars: Bars, seed: int,
             samples: int) -> Iterator[Asked]:
    """Yield every question of the tests; those of `original` always."""
    mask = Mask(seed)
    for row, prompt in enumerate(chosen):
        yield Asked(ORIGINAL, row, prompt)
        if MASKED in tests:
            yield Asked(MASKED, row, mask.prompt(prompt))
        if MIRRORED in tests and (other := mirrored(prompt.brief)) is not None:
            yield Asked(MIRRORED, row, Prompt.of(other, prompt.instrument))
        if SHUFFLED in tests:
            rng = random.Random(f"{seed}|{row}")
            donor = chosen[int(rng.random() * len(chosen))].brief
            brief = shuffled(prompt.brief, bars(prompt), donor, rng)
            yield Asked(SHUFFLED, row, Prompt.of(brief, prompt.instrument))
        if DELETION in tests:
            for name, brief in deletions(prompt.brief):
                yield Asked(DELETION, row, Prompt.of(brief, prompt.instrument), name)
        if SAMPLES in tests:
            yield from (Asked(SAMPLES, row, prompt, "", k) for k in range(1, samples))
        if RECALL in tests:
            yield Asked(RECALL, row, recall_prompt(prompt))
        if REIDENTIFY in tests:
            yield Asked(REIDENTIFY, row, reidentify_prompt(mask.prompt(prompt)))


def mirrored(brief: Brief) -> Brief | None:
    """Return the brief of the market upside down: every price x becomes 2P - x at the current price P.

    All indicators of the brief follow exactly, since averages are linear: RSI becomes 100 - RSI, MACD and
    trend change sign, ATR stays. Bids become asks and buyers sellers. None where a price would not be
    positive. Features, and facts that are no price, stay as they are: nobody knows their other side.
    """
    price = brief.price
    candles = tuple(_flipped(one, price) for one in brief.candles)
    facts = tuple(_flipped_fact(one, price) for one in brief.facts)
    before = None if brief.change_24h is None else 2.0 * price - price / (1.0 + brief.change_24h)
    prices = [*(one[3] for one in candles), *(one[1] for one in facts if one[2] == "price")]
    prices += [one for one in (before, _around(brief.mid, price)) if one is not None]
    if any(not isinstance(one, str) and one <= 0.0 for one in prices):
        return None
    turned: dict[str, Any] = {name: _around(getattr(brief, name), 0.0) for name in SIGNED}
    return replace(
        brief, candles=candles, facts=facts, change_24h=None if before is None else price / before - 1.0,
        rsi=_around(brief.rsi, 50.0), bollinger=_around(brief.bollinger, 0.5), mid=_around(brief.mid, price),
        buy_pressure=_around(brief.buy_pressure, 0.5), flow_pressure=_around(brief.flow_pressure, 0.5),
        bid_volume=brief.ask_volume, ask_volume=brief.bid_volume, bid_total=brief.ask_total,
        ask_total=brief.bid_total, **turned,
    )  # fmt: skip


def _around(value: float | None, centre: float) -> float | None:
    return None if value is None else 2.0 * centre - value


def _flipped(candle: Candle, price: float) -> Candle:
    close_ts, first, high, low, last, size = candle
    first, high, low, last = (2.0 * price - one for one in (first, low, high, last))
    return close_ts, first, high, low, last, size


def _flipped_fact(fact: Fact, price: float) -> Fact:
    name, value, unit = fact
    return (name, 2.0 * price - float(value), unit) if unit == "price" else fact


def shuffled(brief: Brief, bars: NDArray[Any], donor: Brief, rng: random.Random) -> Brief:
    """Return the brief of a made-up history that ends at the same price, at the same time.

    The returns of the last bars come in an order drawn at random and half of them upside down, so that
    neither order nor drift is left; book, trades, features and facts are those of another question. What a
    model still knows of the future here, it knows from symbol, time and price alone.
    """
    rows = random_bars(bars[-history(brief.interval_ns) :], brief.price, rng)
    made = make_brief(brief.ts, brief.symbol, brief.interval_ns, rows)
    level = brief.price / donor.price
    taken: dict[str, Any] = {name: getattr(donor, name) for name in (*FLOW, "flow_trades", "features")}
    if donor.mid is not None:
        taken["mid"] = donor.mid * level
    facts = tuple(
        (name, float(value) * level, unit) if unit == "price" else (name, value, unit)
        for name, value, unit in donor.facts
    )
    return replace(made, **taken, facts=facts, instructions=brief.instructions, version=brief.version)


def history(interval_ns: int) -> int:
    """Return how many bars a brief can show: the window of its indicators, and those of 24 hours."""
    return max(WINDOW, DAY_NS // interval_ns + 1) + 1


def random_bars(bars: NDArray[Any], price: float, rng: random.Random) -> NDArray[Any]:
    """Return bars with the same times, their shapes in random order and half of them upside down."""
    if len(bars) < 2:
        return bars
    before = bars["close"][:-1]
    shape = {name: bars[name][1:] / before for name in ("open", "high", "low", "close")}
    order = sorted(range(len(before)), key=[rng.random() for _ in before].__getitem__)
    flip = np.array([rng.random() < 0.5 for _ in before])
    kept = {name: part[order] for name, part in shape.items()}
    other = {"open": "open", "high": "low", "low": "high", "close": "close"}
    drawn = {name: np.where(flip, 1.0 / kept[other[name]], kept[name]) for name in kept}
    path = np.multiply.accumulate(drawn["close"])
    start = np.concatenate(([1.0], path[:-1])) / path[-1] * price
    found = bars.copy()
    for name, part in drawn.items():
        found[name][1:] = start * part
        found[name][0] = start[0]
    found["close"][-1] = price
    found["high"][-1], found["low"][-1] = max(price, found["high"][-1]), min(price, found["low"][-1])
    found["volume"][1:] = bars["volume"][1:][order]
    return found


def deletions(brief: Brief) -> Iterator[tuple[str, Brief]]:
    """Yield (block, brief without it) for each block the brief has."""
    for name, fields in BLOCKS.items():
        found: dict[str, Any] = {field: EMPTY.get(field) for field in fields}
        if any(getattr(brief, field) != empty for field, empty in found.items()):
            yield name, replace(brief, **found)
