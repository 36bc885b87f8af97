"""The proof against looking ahead: honest strategies pass, planted cheats fail, nothing unproved is clean."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest

from framework import Costs, Fills, Latency, Market, Strategy, check_lookahead, market_brief, samples
from framework.errors import ConfigError
from framework.indicators import sma
from framework.llm.prompt import Brief
from framework.research.futures import last_known, moments, scrambled, truncated
from strategies.breakout import Breakout
from strategies.ema_cross import EmaCross
from strategies.pairs import Pairs
from strategies.regime_trader import RegimeTrader


@cache
def hours(count: int = 1500) -> Market:
    """Some weeks of real hourly bars."""
    market = samples.load("btcusd-1h")
    bars = market.match_bars(0)
    return market.slice(None, int(bars["close_ts"][count - 1]))


SMALL: dict[str, Any] = {"cuts": 6, "scrambles": 6}


class Turns(Strategy):
    """Honest: the side of the last bar, now and then."""

    def setup(self):
        self.count = 0

    def on_bar(self, bar, broker):
        self.count += 1
        if self.count % 7 == 0:
            self.take(broker, 1 if bar.close > bar.open else -1)

    def take(self, broker, side):
        if broker.position * side <= 0.0:
            broker.close()
            broker.order(side, share=0.5)


@pytest.mark.parametrize("cls", [EmaCross, Breakout, RegimeTrader, Turns])
def test_shipped_strategies_are_clean(cls: type[Strategy]) -> None:
    proof = check_lookahead(cls, hours(), **SMALL)
    assert proof.ok, str(proof)
    assert proof.verdict == "clean"
    assert proof.compared > 50
    assert (proof.cuts, proof.scrambles) == (6, 6)


def test_two_instruments_are_clean() -> None:
    proof = check_lookahead(Pairs, samples.load("majors-1d"), **SMALL)
    assert proof.ok, str(proof)


@pytest.mark.parametrize(
    "options",
    [
        {"latency": Latency(order=0, response=0)},
        {"latency": Latency(feed="30m", order="10m", response="5m")},
        {"fills": Fills(at="close")},
        {"fills": Fills.like("backtrader"), "latency": Latency(order=0, response=0)},
        {"fills": Fills(volume_share=0.01), "costs": Costs(impact=0.1)},
    ],
    ids=["instant", "slow", "at close", "backtrader", "thin"],
)
def test_no_false_alarm_with_other_rules(options: dict[str, Any]) -> None:
    proof = check_lookahead(EmaCross, hours(), **SMALL, **options)
    assert proof.ok, str(proof)


def test_no_false_alarm_with_funding_and_mark() -> None:
    perp = samples.load("perp-1m").slice(None, "2024-01-04")
    proof = check_lookahead(EmaCross, perp, **SMALL, leverage=2.0)
    assert proof.ok, str(proof)


# ---- planted cheats ----------------------------------------


class KeepsMarket(Turns):
    """Holds the whole market, and buys what will rise."""

    whole: ClassVar[Market] = hours()

    def on_bar(self, bar, broker):
        rows = self.whole.match_bars(0)
        later = np.searchsorted(rows["open_ts"], bar.close_ts)
        self.take(broker, 1 if rows["close"][min(later, len(rows) - 1)] > bar.close else -1)


class LoadsMarket(Turns):
    """Fetches the sample once more inside a hook."""

    def on_bar(self, bar, broker):
        rows = samples.load("btcusd-1h").match_bars(0)
        later = np.searchsorted(rows["open_ts"], bar.close_ts) + 4
        self.take(broker, 1 if rows["close"][later] > bar.close else -1)


class ReachesIntoView(Turns):
    """Goes round the view's clock."""

    def on_bar(self, bar, broker):
        rows = self.view._market.match_bars(0)
        later = min(np.searchsorted(rows["open_ts"], bar.close_ts), len(rows) - 1)
        self.take(broker, 1 if rows["close"][later] > bar.close else -1)


class PeeksOnlyForTheStop(Turns):
    """Sides are honest; the stop lies just below the next bar's low."""

    def on_bar(self, bar, broker):
        rows = self.view._market.match_bars(0)
        later = min(np.searchsorted(rows["open_ts"], bar.close_ts), len(rows) - 1)
        if broker.position == 0.0 and broker.orders == 0:
            broker.order(1, share=0.5, stop=float(rows["low"][later]) * 0.999)


