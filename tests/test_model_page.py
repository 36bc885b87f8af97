"""What a model's decisions are judged by, against a naive twin, theory, and laws that must hold."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from framework import Costs, Latency, Market, Result, Strategy, backtest, market_brief, replay_orders, samples
from framework import calibration as reliability
from framework.baselines import shuffled
from framework.errors import VenueError
from framework.llm import cutoffs
from framework.llm.client import HolySheep
from framework.llm.decision import Decision, Prompt
from framework.llm.rules import Rules
from framework.llm.signal import TradingSignal
from framework.report import model
from framework.report.words import headline
from framework.research import compare_models
from framework.testing.holysheep import HolySheepServer, Scripted
from framework.times import HOUR, parse_time
from tests.made_result import make
from tests.market_frames import T0, candles
from tests.test_report import words

RECORD: dict[str, Any] = {"mode": "record", "canary": False, "repairs": 0}
CUTOFF = parse_time("2018-10-01")
SAID = (0.55, 0.65, 0.75, 0.9)


class Asks(Strategy):
    """Ask every four hours and follow the answer until the next."""

    ask_every = "4h"

    def ask(self, view):
        return market_brief(view)

    def on_signal(self, signal, broker):
        if broker.position * signal.direction <= 0.0:
            broker.close()
            if signal.direction != 0:
                broker.order(signal.direction, share=0.3, stop=signal.stop, target=signal.target)


def answer(price: float) -> dict[str, Any]:
    """A signal that is a function of the price alone."""
    n = round(100 * price)
    side = (1, -1, 1, 0, -1)[n % 5]
    return {
        "regime": "ranging", "direction": ("neutral", "long", "short")[side], "confidence": SAID[n % 4],
        "reasoning": f"price {price}", "suggested_entry": price if side else None,
        "stop_loss": price * (1 - 0.02 * side) if side else None,
        "take_profit": price * (1 + 0.03 * side) if side else None, "position_size_pct": 0.3 if side else 0.0,
    }  # fmt: skip


def plan(body: dict[str, Any]) -> Scripted:
    price = float(body["messages"][-1]["content"].partition("Current price: ")[2].split()[0])
    refuses = round(100 * price) % 23 == 0
    return Scripted(text="I would rather not say." if refuses else json.dumps(answer(price)))


def market() -> Market:
    return samples.load("btcusd-1h").slice("2018-09-20", "2018-10-13")


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A run over both sides of a cutoff, decided by a loopback model."""
    with pytest.MonkeyPatch.context() as patch, HolySheepServer(plan) as server:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        patch.setattr(cutoffs, "in_sample", lambda _, ts, models=None: int(ts < CUTOFF))
        with HolySheep("deepseek-v3.2", store=tmp_path_factory.mktemp("s") / "store", **RECORD) as client:
            return backtest(Asks, market(), analyst=client)


def naive_calls(result: Result) -> list[tuple[int, float, float]]:
    """(ts, confidence, move in the call's favour) row by row, from the candles."""
    bars = market().match_bars(0)
    closes = dict(zip(bars["close_ts"].tolist(), bars["close"].tolist(), strict=True))
    rows = result.decisions.rows(named=True)
    found = []
    for n, row in enumerate(rows):
        if row["status"] != "ok" or row["direction"] == "neutral":
            continue
        later = rows[n + 1]["ts"] if n + 1 < len(rows) else max(closes)
        if later == row["ts"]:
            continue
        move = closes[later] / closes[row["ts"]] - 1.0
        found.append((row["ts"], row["confidence"], move if row["direction"] == "long" else -move))
    return found


