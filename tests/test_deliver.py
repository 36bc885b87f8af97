"""From decisions to signals: latencies, answers in flight together, age, and what an unusable one does."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from framework import (
    Market,
    Replies,
    Rules,
    Strategy,
    backtest,
    check_lookahead,
    check_strategy,
    compiled,
    market_brief,
    portfolio_brief,
)
from framework.deliver import deliver
from framework.errors import ConfigError, SignalError, StrategyError
from framework.llm.decision import Decision, Prompt
from framework.llm.signal import TradingSignal
from framework.records import SIGNAL_STATUS
from framework.samples import load

S = 1_000_000_000
LONG = TradingSignal(
    direction="long", confidence=0.8, suggested_entry=100.0, stop_loss=95.0, take_profit=110.0,
    position_size_pct=0.2,
)  # fmt: skip


def decision(ts: float, latency: float = 2.0, status: str = "ok", **more: Any) -> Decision:
    """Return a decision asked and answered at seconds."""
    signal = LONG if status == "ok" else None
    made = Decision(int(ts * S), 0, int(latency * S), status, signal, "", 0.01, 0, f"k{ts}", (), (), "m")
    return replace(made, **more)


def outcome(decisions: Sequence[Decision], **options: Any) -> list[tuple[float, str, float]]:
    """Return (arrival in s, word, cost) of each decision."""
    rows, words = deliver(decisions, Replies(**options))
    assert (np.diff(rows["arrival_ts"]) >= 0).all()
    by_id = rows[np.argsort(rows["id"])]
    for row, word, one in zip(by_id, words, decisions, strict=True):
        assert row["status"] == (0 if word == "yes" else SIGNAL_STATUS.index(
            "withheld" if one.status == "ok" or word == "skipped" else one.status))  # fmt: skip
    return [(r["arrival_ts"] / S, w, round(float(r["cost"]), 9)) for r, w in zip(by_id, words, strict=True)]


FLIGHT = [decision(0, 25), decision(10, 3), decision(20, 12), decision(30, 1)]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, [(25, "stale", 0.01), (13, "yes", 0.01), (32, "stale", 0.01), (31, "yes", 0.01)]),
        ({"stale": "keep"}, [(25, "yes", 0.01), (13, "yes", 0.01), (32, "yes", 0.01), (31, "yes", 0.01)]),
        ({"overlap": "skip"},
         [(25, "yes", 0.01), (10, "skipped", 0.0), (20, "skipped", 0.0), (31, "yes", 0.01)]),
        ({"overlap": "queue"},
         [(25, "yes", 0.01), (28, "yes", 0.01), (40, "yes", 0.01), (41, "yes", 0.01)]),
        ({"overlap": "replace"},
         [(25, "replaced", 0.01), (13, "yes", 0.01), (32, "replaced", 0.01), (31, "yes", 0.01)]),
        ({"max_age": "5s"},
         [(25, "too old", 0.01), (13, "yes", 0.01), (32, "too old", 0.01), (31, "yes", 0.01)]),
        ({"latency": "2s"}, [(2, "yes", 0.01), (12, "yes", 0.01), (22, "yes", 0.01), (32, "yes", 0.01)]),
        ({"latency": "0s", "charge": False}, [(t, "yes", 0.0) for t in (0, 10, 20, 30)]),
    ],
)  # fmt: skip
def test_answers_in_flight_together(options: dict[str, Any], wanted: list[tuple[float, str, float]]) -> None:
    assert outcome(FLIGHT, **options) == wanted


def test_retries_and_missing_answers() -> None:
    asked = [decision(0, 2, waited_ns=5 * S), decision(1, 0, "missing"), decision(2, 1, "invalid")]
    assert outcome(asked, latency="with_retries") == [(7, "yes", 0.01), (1, "no", 0.01), (3, "no", 0.01)]
    # a missing answer is in nobody's way, and what is late of another instrument neither
    assert outcome([decision(0, 9, "missing"), decision(1, 1)], overlap="skip")[1] == (2, "yes", 0.01)
    assert outcome([decision(0, 9, instrument=1), decision(1, 1)], overlap="skip")[1] == (2, "yes", 0.01)


def test_resampled_latencies_depend_on_nothing_but_the_decision_and_the_seed() -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    asked = [decision(i, 1 + i % 7) for i in range(200)]
    first = dict(zip([d.key for d in asked], outcome(asked, latency="resampled", stale="keep"), strict=True))
    random.Random(seed).shuffle(asked)
    again = dict(zip([d.key for d in asked], outcome(asked, latency="resampled", stale="keep"), strict=True))
    assert first == again
    took = {round(at - float(key[1:]), 9) for key, (at, _, _) in first.items()}
    assert took == {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0}
    other = outcome(sorted(asked, key=lambda d: d.ts), latency="resampled", stale="keep", seed=1)
    assert [o for o, *_ in other] != [o for o, *_ in first.values()]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"latency": "soon"}, "recorded, with_retries, resampled, or a length of time"),
        ({"latency": "-2s"}, "latency='-2s'"),
        ({"overlap": "replaces"}, "did you mean replace"),
        ({"on_invalid": "flatten"}, "did you mean flat"),
        ({"max_age": 0}, "would deliver nothing"),
        ({"max_age": "old"}, "a length of time"),
        ({"charge": 1}, "True or False"),
        ({"seed": 1.5}, "whole number"),
        ({"stale": "no"}, "drop"),
    ],
)
def test_a_wrong_option_names_itself(option: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Replies(**option)


# ---- runs


class Model:
    """An analyst that answers by a function of the question's number."""

    name = model = "scripted"
    stand_in = False

    def __init__(self, answer: Callable[[int, Prompt], Decision]) -> None:
        self.answer, self.asked = answer, list[Prompt]()

    def decide(self, prompts: Sequence[Prompt]) -> list[Decision]:
        """Answer prompts in order."""
        self.asked += prompts
        first = len(self.asked) - len(prompts)
        return [self.answer(first + i, prompt) for i, prompt in enumerate(prompts)]


