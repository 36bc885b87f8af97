"""The probe: a model that remembers is caught, one that reads its brief is not, and all of it is priced."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from framework import Market, Strategy, market_brief, samples
from framework.errors import BudgetExceeded, CacheMiss, ConfigError
from framework.llm.decision import Decision, Prompt
from framework.llm.prompt import make_brief
from framework.llm.recall import read_identity, read_price
from framework.llm.rules import Rules
from framework.research import probe_scores as scores
from framework.research.probe import probe
from framework.research.probe_variants import deletions, mirrored, random_bars, shuffled
from framework.times import parse_time
from tests.llm_bench import Bench, bench
from tests.test_llm_prompt import HOUR, bars_of

__all__ = ["bench"]  # fixture
DAY = 24 * HOUR


class Daily(Strategy):
    ask_every = "1d"

    def ask(self, view: Any) -> Any:
        return market_brief(view)

    def on_signal(self, signal: Any, broker: Any) -> None: ...


@pytest.fixture(scope="module")
def market() -> Market:
    return samples.load("btcusd-1h").slice("2018-06-01", "2019-02-01")


def reply(direction: int, price: float) -> str:
    levels = [price, price * (1 - 0.02 * direction), price * (1 + 0.03 * direction)]
    names = ("suggested_entry", "stop_loss", "take_profit")
    return json.dumps({
        "direction": {1: "long", -1: "short", 0: "neutral"}[direction], "confidence": 0.8, "reasoning": "r",
        "regime": "ranging", "position_size_pct": 0.2 if direction else 0.0,
        **dict(zip(names, levels if direction else [None] * 3, strict=True)),
    })  # fmt: skip


def figure(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)}: ([-+0-9.]+)$", text, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def planned(market: Market, remembers: bool) -> Callable[[dict[str, Any]], str]:
    """A model: one looks up what came a week later, the other follows the trend of its brief."""
    rows = market.match_bars(0)

    def price_at(time: str, later: int = 0) -> float | None:
        ts = parse_time(time.removesuffix(" UTC")) + later
        row = int(np.searchsorted(rows["close_ts"], ts, "right")) - 1
        return float(rows["close"][row]) if row >= 0 else None

    def answer(body: dict[str, Any]) -> str:
        text = body["messages"][-1]["content"]
        time = re.search(r"^Time: (.*)$", text, re.MULTILINE)
        assert time
        if "What was its price then?" in text:
            return json.dumps({"price": price_at(time.group(1)) if remembers else None})
        if "Which instrument is it" in text:
            return '{"symbol": null, "date": null}'
        price, trend = figure(text, "Current price"), figure(text, "Trend, (EMA20 - EMA50) / ATR")
        if not remembers:
            return reply((trend > 0) - (trend < 0), price)
        then = price_at(time.group(1), 7 * DAY)
        return reply(0 if then is None else 1 if then > price else -1, price)

    return answer


def test_a_model_that_remembers_is_caught(bench: Bench, market: Market) -> None:
    server = bench.serve(planned(market, remembers=True))
    tests = ("masked", "mirrored", "shuffled", "recall", "reidentify")
    with bench.client(concurrency=4) as client:
        seen = probe(Daily, market, client, tests=tests, limit=24)
    assert seen.verdict == "REMEMBERS"
    assert not seen.ok
    assert seen.leak == 1.0
    assert "it tells past prices from the date alone" in seen.found.words
    assert "it knows what came next without a history: from symbol, time and price alone" in seen.found.words
    assert seen.tests["shuffled"]["skill"]["horizon"] == "7d"
    assert seen.tests["shuffled"]["agreement"] == 1.0
    assert seen.tests["masked"]["agreement"] == 0.0
    assert (seen.tests["recall"]["before"]["hits"], seen.tests["reidentify"]["date"]["hits"]) == (24, 0)
    assert seen.tests["mirrored"]["kept"] == 1.0
    assert seen.plan.to_ask == seen.plan.unique == 24 * 6
    assert seen.plan.worst_usd is not None
    assert seen.plan.worst_usd > client.spent_usd > 0.0
    told = str(seen)
    assert "answers of HolySheep deepseek-v3.2: REMEMBERS (leak score 1.00)" in told
    assert "24 of 24 prices known before the cutoff" in told
    json.dumps(seen.to_dict(), allow_nan=False)
    server.close()  # and once recorded, it is replayed
    with bench.client(**REPLAY) as client:
        again = probe(Daily, market, client, tests=tests, limit=24)
        assert (again.tests, again.found) == (seen.tests, seen.found)
        with pytest.raises(CacheMiss, match="never recorded"):
            probe(Daily, market, client, tests=tests, limit=24, seed=1)


REPLAY: dict[str, Any] = {"record": False}


def test_a_model_that_reads_its_brief_is_not(bench: Bench, market: Market) -> None:
    bench.serve(planned(market, remembers=False))
    with bench.client(concurrency=4) as client:
        seen = probe(Daily, market, client, limit=24)
    assert seen.verdict == "NO SIGN OF MEMORY"
    assert seen.ok
    assert seen.leak == 0.0
    assert seen.tests["mirrored"]["flipped"] == seen.tests["masked"]["agreement"] == 1.0
    assert seen.dependency == 1.0
    assert {name: one["changed"] for name, one in seen.tests["deletion"]["blocks"].items()} == {
        "momentum": 0.0, "trend": 1.0, "volatility": 0.0, "candles": 0.0}  # fmt: skip
    assert seen.tests["recall"]["before"] == {
        "asked": 24, "answered": 0, "hits": 0, "chance": 0.0, "excess": 0.0}  # fmt: skip
    assert seen.found.words == ()
    assert seen.notes == ("samples: this analyst gives one answer; pass a function sample -> analyst",)


class Bull:
    """Always long, whatever it is shown."""

    name, model, stand_in = "bull", "bull", False

    def decide(self, prompts: list[Prompt]) -> list[Decision]:
        from framework.llm.signal import parse

        signals = [parse(reply(1, p.brief.price), price=p.brief.price).signal for p in prompts]
        return [Decision(p.ts, p.instrument, 0, "ok", s, "", 0.0, 0, "", (), (), "bull")
                for p, s in zip(prompts, signals, strict=True)]  # fmt: skip


def test_always_long_is_no_memory_but_reads_nothing() -> None:
    market = samples.load("btcusd-1h").slice("2019-02-01", "2019-07-01")  # it rose from 3,400 to 10,800
    seen = probe(Daily, market, Bull(), limit=60)
    assert (seen.verdict, seen.leak) == ("UNDECIDED", 0.0)  # it cannot be asked what it remembers
    assert seen.found.words == (
        "0 recall questions, 20 are needed; raise the limit",
        "it hardly reads its brief: 0 % of its directions change with any part left out",
        "only 0 % of its directions turn with the market (kept 100 %): a bias, or something else than the "
        "brief",
    )


class Mood(Bull):
    """Says something else at every sample."""

    def __init__(self, sample: int) -> None:
        self.sample = sample

    def decide(self, prompts: list[Prompt]) -> list[Decision]:
        found = Rules().decide(prompts) if self.sample else super().decide(prompts)
        return found


def test_samples_show_an_unsteady_model_and_a_rule_is_steady(market: Market) -> None:
    rule = probe(Daily, market, lambda _: Rules(), tests=["samples", "recall"], samples=4, limit=20)
    assert (rule.stability, rule.tests["samples"]["samples"]) == (1.0, 4)
    assert "recall" not in rule.tests
    assert rule.plan.prompts == {"original": 20, "samples": 60}
    mood = probe(Daily, market, Mood, tests="samples", samples=2, limit=20)
    assert mood.stability is not None
    assert mood.stability < 0.8
    assert any(words.startswith("it is unsteady: asked again it says") for words in mood.found.words)


def test_nothing_is_asked_beyond_the_budget_or_without_a_yes(bench: Bench, market: Market) -> None:
    server = bench.serve()
    with bench.client() as client:
        with pytest.raises(BudgetExceeded, match=r"may cost \$0\.\d+, the budget is \$0\.0000; lower limit"):
            probe(Daily, market, client, tests="masked", limit=5, budget=0.0)
        plans: list[Any] = []
        with pytest.raises(ConfigError, match=r"nothing was asked \(10 prompts, 10 of them different"):
            probe(Daily, market, client, tests="masked", limit=5,
                  confirm=lambda plan: plans.append(plan) or False)  # fmt: skip
    assert plans[0].spends
    assert server.calls == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tests": "mask"}, "tests: 'mask' is none: did you mean masked"),
        ({"limit": 0}, "limit=0 must be"),
        ({"samples": True}, "samples=True must be"),
        ({"budget": -1.0}, "budget=-1.0"),
        ({"chash": 1.0}, "chash: no option"),
        ({"analyst": 5}, "analyst must be an analyst or a function"),
    ],
)
def test_mistakes_are_one_line(market: Market, given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        probe(Daily, market, **({"analyst": Rules()} | given))


def test_mirrored_is_the_brief_of_mirrored_bars() -> None:
    for seed in range(20):
        bars = bars_of(300, seed)
        now, price = int(bars["close_ts"][-1]), float(bars["close"][-1])
        book = (now, [[price - 1, 5.0], [price - 2, 1.0]], [[price + 1, 2.0]])
        other = (now, [[price - 1, 2.0]], [[price + 1, 5.0], [price + 2, 1.0]])
        sides = np.array([1, 1, -1])
        flow = (np.full(3, now), np.array([1.0, 2.0, 4.0]), sides)
        turned = bars.copy()
        for name, source in (("open", "open"), ("high", "low"), ("low", "high"), ("close", "close")):
            turned[name] = 2.0 * price - bars[source]
        ours = mirrored(make_brief(now, "x", HOUR, bars, book=book, trades=flow))
        theirs = make_brief(now, "x", HOUR, turned, book=other, trades=(flow[0], flow[1], -sides))
        assert ours is not None
        for name in ours.__slots__:
            got, real = getattr(ours, name), getattr(theirs, name)
            if isinstance(real, float):
                # volatility is of returns, which a mirror of prices changes a little
                close = {"rel": 0.5} if name.startswith("volatility") else {"rel": 1e-7, "abs": 1e-9}
                assert got == pytest.approx(real, **close), name
            elif name == "candles":
                assert np.allclose(got, real, rtol=1e-12)
            else:
                assert got == real
    assert mirrored(make_brief(now, "x", HOUR, steep())) is None


def steep() -> Any:
    bars = bars_of(60)
    for name in ("open", "high", "low", "close"):
        bars[name][:-1] *= 3.0
    bars["high"][-1] = bars["open"][-1] = bars["close"][-2]
    return bars


def test_shuffled_bars_are_bars_of_another_order() -> None:
    import random

    bars = bars_of(400, 3)
    now, price = int(bars["close_ts"][-1]), float(bars["close"][-1])
    made = random_bars(bars, price, random.Random("a"))
    assert np.array_equal(made["close_ts"], bars["close_ts"])
    assert made["close"][-1] == price
    assert (made["high"] >= np.maximum(made["open"], made["close"]) * (1 - 1e-12)).all()
    assert (made["low"] <= np.minimum(made["open"], made["close"]) * (1 + 1e-12)).all()
    size = [np.sort(np.abs(np.diff(np.log(rows["close"])))) for rows in (bars, made)]
    assert np.allclose(*size, rtol=1e-6, atol=1e-12)
    donor = make_brief(now, "x", HOUR, bars_of(400, 5), book=(now, [[99.0, 1.0]], [[101.0, 3.0]]))
    brief = make_brief(now, "x", HOUR, bars)
    one = shuffled(brief, bars, donor, random.Random("a"))
    assert one == shuffled(brief, bars, donor, random.Random("a"))
    assert (one.price, one.ts, one.symbol, one.book_imbalance) == (price, now, "x", donor.book_imbalance)
    assert one.trend != brief.trend
    names = [name for name, _ in deletions(one)]
    assert names == ["momentum", "trend", "volatility", "candles", "flow"]


def test_skill_is_beyond_what_frequencies_give() -> None:
    up = {"x": {row: 1 if row % 4 else -1 for row in range(80)}}
    always = scores.skill(dict.fromkeys(range(80), 1), up)
    assert (always.hits, always.excess, always.p) == (0.75, 0.0, 1.0)
    knows = scores.skill(up["x"], up)
    assert (knows.hits, knows.excess) == (1.0, 1.0)
    assert knows.p < 0.01
    assert scores.skill({0: 1}, up) == scores.Skill()
    hits = scores.remembered([100.0, 200.0, None, 301.0], [100.0, 200.0, 5.0, 300.0], 0.01, True)
    assert (hits.asked, hits.answered, hits.hits, hits.chance, hits.excess) == (4, 3, 3, 0.0, 0.75)
    flat = scores.remembered([100.0] * 4, [100.0] * 4, 0.01, True)  # a price that never moves tells nothing
    assert (flat.hits, flat.chance, flat.excess) == (4, 4.0, 0.0)


def test_answers_that_are_no_signal_are_read_strictly() -> None:
    assert read_price('{"price": null}') is None
    assert read_price('```json\n{"price": 4000.5}\n```') == 4000.5
    assert read_identity('{"symbol": "BTC", "date": "2019-01-02T00:00"}') == ("BTC", "2019-01-02")
    for text in ('{"price": -1}', '{"price": true}', '{"price": "4000"}', "{}", "4000", '{"price": 1e999}'):
        with pytest.raises(Exception, match=r"price|JSON|finite"):
            read_price(text)
    for text in ('{"symbol": 1, "date": null}', '{"symbol": null}', '{"symbol": null, "date": "May"}'):
        with pytest.raises(Exception, match=r"text|missing|YYYY"):
            read_identity(text)
    named = [scores.names_symbol(said, "coinbase:BTC-USD") for said in ("btc", "BTCUSDT", "ETH", "", None)]
    assert named == [True, True, False, False, False]
    assert scores.days_of("2019-13-45") is None