def test_calibration_is_that_of_a_naive_twin(asked: Result) -> None:
    assert asked.calibration is not None
    every = naive_calls(asked)
    assert len(every) > 80
    for name, chosen in (
        ("all", every), ("before", [c for c in every if c[0] < CUTOFF]),
        ("after", [c for c in every if c[0] >= CUTOFF]),
    ):  # fmt: skip
        found = asked.calibration[name]
        right = [1.0 if move > 0.0 else 0.0 for _, _, move in chosen]
        miss = [(said - came) ** 2 for (_, said, _), came in zip(chosen, right, strict=True)]
        assert found["n"] == len(chosen)
        assert found["right"] == pytest.approx(sum(right) / len(right), abs=1e-15)
        assert found["brier"] == pytest.approx(sum(miss) / len(miss), abs=1e-15)
        for low, high, n, said, share, *_ in found["bins"]:
            here = [came for (_, c, _), came in zip(chosen, right, strict=True) if low <= c < high]
            assert (n, share) == (len(here), pytest.approx(sum(here) / len(here)))
            assert said in [pytest.approx(value) for value in SAID]
    assert sum(row[2] for row in asked.calibration["all"]["bins"]) == len(every)


def test_both_sides_of_the_cutoff(asked: Result, tmp_path: Path) -> None:
    split = asked.split
    assert split is not None
    assert split["boundary"] == CUTOFF == asked.decisions.filter(~pl.col("in_sample"))["ts"][0]
    grown = [1.0 + split[name]["total_return"] for name in ("before", "after")]
    assert grown[0] * grown[1] == pytest.approx(1.0 + asked.metrics["total_return"])
    held = asked.equity.filter(pl.col("ts") <= CUTOFF)["equity"][-1]
    assert split["after"]["total_return"] == pytest.approx(asked.equity["equity"][-1] / held - 1.0)
    assert split["before"]["trades"] + split["after"]["trades"] == asked.trades.height
    late = [move for ts, _, move in naive_calls(asked) if ts >= CUTOFF]
    assert (split["after"]["calls"], split["after"]["move"]) == (len(late), pytest.approx(np.mean(late)))
    assert split["after"]["move_low"] < split["after"]["move"] < split["after"]["move_high"]
    of = model.percent(split["after"]["total_return"])
    assert headline(asked).startswith(f"after the model's cutoff: Total return {of} · ")
    assert f"after the model's cutoff total_return {of}" in repr(asked)
    saved = Result.load(asked.save(tmp_path / "x"))
    assert repr((saved.split, saved.calibration)) == repr((split, asked.calibration))
    assert (saved.spent, saved.baselines) == (asked.spent, None)  # saved without its page
    assert asked.spent == pytest.approx(asked.decisions["cost"].sum())  # each paid once, by this run
    assert saved.diff(asked) == []


def test_baselines_are_runs_of_their_own(asked: Result, tmp_path: Path) -> None:
    fingerprint = asked.fingerprint
    path = asked.save(tmp_path / "x", report=True)
    saved = Result.load(path)
    assert saved.fingerprint == fingerprint
    assert repr(saved.baselines) == repr(asked.baselines)
    assert asked.baselines is not None
    rows = {row["name"]: row for row in asked.baselines}
    assert list(rows) == ["run", "latency 0", "rules", "shuffled", "hold"]
    bought = {"ts": [market().start], "side": ["buy"], "share": [1.0]}
    for name, other in (
        ("run", asked), ("rules", backtest(Asks, market(), analyst=Rules())),
        ("hold", replay_orders(pl.DataFrame(bought), market())),
    ):  # fmt: skip
        for figure in ("total_return", "sharpe", "max_drawdown", "trades"):
            assert rows[name][figure] == pytest.approx(other.metrics[figure]), (name, figure)
    split = asked.split or {}
    assert rows["run"]["total_return_after"] == pytest.approx(split["after"]["total_return"])
    assert rows["shuffled"]["low"] < rows["shuffled"]["high"]
    text = (path / "report.html").read_text(encoding="utf-8")
    for part in ("Decided otherwise", "Rules only", "Shuffled decisions", "Skill or memory", "Booked",
                 "After the cutoff", "After the model's cutoff, from 2018-10-01 on", "Spent"):  # fmt: skip
        assert part in text, part
    assert text.count("data:image/png") == 4
    said = asked.table()
    for part in ("after the cutoff: ", "confidence (after the cutoff): ", "  Shuffled decisions "):
        assert part in said, part