def long_or_invalid(bad: set[int]) -> Model:
    """Return a model that says long, and nothing usable at the given questions."""

    def answer(i: int, prompt: Prompt) -> Decision:
        price, status = prompt.brief.price, "invalid" if i in bad else "ok"
        signal = None if i in bad else LONG.model_copy(
            update={"suggested_entry": price, "stop_loss": 0.6 * price, "take_profit": 1.4 * price}
        )  # fmt: skip
        return Decision(prompt.ts, prompt.instrument, 2 * S, status, signal, "", 0.5, 0, f"k{i}", (), (), "m")

    return Model(answer)


@compiled
class Compiled(Strategy):
    """Hold a quarter while the model says long."""

    ask_every = "12h"

    def setup(self):
        self.bars_seen = 0

    def ask(self, view):
        return market_brief(view)

    def on_signal(self, signal, broker):
        if broker.position == 0.0:
            broker.buy(share=0.25)

    def on_bar(self, bar, broker):
        self.bars_seen += 1


class Plain(Compiled):
    """The same, uncompiled."""

    compiled = False


class Portfolio(Strategy):
    """The same, asked in the middle of the run."""

    ask_every = "12h"
    on_signal = Compiled.on_signal

    def ask_portfolio(self, view, broker):
        return market_brief(view)


@pytest.fixture(scope="module")
def market() -> Market:
    return load("btcusd-1h").slice("2019-01-01", "2019-02-01")


@pytest.mark.parametrize("cls", [Compiled, Plain, Portfolio])
def test_what_an_invalid_decision_does(cls: type[Strategy], market: Market) -> None:
    held = {}
    for policy in ("hold", "flat", "stop"):
        model = long_or_invalid({5, 9})
        result = backtest(cls, market, analyst=model, replies=Replies(on_invalid=policy))
        ts = [prompt.ts for prompt in model.asked]
        fills = result.fills.select("side", "ts").rows()
        held[policy] = [(side, sum(t <= when for t in ts) - 1) for side, when in fills]
        is_over = policy == "stop" and cls is Portfolio  # whoever asks within the run asks no more
        assert result.decisions["delivered"].to_list().count("no") == (1 if is_over else 2)
        if is_over:
            assert len(ts) == 6
            continue
        assert result.metrics["decision_coverage"] == pytest.approx(1 - 2 / len(ts))
        # what is invalid is charged too; the last answer comes after the end
        assert result.equity["tokens"][-1] == pytest.approx(0.5 * (len(ts) - 1))
    assert held["hold"] == [("buy", 0)]
    assert held["flat"] == [("buy", 0), ("sell", 5), ("buy", 6), ("sell", 9), ("buy", 10)]
    assert held["stop"] == [("buy", 0), ("sell", 5)]


