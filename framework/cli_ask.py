"""Who answers a command's questions, and what that may cost: planned, priced, and confirmed before."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from framework.cli_job import Job
from framework.cli_show import Meter, is_watched
from framework.errors import BudgetExceeded, ConfigError, FrameworkError

if TYPE_CHECKING:
    from framework.market import Market
    from framework.research.inquiry import Inquiry
    from framework.strategy import Analyst, Strategy

Say = Callable[[str], None]
WHO = ("model", "temperature", "record", "refresh", "replay", "cassette")  # options that name who answers


def analyst_of(job: Job, cls: type[Strategy]) -> Analyst | None:
    """Return who answers; None = `Rules`. A key alone never spends: only --record and --refresh do."""
    (one,) = analysts_of(job, cls, [], [])
    return one


def analysts_of(
    job: Job, cls: type[Strategy], models: Sequence[str], temperatures: Sequence[float]
) -> list[Analyst | None]:
    """Return who answers: each model at each temperature, of one budget; None = `Rules`.

    Raises
    ------
    ConfigError
        The strategy asks nothing, options that contradict each other, no key or no price when recording.
    """
    named = [name for name in WHO if is_given(job, name)]
    named += [name for name, given in (("model", models), ("temperature", temperatures)) if given]
    spending = [n for n in ("yes", "budget", "concurrency") if is_given(job, n)]
    if named and not does_ask(cls):
        raise ConfigError(f"--{named[0]}: {cls.__name__} asks nothing (it has no `ask`); leave it out")
    if spending and not (job.record or job.refresh):
        raise ConfigError(f"--{spending[0]}: is for a recording; say --record too, or leave it out")
    if job.replay and (job.record or job.refresh):
        raise ConfigError("--replay: answers are those of the store; leave out --record and --refresh")
    if not named:
        return [None]
    ways = [
        {name: value for name, value in (("model", model), ("temperature", heat)) if value is not None}
        for model in models or (job.model,)
        for heat in temperatures or (job.temperature,)
    ]
    return recorded(job, ways) if job.cassette is not None else asked(job, ways)


def is_given(job: Job, name: str) -> bool:
    """True when an option was typed; 0 is a value."""
    return getattr(job, name) is not None and getattr(job, name) is not False


def does_ask(cls: type[Strategy]) -> bool:
    """True when a strategy asks about the market or about its portfolio."""
    return any(callable(getattr(cls, name, None)) for name in ("ask", "ask_portfolio"))


def recorded(job: Job, ways: list[dict[str, Any]]) -> list[Analyst | None]:
    """Return who answers from a cassette."""
    if given := [name for name in ("record", "refresh", "replay") if getattr(job, name)]:
        raise ConfigError(f"--cassette: answers are read from it; leave out --{given[0]}, or the cassette")
    from framework.llm.replay import CassetteAnalyst

    return [CassetteAnalyst(str(job.cassette), **way) for way in ways]


def asked(job: Job, ways: list[dict[str, Any]]) -> list[Analyst | None]:
    """Return who answers from the store and, where it was said, asks what is not there."""
    from framework.llm.client import HolySheep

    options: dict[str, Any] = {"mode": "refresh" if job.refresh else "record" if job.record else "replay"}
    if job.concurrency is not None:
        options["concurrency"] = job.concurrency
    if job.budget is not None:
        from framework.llm.budget import Budget

        options["budget"] = Budget(job.budget)
    return [HolySheep(**way, **options) for way in ways]


class Confirmed:
    """An analyst that has its questions planned, priced and confirmed first; it is the other in all else."""

    def __init__(self, analyst: Analyst, job: Job, say: Say) -> None:
        self.name, self.model, self.stand_in = analyst.name, analyst.model, analyst.stand_in
        self._analyst, self._job, self._say = analyst, job, say

    def __getattr__(self, name: str) -> Any:
        return getattr(self._analyst, name)

    def decide(self, prompts: Sequence[Any]) -> list[Any]:
        """Answer prompts in order, after their plan was shown and confirmed."""
        one: Any = self._analyst
        confirm(self._job, [one.plan(prompts)], self._say)
        decisions: list[Any] = one.decide(prompts)
        return decisions


def with_consent(job: Job, cls: type[Strategy], analyst: Analyst | None, say: Say) -> Analyst | None:
    """Return the analyst of a backtest: one that spends shows its plan first, and waits for a yes."""
    from framework.strategy import asks_portfolio

    need_limit(job, cls)
    if analyst is None or not is_recording(job) or asks_portfolio(cls):
        return analyst
    return Confirmed(analyst, job, say)


def is_recording(job: Job) -> bool:
    """True where money may be spent."""
    return job.record or job.refresh


def need_limit(job: Job, cls: type[Strategy]) -> None:
    """Refuse a recording whose questions nobody can count before the run, unless it is limited and wanted."""
    from framework.llm.wire import endpoint
    from framework.strategy import asks_portfolio

    is_fine = not (is_recording(job) and asks_portfolio(cls)) or (job.yes and job.budget is not None)
    if not is_fine and not endpoint()[2]:
        raise ConfigError(
            f"{cls.__name__} asks in the middle of its run, so its questions cannot be counted before: say "
            "--yes and --budget USD"
        )


def confirm(job: Job, plans: Sequence[Any], say: Say) -> None:
    """Show what would be asked and what it may cost, and wait for a yes where money would be spent.

    Raises
    ------
    ConfigError
        Nobody is there to say yes, or it was a no: nothing was asked.
    """
    from framework.llm.wire import endpoint

    lines = [f"{plan.model}: {plan}" for plan in plans]
    is_free = job.yes or endpoint()[2] or not any(plan.to_ask for plan in plans)
    if not is_free and not sys.stdin.isatty():
        raise ConfigError(f"{'; '.join(lines)}: say --yes to ask, and --budget USD to limit it")
    for words in lines:
        say(words)
    if not is_free:
        print("sheepfold: go? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes", "go"):
            raise ConfigError("nothing was asked: it was not confirmed")


@contextlib.contextmanager
def asking(analysts: Sequence[Analyst | None]) -> Iterator[None]:
    """Show how many questions are answered while a recording runs; say so when a budget ends it early."""
    inner = [one._analyst if isinstance(one, (Confirmed, Listener)) else one for one in analysts]
    watched = [one for one in inner if is_watched() and getattr(one, "progress", 0) is None]
    with Meter("asking", 1, "answers") as meter:

        def answered(done: int, total: int) -> None:
            meter.total = total
            meter(done)

        for one in watched:
            one.progress = answered  # type: ignore[union-attr]
        try:
            yield
        except BudgetExceeded as error:
            close(inner)
            raise BudgetExceeded(f"INCOMPLETE: {error}") from None
        except FrameworkError:
            close(inner)
            raise
        close(inner)


def close(analysts: Sequence[Any]) -> None:
    """Close the connections and the store of who answered; what was answered stays in memory."""
    for one in analysts:
        if hasattr(one, "close"):
            one.close()


def spending(analyst: Analyst | None) -> Iterator[str]:
    """Say what a recording cost and why it stopped early; nothing where nobody was asked."""
    spent = getattr(analyst, "spent", None)
    if spent is not None and spent.answers:
        tokens = f"{spent.input_tokens:,} tokens in, {spent.output_tokens:,} out"
        priced = f"prices of {spent.prices_date}" if spent.prices_date else "prices as given"
        worst = f", {spent.estimated:,} at our worst case" if spent.estimated else ""
        yield f"spent ${spent.usd:,.4f} on {spent.answers:,} answers ({tokens}; {priced}{worst})"
    yield from getattr(analyst, "alarms", ())
    if stopped := getattr(analyst, "stopped", None):
        yield f"recording stopped early: {stopped}"


class Listener:
    """An analyst that hands questions on and notes whether any decision lies after the model's cutoff."""

    def __init__(self, analyst: Analyst) -> None:
        self.name, self.model, self.stand_in = analyst.name, analyst.model, analyst.stand_in
        self.due, self.keys = 0, set[str]()  # decisions taken, and of how many prompts
        self._analyst, self._seen = analyst, set[bool]()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._analyst, name)

    def decide(self, prompts: Sequence[Any]) -> list[Any]:
        """Answer prompts in order."""
        decisions = list(self._analyst.decide(prompts))
        self._seen |= {bool(one.in_sample) for one in decisions if one.status != "missing"}
        self.due += len(decisions)
        self.keys |= {one.key for one in decisions}
        return decisions

    @property
    def in_sample_only(self) -> bool:
        """True when there were decisions and the model may remember the time of each."""
        return self._seen == {True}

    @property
    def words(self) -> str:
        """Who decided, as every output has it."""
        from framework.report.compare import who

        return who({"analyst": self.fields})

    @property
    def fields(self) -> dict[str, Any]:
        """Who decided, as --json has it."""
        return {"name": self.name, "model": self.model, "stand_in": self.stand_in}


