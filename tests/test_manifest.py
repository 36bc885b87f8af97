"""Notes: what a reader of a result is told before the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from framework import Costs, Instrument, Market, Result, Strategy, backtest, market_brief
from framework.llm.decision import Decision
from tests.market_frames import PERP, candles, market


class Buys(Strategy):
    """Buy far too much at every bar, and a little less than a lot at the first."""

    def setup(self):
        self.count = 0

    def on_bar(self, bar, broker):
        broker.buy(qty=1e6 if self.count else 1e-9)
        self.count += 1


def noted(result: Result, words: str) -> list[str]:
    """Notes that hold some words; the terminal shows each."""
    found = [note for note in result.notes if words in note]
    assert all(note in result.table() for note in found)
    return found


def test_rejected_orders_are_counted_by_reason() -> None:
    result = backtest(Buys, market(60))
    assert noted(result, "rejected") == [
        "59 of 60 orders rejected: insufficient margin (58), below lot (1)"  # the last never arrives
    ]


@pytest.mark.parametrize(
    ("options", "told"), [({}, False), ({"leverage": 2.0}, True), ({"margin": "isolated"}, True)]
)
def test_leverage_without_tiers_is_told(options: dict[str, Any], told: bool) -> None:
    words = [f"{PERP}: no margin tiers: nothing is liquidated before equity 0"]
    assert noted(backtest(Buys, market(20, id=PERP), **options), "tiers") == (words if told else [])
    coin = Instrument(PERP, "linear", 0.1, 0.001, tiers=[(1e9, 0.005, 0.0)])
    tiered = Market.from_candles(candles(20), coin, "1m", "open")
    assert noted(backtest(Buys, tiered, **options), "tiers") == []


def test_an_unknown_venue_is_told() -> None:
    def words(id: Any, **options: Any) -> list[str]:
        one = Market.from_candles(candles(20), id, "1m", "open")
        return noted(backtest(Buys, one, **options), "unknown venue")

    both = "the default fee 0.001 and no price and quantity grid"
    assert words("binanec:BTCUSDT") == [
        f"binanec:BTCUSDT: unknown venue (did you mean binance, binance-us, binance-futures?): {both}"
    ]
    assert words("own:BTCUSDT") == [f"own:BTCUSDT: unknown venue: {both}"]
    assert words("own:BTCUSDT", costs=Costs(maker=0.0, taker=0.0)) == [
        "own:BTCUSDT: unknown venue: no price and quantity grid"
    ]
    assert words(Instrument("own:BTCUSDT", tick_size=0.01, maker=0.0, taker=0.0)) == []
    assert words("coinbase:BTC-USD") == []


class Asks(Strategy):
    """Ask every hour."""

    ask_every = "1h"

    def ask(self, view):
        return market_brief(view)

    def on_signal(self, signal, broker):
        pass


class Silent:
    """An analyst that never answers."""

    name, model, stand_in = "silent", "silent", False

    def decide(self, prompts: Sequence[Any]) -> list[Decision]:
        words = ["HTTP 500, after 3 attempts; run again to ask only what is missing"] * (len(prompts) - 1)
        return [
            Decision(p.ts, 0, 0, "missing", None, "", 0.0, 0, "", (why,), (), "silent")
            for p, why in zip(prompts, [*words, "timeout"], strict=True)
        ]


def test_missing_decisions_say_why() -> None:
    result = backtest(Asks, market(300), analyst=Silent())
    assert result.status == "incomplete"
    assert noted(result, "missing") == [
        "INCOMPLETE: 5 of 5 decisions are missing; run again to ask only those; most often (4): HTTP 500, "
        "after 3 attempts"
    ]


def test_every_decision_names_its_instrument_by_id() -> None:
    for analyst in (None, Silent()):  # answered and missing
        found = backtest(Asks, market(300), analyst=analyst)
        assert found.decisions["instrument"].unique().to_list() == [found.price["instrument"][0]]