@pytest.mark.parametrize("options", [
    {}, {"latency": "0s"}, {"latency": "30h"}, {"latency": "30h", "overlap": "replace"},
    {"latency": "resampled", "stale": "keep"}, {"max_age": "1s"},
])  # fmt: skip
def test_questions_within_a_run_are_those_before_it(options: dict[str, Any], market: Market) -> None:
    before = backtest(Plain, market, analyst=long_or_invalid({3}), replies=Replies(**options))
    within = backtest(Portfolio, market, analyst=long_or_invalid({3}), replies=Replies(**options))
    if options.get("latency") == "resampled":  # the pool is what was answered so far
        assert within.decisions["key"].equals(before.decisions["key"])
        return
    assert before.orders.height or options, "a test without an order shows nothing"
    assert within.fingerprint == before.fingerprint
    assert within.decisions.equals(before.decisions)
    if options.get("latency") != "0s":  # an answer at once comes after the equity row of that moment
        assert within.bounds == before.bounds


def test_a_portfolio_question_sees_the_account_as_it_is_known(market: Market) -> None:
    seen = []

    class Watcher(Portfolio):
        """Note the account at each question."""

        def ask_portfolio(self, view, broker):
            seen.append((view.now, broker.now, broker.position, broker.equity))
            return market_brief(view)

    result = backtest(Watcher, market, analyst=long_or_invalid({}))
    fills = result.fills
    equity = dict(result.equity.select("ts", "equity").rows())
    for now, broker_now, position, worth in seen:
        assert now == broker_now
        assert position == pytest.approx(fills.filter(fills["seen_ts"] <= now)["qty"].sum())
        assert worth == pytest.approx(equity[now])
    assert seen[0][2] == 0.0 < seen[-1][2]


class Asks(Plain):
    """Ask both ways, which no run can."""

    def ask_portfolio(self, view, broker):
        return market_brief(view)


@compiled
class InCompiled(Portfolio):
    """A portfolio question in a compiled class."""


class Whispers(Portfolio):
    """Change the instructions from question to question: the future could come in by them."""

    def ask_portfolio(self, view, broker):
        return portfolio_brief(view, broker, instructions=f"It is {view.now}.")


class Sends(Portfolio):
    """Trade instead of asking."""

    def ask_portfolio(self, view, broker):
        broker.buy(share=0.1)


@pytest.mark.parametrize(
    ("cls", "words"),
    [(Asks, "keep one of them"), (InCompiled, "leave @compiled away"), (Sends, "sent an order"),
     (Whispers, "instructions at .* differ")],
)
def test_what_a_portfolio_question_cannot_be(cls: type[Strategy], words: str, market: Market) -> None:
    with pytest.raises((StrategyError, SignalError), match=words):
        backtest(cls, market, analyst=Rules())


def test_portfolio_questions_on_ticks() -> None:
    class Quick(Portfolio):
        ask_every = "2m"

    result = backtest(Quick, load("ticks"), analyst=long_or_invalid({2}), replies=Replies(on_invalid="flat"))
    assert result.decisions.height > 5
    assert result.fills["side"].to_list()[:3] == ["buy", "sell", "buy"]


def test_portfolio_questions_are_proved_and_rehearsed_like_others(market: Market) -> None:
    class Cheat(Portfolio):
        """Ask with a close that lies in the future."""

        def ask_portfolio(self, view, broker):
            brief = market_brief(view)
            (rows,) = view._market.bars.values()  # what no strategy may do
            row = min(int(np.searchsorted(rows["close_ts"], view.now)) + 5, len(rows) - 1)
            return replace(brief, rsi=float(rows["close"][row] % 100.0))

    short = market.slice(None, "2019-01-08")
    assert check_lookahead(Portfolio, short, cuts=4, scrambles=4).verdict == "clean"
    assert check_lookahead(Cheat, short, cuts=4, scrambles=4).verdict == "LOOK-AHEAD"
    assert check_strategy(Portfolio, short).ok