def listeners(cls: type[Strategy], market: Market, analysts: Sequence[Analyst | None]) -> list[Listener]:
    """Return who answers, each with an ear on it; nobody where nobody is asked."""
    if not does_ask(cls) or len(market.signals):
        return []
    from framework.questions import stand_in

    return [Listener(one or stand_in()) for one in analysts]


def who_decided(heard: Sequence[Listener]) -> str:
    """Return who decided, as it is printed."""
    words = ", ".join(dict.fromkeys(one.words for one in heard))
    return f"decisions by {words}" + (", not a language model" if all(one.stand_in for one in heard) else "")


@dataclass
class Asking:
    """What a sweep asks: shown, priced and confirmed before it is asked, and counted."""

    job: Job
    heard: list[Listener]
    say: Say
    inquiry: Inquiry | None = None

    def __call__(self, inquiry: Inquiry) -> None:
        """Show the plan and wait for a yes where money would be spent."""
        self.inquiry = inquiry
        if is_recording(self.job):
            self.say(inquiry.words)
            confirm(self.job, inquiry.plans(), self.say)

    @property
    def analyst(self) -> Any:
        """Who answers, as `sweep` takes it."""
        return self.heard if len(self.heard) > 1 else self.heard[0] if self.heard else None

    @property
    def counts(self) -> dict[str, int]:
        """Decisions that were due, and the prompts they came from."""
        if self.inquiry is not None:
            return {"due": self.inquiry.due, "prompts": len(self.inquiry.prompts)}
        due, prompts = (sum(one.due for one in self.heard), sum(len(one.keys) for one in self.heard))
        return {"due": due, "prompts": prompts}

    @property
    def lines(self) -> list[str]:
        """Who decided, how often a prompt was used, and that nothing is out of sample."""
        from framework.report.words import NO_HEADLINE

        if not self.heard:
            return []
        found = [who_decided(self.heard), "{due:,} decisions due, {prompts:,} prompts".format(**self.counts)]
        if self.in_sample_only:
            words = "none is known to lie after the model's cutoff; figures are in-sample"
            found.append(f"{NO_HEADLINE}: {words}")
        return found

    @property
    def in_sample_only(self) -> bool:
        """True when the models may remember the time of every decision."""
        return bool(self.heard) and all(one.in_sample_only for one in self.heard)