class AsksAboutTomorrow(RegimeTrader):
    """`ask` reads the market beyond the view and asks only before a rise."""

    def ask(self, view) -> Brief | None:
        rows = view._market.match_bars(0)
        later = min(np.searchsorted(rows["close_ts"], view.now) + 2, len(rows) - 1)
        return market_brief(view) if rows["close"][later] > view.price() else None


@pytest.mark.parametrize(
    "cls", [KeepsMarket, LoadsMarket, ReachesIntoView, PeeksOnlyForTheStop, AsksAboutTomorrow]
)
def test_cheats_are_caught(cls: type[Strategy]) -> None:
    proof = check_lookahead(cls, hours(), **SMALL)
    assert proof.verdict == "LOOK-AHEAD", str(proof)
    assert not proof.ok
    assert "real future" in proof.problems[0]


def test_failing_without_the_future_is_looking_ahead() -> None:
    class Indexes(Turns):
        def on_bar(self, bar, broker):
            rows = self.view._market.match_bars(0)
            later = np.searchsorted(rows["open_ts"], bar.close_ts) + 3
            if later < 1500:
                self.take(broker, 1 if rows["close"][later] > bar.close else -1)

    proof = check_lookahead(Indexes, hours(), cuts=3, scrambles=0)
    assert proof.verdict == "LOOK-AHEAD"
    assert "fails without the real future: Indexes.on_bar, test_proofs.py:" in proof.problems[0]


class OnFeature(Turns):
    features = ("edge",)

    def on_bar(self, bar, broker):
        edge = broker.feature("edge")
        if edge == edge:
            self.take(broker, 1 if edge > 0.0 else -1)


def columns(market: Market) -> pl.DataFrame:
    """Return closes and times of a market as a frame."""
    rows = market.match_bars(0)
    return pl.DataFrame({"open_ts": rows["open_ts"], "ts": rows["close_ts"], "close": rows["close"]})


def shifted(market: Market) -> Market:
    """Leak: the next bar's return as if it were known."""
    frame = columns(market).select("ts", edge=pl.col("close").shift(-1) / pl.col("close") - 1.0).drop_nulls()
    return market.with_features(frame)


