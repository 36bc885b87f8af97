"""`check_lookahead`: cut the future away, replace it, and see whether any order decided before changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.backtest import with_analyst
from framework.engine import translate
from framework.errors import ConfigError, FrameworkError, near
from framework.jit import jit_enabled
from framework.llm.decision import Decision, Prompt
from framework.market import Market
from framework.market_source import need_memory
from framework.outcome import Outcome
from framework.plan import Plan, make_plan
from framework.questions import stand_in
from framework.records import NEVER
from framework.research.differences import Horizon, Seen, first_difference
from framework.research.futures import (
    last_happened,
    last_known,
    moments,
    next_funding,
    scrambled,
    truncated,
)
from framework.research.grid import OPTIONS
from framework.research.outside import outside_data, uses
from framework.run import class_of, fresh, run
from framework.strategy import Analyst, Strategy
from framework.times import format_time

CLEAN, LEAK, UNSTEADY, UNPROVED = "clean", "LOOK-AHEAD", "NOT REPEATABLE", "UNPROVED"
Rows = NDArray[Any]
Build = Callable[[Market], Market]


@dataclass(frozen=True)
class Proof:
    """What the cuts and the scrambled futures showed.

    verdict : "clean", "LOOK-AHEAD", "NOT REPEATABLE", or "UNPROVED" when nothing was seen but not everything
    that
        could look ahead was within reach. cuts, scrambles : futures tried. orders, questions : of the full
        run.
    compared : order rows, fills and questions compared over all futures. problems : what differed. reasons :
    why a
        run without problems is not called clean.
    """

    strategy: str
    market: str
    verdict: str
    cuts: int
    scrambles: int
    orders: int
    questions: int
    compared: int
    problems: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True for "clean" only."""
        return self.verdict == CLEAN

    def __str__(self) -> str:
        asked = f", {self.questions} questions" if self.questions else ""
        tried = f"{self.cuts} cuts and {self.scrambles} scrambled futures of {self.market}"
        seen = f"{self.orders} orders{asked}, {self.compared} rows compared"
        lines = [f"{self.strategy}: {self.verdict} ({tried}; {seen})"]
        return "\n".join([*lines, *(f"  {line}" for line in (*self.problems, *self.reasons))])


