"""`probe`: does a model read its brief, or does it remember the market? Planned and priced before it asks.

Evidence and its sources: masked and re-identified questions (arXiv:2504.14765), date-only recall
(arXiv:2512.23847), counterfactual briefs and input dependency (arXiv:2510.07920), several samples of one
question. None of them proves that there is no memory; a backtest after the cutoff is worth more than all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from framework.errors import BudgetExceeded, ConfigError, FrameworkError, near
from framework.llm.decision import Prompt
from framework.market import Market
from framework.plan import make_plan
from framework.questions import prompts_of
from framework.research import probe_variants as made
from framework.research.grid import OPTIONS
from framework.research.probe_measures import report_of
from framework.research.probe_plan import ProbePlan, plan_of
from framework.research.probe_report import ProbeReport
from framework.research.probe_trial import BySample, Trial
from framework.research.probe_variants import TESTS
from framework.run import class_of, told
from framework.strategy import Analyst, Strategy

MOST_SAMPLES, MOST_QUESTIONS = 50, 10_000


def probe(
    strategy: Strategy | type[Strategy],
    market: Market,
    analyst: Analyst | BySample,
    *,
    tests: Iterable[str] = TESTS,
    samples: int = 3,
    limit: int = 40,
    budget: float | None = None,
    seed: int = 0,
    confirm: Callable[[ProbePlan], bool] | None = None,
    **backtest_options: Any,
) -> ProbeReport:
    """Ask an analyst other versions of a strategy's questions, and see what it goes by.

    Parameters
    ----------
    analyst
        Who is asked; or a function sample -> analyst, needed for `samples`: `lambda k: HolySheep("gpt-4.1",
        sample=k)`. Answers come from its store unless it records.
    tests
        Any of masked (other name, dates, scale), mirrored (upside down: directions should turn), shuffled
        (random history before the same price: skill should vanish), deletion (one part of the brief left
        out), samples (the same again), recall (the price at a date, without a brief), reidentify (what is
        this masked brief?).
    samples
        How often each question is asked as it is.
    limit
        Questions looked at, evenly over the market, those with full history first.
    budget
        USD; refused before anything is asked when the worst case is more.
    seed
        Of masks and shuffles; another seed asks other questions.
    confirm
        Gets the plan with its price; False stops before anything is asked.
    **backtest_options
        Of `backtest`; the feed's delay counts.

    Raises
    ------
    BudgetExceeded
        The worst case is above `budget`.
    CacheMiss
        The analyst replays, and a question was never recorded.
    ConfigError
        An unknown test or option, a number out of range, or prompts that are not a market brief.
    """
    wanted = checked(tests, samples, limit, budget)
    for name in backtest_options:
        if name not in OPTIONS:
            raise ConfigError(f"{name}: no option of probe or backtest: {near(name, OPTIONS)}")
    cls, params = class_of(strategy)
    feed = make_plan(market, **backtest_options).latency.feed_ns
    every = questions(cls, params, market, feed)
    by_sample, wanted, notes = analysts(analyst, wanted, samples)
    trial = Trial(every, pick(every, limit), market, feed, by_sample)
    asked = trial.variants(wanted, seed, samples)
    plan = plan_of(asked, trial.who)
    if budget is not None and (plan.worst_usd is None or plan.worst_usd > budget):
        cost = "has no known price" if plan.worst_usd is None else f"may cost ${plan.worst_usd:,.4f}"
        raise BudgetExceeded(
            f"the probe {cost}, the budget is ${budget:,.4f}; lower limit, samples or tests, or raise it"
        )
    if confirm is not None and not confirm(plan):
        raise ConfigError(f"nothing was asked ({plan})")
    trial.ask(asked)
    return report_of(trial, wanted, plan, cls.__name__, notes)


def checked(tests: Iterable[str], samples: int, limit: int, budget: float | None) -> tuple[str, ...]:
    """Return the tests in their own order; ConfigError for what is none, and for numbers out of range."""
    wanted = [tests] if isinstance(tests, str) else list(tests)
    for name in wanted:
        if name not in TESTS:
            raise ConfigError(f"tests: {name!r} is none: {near(name, TESTS)}")
    for name, value, most in (("samples", samples, MOST_SAMPLES), ("limit", limit, MOST_QUESTIONS)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise ConfigError(f"{name}={value!r} must be a whole number from 1 to {most:,}")
    if budget is not None and not 0.0 <= budget < float("inf"):
        raise ConfigError(f"budget={budget!r} must be a number of USD, 0 or more")
    return tuple(name for name in TESTS if name in wanted)


def questions(cls: type[Strategy], params: dict[str, Any], market: Market, feed: int) -> list[Prompt]:
    """Return every question the strategy asks over the market.

    Raises
    ------
    ConfigError
        It asks nothing, or something else than briefs, of which there are no other versions.
    """
    if not callable(getattr(cls, "ask", None)):
        raise ConfigError(f"{cls.__name__} asks nothing (it has no `ask`), so there is nothing to probe")
    try:
        strategy = cls(**params)
        strategy.setup()
        found = prompts_of(strategy, market, feed)
    except FrameworkError:
        raise
    except (Exception, SystemExit) as error:
        raise told(cls, error) from error
    if not found:
        raise ConfigError(f"{cls.__name__} has no question in this market; choose a longer one")
    if any(Prompt.of(one.brief).text != one.text for one in (found[0], found[-1])):
        raise ConfigError(f"{cls.__name__} writes its own prompts; probe can only vary those of market_brief")
    return found


def pick(prompts: Sequence[Prompt], limit: int) -> list[int]:
    """Return the rows of the questions looked at: evenly in time, those with full history first."""
    whole = [row for row, one in enumerate(prompts) if one.brief.trend is not None]
    rows = whole if len(whole) >= min(limit, len(prompts)) else list(range(len(prompts)))
    if len(rows) <= limit:
        return rows
    return [rows[k * (len(rows) - 1) // max(limit - 1, 1)] for k in range(limit)]


def analysts(analyst: Any, tests: tuple[str, ...], samples: int) -> tuple[
    BySample, tuple[str, ...], tuple[str, ...]
]:  # fmt: skip
    """Return (who answers which sample, tests that can be done, why others cannot)."""
    notes, left = [], set()
    if hasattr(analyst, "decide") and not isinstance(analyst, type):
        first, of = analyst, lambda _: analyst
        if made.SAMPLES in tests:
            left.add(made.SAMPLES)
            notes.append("samples: this analyst gives one answer; pass a function sample -> analyst")
    elif callable(analyst):
        first = analyst(0)
        of = lambda k: first if k == 0 else analyst(k)  # noqa: E731
        if samples < 2:
            left.add(made.SAMPLES)
    else:
        raise ConfigError(f"analyst must be an analyst or a function sample -> analyst, not {analyst!r}")
    if getattr(first, "stand_in", False) or not hasattr(first, "records"):
        left |= {made.RECALL, made.REIDENTIFY}
        notes.append("recall, reidentify: no language model is asked, so there is nothing to remember")
    return of, tuple(one for one in tests if one not in left), tuple(notes)


__all__ = ["TESTS", "ProbePlan", "ProbeReport", "probe"]