def joined_on_open(market: Market) -> Market:
    """Leak: four-hour bars joined on the time they begin (freqtrade 12507)."""
    frame = columns(market)
    high = frame.group_by((pl.col("open_ts") // (4 * 3600 * 10**9)).alias("slot"), maintain_order=True).agg(
        ts=pl.col("open_ts").first(), edge=pl.col("close").last() / pl.col("close").first() - 1.0
    )
    return market.with_features(high.select("ts", "edge"))


def whole_mean(market: Market) -> Market:
    """Leak: measured against the mean of the whole frame."""
    frame = columns(market).select("ts", edge=pl.col("close") / pl.col("close").mean() - 1.0)
    return market.with_features(frame)


def honest(market: Market) -> Market:
    """The last bar's return, known at its close."""
    frame = columns(market).select("ts", edge=pl.col("close") / pl.col("close").shift(1) - 1.0).drop_nulls()
    return market.with_features(frame)


@pytest.mark.parametrize("build", [shifted, joined_on_open, whole_mean])
def test_leaking_features_are_caught(build: Any) -> None:
    proof = check_lookahead(OnFeature, hours(), features=build, **SMALL)
    assert proof.verdict == "LOOK-AHEAD", str(proof)


def test_honest_features_are_clean() -> None:
    proof = check_lookahead(OnFeature, hours(), features=honest, **SMALL)
    assert proof.ok, str(proof)


def test_ready_features_are_unproved() -> None:
    for build in (shifted, honest):
        proof = check_lookahead(OnFeature, build(hours()), cuts=2, scrambles=2)
        assert proof.verdict == "UNPROVED"
        assert "features came ready in the market (edge)" in str(proof)


def test_state_that_outlives_a_run_is_caught() -> None:
    memory: dict[int, float] = {}

    class Remembers(Turns):
        def on_bar(self, bar, broker):
            later = memory.get(bar.ts + 3_600_000_000_000)
            memory[bar.ts] = bar.close
            if later is not None:
                self.take(broker, 1 if later > bar.close else -1)

    proof = check_lookahead(Remembers, hours(), **SMALL)
    assert proof.verdict == "NOT REPEATABLE", str(proof)
    assert "something outlives a run" in str(proof)
    again = check_lookahead(
        Remembers, hours(), **SMALL
    )  # both runs know everything now, and so do those without it
    assert not again.ok
    assert "'memory' (dict)" in str(again)


def test_drawing_at_random_is_not_repeatable() -> None:
    class Dice(Turns):
        def on_bar(self, bar, broker):
            self.take(broker, 1 if np.random.random() < 0.5 else -1)

    assert check_lookahead(Dice, hours(), **SMALL).verdict == "NOT REPEATABLE"


def test_a_copy_of_the_data_is_unproved() -> None:
    table = columns(hours())

    class Copied(Turns):
        def on_bar(self, bar, broker):
            later = min(self.count + 1, len(table) - 1)
            self.count += 1
            self.take(broker, 1 if table["close"][later] > bar.close else -1)

    proof = check_lookahead(Copied, hours(400), cuts=2, scrambles=2)
    assert proof.verdict == "UNPROVED", str(proof)
    assert "'table' (DataFrame), data beside the market" in str(proof)


def test_without_an_order_nothing_is_proved() -> None:
    class Idle(Strategy):
        def on_bar(self, bar, broker):
            pass

    proof = check_lookahead(Idle, hours(), cuts=3, scrambles=3)
    assert proof.verdict == "UNPROVED"
    assert "nothing to compare" in str(proof)


class Moves(Strategy):
    """Honest, and amends its resting order at every bar: what was sent is compared, not what it became."""

    def setup(self):
        self.mean = sma.state(5)
        self.id = 0

    def on_bar(self, bar, broker):
        level = sma(self.mean, bar.close) * 0.995
        if broker.position > 0.0:
            broker.close()
        elif broker.orders == 0 and level > 0.0:
            self.id = broker.buy(share=0.3, price=level)
        elif level > 0.0:
            broker.amend(self.id, price=level)


def test_amended_orders_raise_no_false_alarm() -> None:
    proof = check_lookahead(Moves, hours(), **SMALL)
    assert proof.ok, str(proof)
    assert proof.orders > 20


# ---- the futures ----------------------------------------


def test_futures_keep_the_past_to_the_byte(seed: int) -> None:
    market = hours().resample("4h").with_features(columns(hours()).select("ts", "close"))
    before = market.content_hash()
    rng = np.random.default_rng(seed)
    for cut in rng.choice(moments(market), 20).tolist():
        until = last_known(market, cut)
        cut_short = truncated(market, cut)
        with scrambled(market, cut, rng) as other:
            for made in (cut_short, other):
                for key, rows in market.bars.items():
                    known = made.bars[key][made.bars[key]["close_ts"] <= cut]
                    assert known.tobytes() == hours().resample("4h").bars[key][: len(known)].tobytes()
                    assert len(known) == np.searchsorted(rows["close_ts"], cut, side="right")
                future = made.match_bars(0)[made.match_bars(0)["close_ts"] > cut]
                assert (future["high"] >= np.maximum(future["open"], future["close"])).all()
                assert (future["low"] <= np.minimum(future["open"], future["close"])).all()
                assert (future["low"] > 0.0).all()
                first = hours().match_bars(0)[len(made.match_bars(0)) - len(future)]
                if first["open_ts"] == cut:
                    assert future[0]["open"] == first["open"]
                feature = made.features["close"][1]
                assert (
                    feature["value"][feature["ts"] <= until]
                    == columns(hours())["close"].to_numpy()[: (feature["ts"] <= until).sum()]
                ).all()
            assert len(truncated(market, cut).features["close"][1]) < len(market.features["close"][1])
    fresh = hours().resample("4h").with_features(columns(hours()).select("ts", "close"))
    assert fresh.content_hash() == before
    assert not market.match_bars(0).flags.writeable


def test_the_market_is_put_back_after_an_error() -> None:
    market = hours()
    rows = market.match_bars(0).copy()

    def fail() -> None:
        with scrambled(market, int(moments(market)[50]), np.random.default_rng(1)):
            assert (market.match_bars(0)["close"] != rows["close"]).any()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (market.match_bars(0) == rows).all()


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"cash"):
        check_lookahead(EmaCross, hours(), cahs=1.0)
    with pytest.raises(ConfigError, match="cuts"):
        check_lookahead(EmaCross, hours(), cuts=-1)