def check_lookahead(
    strategy: Strategy | type[Strategy],
    market: Market,
    *,
    cuts: int = 20,
    scrambles: int = 20,
    seed: int = 0,
    features: Build | None = None,
    analyst: Analyst | None = None,
    **backtest_options: Any,
) -> Proof:
    """Show that no order of a strategy depends on anything later than its decision.

    The strategy is run over the whole market, twice (both must agree), and then with other futures. A cut
    ends the market at a bar's close, or with a tick's arrival; a scrambled future replaces everything after
    it by other valid values. Whatever was decided before, orders, cancels and questions, must be the same to
    the byte. Half of the moments are those of real decisions.

    Ticks that the exchange has and the strategy does not yet are future. They may fill an order: from the
    moment the strategy is answered otherwise than in the full run, its decisions may differ too.

    Parameters
    ----------
    cuts, scrambles
        Number of futures of each kind.
    seed
        Chooses the moments and the random values.
    features
        Builds the features: it gets the market without them and returns it with them, like `lambda m:
        m.with_features(my_columns(m))`. It is called again for every other future, so that a column made from
        later rows shows. Features that come ready in the market cannot be judged: the verdict is then
        UNPROVED.
    analyst
        Asked in the full run only; a question that is new in another future is never sent.
    **backtest_options
        Options of `backtest`.

    Notes
    -----
    Scrambled futures are written into the market's own arrays and taken back, so that a strategy that kept
    the market somewhere meets them too: use the market in no other thread meanwhile. Tables, arrays and files
    of a strategy's own are out of reach; code that holds any is UNPROVED, never clean.

    Raises
    ------
    ConfigError
        An unknown option. What the full run raises is raised.
    """
    for name in backtest_options:
        if name not in OPTIONS:
            raise ConfigError(f"{name}: no option of check_lookahead or backtest: {near(name, OPTIONS)}")
    for name, count in (("cuts", cuts), ("scrambles", scrambles)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ConfigError(f"{name}: a number of futures, not {count!r}")
    cls, params = class_of(strategy)
    need_memory(market, "check_lookahead")
    trial = Trial(cls, params, make_plan(market, **backtest_options), features, analyst)
    return trial.prove(cuts, scrambles, np.random.default_rng(seed))


class Recall:
    """An analyst that repeats what the full run was told; a new question is noted and left unanswered."""

    name, model, stand_in = "recall", "recall", True

    def __init__(self, first: Analyst) -> None:
        self.first: Analyst | None = first
        self.known: dict[Any, Decision] = {}
        self.asked: list[tuple[int, int, str, str]] = []

    def decide(self, prompts: Sequence[Prompt]) -> list[Decision]:
        """Answer prompts in order."""
        keys = [(p.ts, p.instrument, p.system, p.text) for p in prompts]
        self.asked += keys
        if self.first is not None:
            self.known |= zip(keys, self.first.decide(prompts), strict=True)
        return [
            self.known.get(key)
            or Decision(p.ts, p.instrument, 0, "missing", None, "", 0.0, 0, "", (), (), self.model)
            for key, p in zip(keys, prompts, strict=True)
        ]


class Trial:
    """One strategy under test."""

    def __init__(
        self,
        cls: type[Strategy],
        params: dict[str, Any],
        plan: Plan,
        features: Build | None,
        analyst: Analyst | None,
    ) -> None:
        self.cls, self.params, self.plan, self.features = cls, params, plan, features
        self.recall = Recall(analyst or stand_in())
        self.code: translate.Compiled | None = None
        self.amends = uses(cls, "amend")
        self.compared = 0
        self.problems: list[str] = []

    def run(self, market: Market, fingerprint: bool = False) -> Seen:
        """Run over one market, features built for it."""
        plan = replace(self.plan, market=self.features(market) if self.features else market)
        self.recall.asked = []
        plan, _ = with_analyst(self.cls, self.params, plan, self.recall)
        outcome = Outcome(run(self.cls, self.params, plan, None, None, self.code))
        self.recall.first = None  # whatever another future asks anew stays unanswered
        answers = outcome.sim.responses[: int(outcome.sim.clock[0]["n_responses"])]
        return Seen(
            outcome.order_rows.copy(), outcome.fill_rows.copy(), self.recall.asked,
            outcome.fingerprint() if fingerprint else "", answers.copy(),
        )  # fmt: skip

    def prove(self, cuts: int, scrambles: int, rng: np.random.Generator) -> Proof:
        """Run everything and give the verdict."""
        market = self.plan.market
        full = self.run(market, True)
        if self.cls.compiled and jit_enabled():
            made = fresh(self.cls, self.params, market, self.plan.latency.feed_ns)
            self.code = translate.translate(made, market.is_ticks)
        again = self.run(market, True)
        steady = full.fingerprint == again.fingerprint and full.questions == again.questions
        chosen = chosen_moments(market, full, cuts, rng), chosen_moments(market, full, scrambles, rng)
        if steady:
            for cut in chosen[0]:
                self.judge("cut", cut, full, truncated(market, cut))
            for cut in chosen[1]:
                with scrambled(market, cut, rng) as other:
                    self.judge("scrambled", cut, full, other)
        reasons = self.reasons(full, steady)
        verdict = UNSTEADY if not steady else LEAK if self.problems else UNPROVED if reasons else CLEAN
        if not steady:
            words, _ = first_difference(full, again, Horizon(NEVER, NEVER), self.amends, ("first", "then"))
            self.problems.append(
                f"two runs of the same market differ{words and ': ' + words}: something outlives a run "
                "(a global, a class attribute, a file) or is drawn at random"
            )
        return Proof(
            self.cls.__name__, market.name, verdict, len(chosen[0]) * steady, len(chosen[1]) * steady,
            len(full.orders), len(full.questions), self.compared, tuple(self.problems), tuple(reasons),
        )  # fmt: skip

    def judge(self, how: str, cut: int, full: Seen, other: Market) -> None:
        """Run over another future and note what differs before it."""
        horizon = self.horizon(cut, other)
        where = f"{how} at {format_time(cut)}"
        try:
            seen = self.run(other)
        except FrameworkError as error:
            self.problems.append(f"{where}: the run fails without the real future: {error}")
            return
        words, compared = first_difference(full, seen, horizon, self.amends)
        self.compared += compared
        if words:
            self.problems.append(f"{where}: {words}")

    def horizon(self, cut: int, other: Market) -> Horizon:
        """Return up to when a run over another future must agree with the full one."""
        market = self.plan.market
        tables = [self.plan.latency.rows(i.venue) for i in market.instruments]
        until = last_known(market, cut)
        if self.plan.fills.slip_in_range:
            # a fill at the open is clipped to its whole bar: known once it is answered
            until = min(until, cut if min(rows["response"].min() for rows in tables) > 0 else cut - 1)
        if not market.is_ticks:
            return Horizon(until, until)
        happened = min(until, last_happened(market, cut))
        # what funding pays may hang on the exchange's mid; a market that is cut has no timer after its end
        until = min(until, next_funding(market, happened) - 1, other.stop - 1)
        travel = tuple(int(rows["order"].min()) for rows in tables)
        return Horizon(until, min(happened, until), other.stop, travel)

    def reasons(self, full: Seen, steady: bool) -> list[str]:
        """Return why a run without problems is not proved clean."""
        market = self.plan.market
        found = []
        if steady and not self.compared:
            found.append(
                "no order and no question lies before any of the moments: there was nothing to compare"
            )
        if market.features and (self.cls.features or uses(self.cls, "feature")):
            names = ", ".join(sorted(market.features))
            found.append(f"features came ready in the market ({names}); give features=, which builds them")
        if len(market.signals) and callable(getattr(self.cls, "on_signal", None)):
            found.append("signals came ready in the market; whether they knew the future cannot be seen here")
        return found + outside_data(self.cls, market)


def chosen_moments(market: Market, full: Seen, count: int, rng: np.random.Generator) -> list[int]:
    """Return closes or arrivals to cut at, ascending: half of them the last one before a decision."""
    every = moments(market)
    decided = np.array(sorted({*full.orders["ts"].tolist(), *(q[0] for q in full.questions)}), dtype=np.int64)
    busy = (
        np.unique(every[np.searchsorted(every, decided[decided >= every[0]], side="right") - 1])
        if len(every)
        else every
    )
    first = pick(busy, (count + 1) // 2, rng)
    rest = pick(np.setdiff1d(every, first), count - len(first), rng)
    return sorted([*first, *rest])


def pick(times: NDArray[np.int64], count: int, rng: np.random.Generator) -> list[int]:
    """Return some of the times, all when there are not enough."""
    chosen: list[int] = (
        rng.choice(times, min(count, len(times)), replace=False).tolist() if len(times) else []
    )
    return chosen


__all__ = ["Proof", "check_lookahead"]