def test_a_shuffle_moves_answers_and_nothing_else(asked: Result, seed: int) -> None:
    signals = asked._market.signals  # type: ignore[union-attr]
    mixed = shuffled(signals, market(), seed)
    for name in ("ts", "arrival_ts", "instrument", "cost", "status", "id", "in_sample"):
        assert (mixed[name] == signals[name]).all(), name
    for name in ("direction", "confidence", "size"):
        assert sorted(mixed[name].tolist()) == sorted(signals[name].tolist())
        assert (mixed[name] != signals[name]).any()
    ok = (mixed["status"] == 0) & (mixed["direction"] != 0)
    away = mixed["direction"][ok] * (1.0 - mixed["stop"][ok] / mixed["entry"][ok])
    assert away == pytest.approx(0.02)
    closes = reliability.prices_at(market(), 0, mixed["ts"][ok])
    assert mixed["entry"][ok] == pytest.approx(closes, rel=1e-6)


READ = T0 + 200 * HOUR  # until when the seer may have read the news


class Seer:
    """A model that knows the next four hours and is paid for it."""

    name = model = "seer"
    stand_in = False
    knows_until = 2**62  # what comes later it guesses

    def __init__(self, seen: Market, cost: float = 0.0, latency_ns: int = 0) -> None:
        self.seen, self.cost, self.latency_ns = seen, cost, latency_ns

    def decide(self, prompts: list[Prompt]) -> list[Decision]:
        return [self.one(prompt) for prompt in prompts]

    def one(self, prompt: Prompt) -> Decision:
        price, later = reliability.prices_at(self.seen, 0, [prompt.ts, prompt.ts + 4 * HOUR])
        side = 1 if later > price else -1
        if prompt.ts >= self.knows_until:
            side = (-1, 1)[prompt.ts // HOUR // 4 * 2_654_435_761 % 2**32 >> 31]
        signal = TradingSignal.model_validate(
            {"regime": "ranging", "direction": "long" if side > 0 else "short", "confidence": 0.9,
             "reasoning": "<b>seen</b>", "suggested_entry": price, "stop_loss": price * (1 - 0.2 * side),
             "take_profit": price * (1 + 0.2 * side), "position_size_pct": 0.3}
        )  # fmt: skip
        return Decision(prompt.ts, 0, self.latency_ns, "ok", signal, signal.reasoning, self.cost,
                        int(prompt.ts < READ), "k", (), (), "seer")  # fmt: skip


@cache
def drifting() -> Market:
    """Ten-minute bars that go straight up or down for four hours at a time."""
    frame = candles(24 * 6 * 20, step=10 * 60 * 10**9)
    block = np.arange(frame.height) // 24
    close = 100.0 * np.exp(np.cumsum(0.001 * np.random.default_rng(5).choice([-1, 1], block[-1] + 1)[block]))
    first = np.concatenate(([100.0], close[:-1]))
    both = np.maximum(first, close), np.minimum(first, close)
    columns = {"open": first, "high": both[0], "low": both[1], "close": close}
    frame = frame.with_columns(**{name: pl.Series(values) for name, values in columns.items()})
    return Market.from_candles(frame, "made:AAA", "10m", "open")


def seen(**options: Any) -> Result:
    free = {"costs": Costs(maker=0.0, taker=0.0, slippage=0.0), "latency": Latency(order=0, response=0)}
    return backtest(Asks, drifting(), analyst=Seer(drifting(), **options), **free)  # type: ignore[arg-type]


def test_profit_falls_with_what_answers_cost_and_how_late_they_come(tmp_path: Path) -> None:
    by_cost = [seen(cost=cost).metrics["final_equity"] for cost in (0.0, 1.0, 4.0)]
    assert by_cost[0] > by_cost[1] > by_cost[2]
    assert 120.0 < by_cost[0] - by_cost[1] < 120.0 * by_cost[0] / 10_000.0  # 120 answers, and what they earn
    late = [seen(latency_ns=minutes * 60 * 10**9) for minutes in (1, 60, 150, 235)]
    by_delay = [one.metrics["final_equity"] for one in late]
    assert sorted(by_delay, reverse=True) == by_delay
    assert by_delay[0] > 1.2 * by_delay[-1]
    late[1].save(tmp_path / "x")
    assert not late[1].has_baselines  # without a page nothing is run again
    rows = {row["name"]: row for row in late[1].baselines or ()}
    assert rows["latency 0"]["total_return"] > rows["run"]["total_return"] > rows["shuffled"]["high"]
    assert (late[1].calibration or {})["all"]["right"] == 1.0


def test_a_model_that_remembers_is_caught() -> None:
    """Perfect before its cutoff, guessing after: the headline is the guessing, and the difference is told."""
    planted, honest = Seer(drifting()), Seer(drifting())
    planted.knows_until = READ
    split = (result := backtest(Asks, drifting(), analyst=planted)).split  # type: ignore[arg-type]
    assert split is not None
    assert (split["boundary"], split["before"]["right"]) == (READ, 1.0)
    assert split["after"]["right_low"] < 0.5 < split["after"]["right_high"]
    assert split["decay_low"] > 0.0
    assert "what the model remembers may be why" in model.reading(split)
    assert model.percent(split["after"]["total_return"]) in headline(result)
    assert model.percent(result.metrics["total_return"]) not in headline(result)
    same = backtest(Asks, drifting(), analyst=honest).split  # type: ignore[arg-type]
    assert same is not None
    assert "no sign of memory" in model.reading(same)


def test_hostile_text_stays_text_and_a_row_that_fails_says_why(tmp_path: Path) -> None:
    bad = "<script>document.title='PWNED'</script>"
    asked = make(reasoning=[bad] * 30).decisions
    rows = [{"name": bad, "problem": bad}, {"name": "hold", "total_return": 0.5, "trades": 0}]
    result = make(
        decisions=asked, baselines=rows, calibration={"all": reliability.judged([0.7] * 30, [True] * 30)},
        manifest={**make().manifest, "analyst": {"model": bad, "stand_in": False}},
    )  # fmt: skip
    text = result.report(tmp_path).read_text(encoding="utf-8")
    assert "<script" not in text
    assert "could not be run: &lt;script&gt;" in text
    assert "Decisions of &lt;script&gt;" in text
    assert bad in result.table()
    saved = Result.load(result.save(tmp_path / "x"))
    assert repr((saved.baselines, saved.calibration)) == repr((rows, result.calibration))


def test_a_stand_in_has_a_short_section_and_no_claim() -> None:
    result = backtest(Asks, market())
    assert (result.calibration, result.split, result.spent) == (None, None, None)
    assert [row["name"] for row in result.baselines or ()] == ["run", "latency 0", "shuffled", "hold"]
    text = words(result)
    assert "Decisions of Rules (stand-in)" in text
    for absent in ("Rules only", "Brier", "Skill or memory", "Booked", "Right calls"):
        assert absent not in text


def test_models_side_by_side() -> None:
    class Fails(Seer):
        model = "broken"

        def decide(self, prompts: list[Prompt]) -> list[Decision]:
            raise VenueError("the relay refuses the model")

    frame = compare_models(Asks, drifting(), [Seer(drifting()), Fails(drifting())])  # type: ignore[list-item]
    first, second = frame.rows(named=True)
    result = backtest(Asks, drifting(), analyst=Seer(drifting()))  # type: ignore[arg-type]
    assert result.split is not None
    assert first["fingerprint"] == result.fingerprint
    assert first["sharpe_after"] == result.split["after"]["sharpe"]
    assert (first["coverage"], first["right"], first["brier"]) == (1.0, 1.0, pytest.approx(0.01))
    assert (second["status"], second["model"]) == ("failed", "broken")
    assert "the relay refuses the model" in second["error"]
    assert math.isnan(second["sharpe_after"])
