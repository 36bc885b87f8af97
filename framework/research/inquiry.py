"""What the sets of a sweep ask: all prompts first, each once, answered together before any set is run."""

from __future__ import annotations

import dis
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.deliver import YES, deliver
from framework.errors import ConfigError, FrameworkError
from framework.llm.decision import Decision, Prompt
from framework.plan import Plan
from framework.questions import check_analyst, prompts_of, stand_in
from framework.replies import Replies
from framework.research.grid import Params
from framework.run import fresh, told
from framework.strategy import Analyst, Strategy, parameters_of

SETTINGS = ("ask_every", "bars", "warmup")  # of a class: they decide when it asks


@dataclass(frozen=True)
class Told:
    """What a set was answered: recorded rows and nothing that could ask."""

    signals: NDArray[Any]
    valid: int
    missing: int

    @property
    def due(self) -> int:
        """Questions the set asks."""
        return len(self.signals)

    @property
    def coverage(self) -> tuple[int, int]:
        """(valid decisions, due decisions)."""
        return self.valid, self.due


@dataclass(frozen=True)
class Point:
    """One row of a sweep before it is run: a set of parameters and what it was answered."""

    params: Params
    told: Told | None = None
    error: str | None = None  # why its questions could not be made
    analyst: Analyst | None = field(default=None, repr=False)

    def bare(self) -> Point:
        """Return the point without its analyst: what a worker gets holds neither key nor connection."""
        return replace(self, analyst=None)


@dataclass(frozen=True)
class Inquiry:
    """Everything the sets of a sweep want to know: `due` decisions, each of one of `prompts`."""

    prompts: Sequence[Prompt]
    due: int
    analysts: tuple[Any, ...]

    def plans(self) -> list[Any]:
        """Return the plan of each analyst that can price itself, see `HolySheep.plan`."""
        return [one.plan(self.prompts) for one in self.analysts if hasattr(one, "plan")]

    @property
    def words(self) -> str:
        """How often a prompt is used."""
        return f"{self.due:,} decisions due, {len(self.prompts):,} prompts"


@dataclass
class Catalogue:
    """The prompts of all sets while they are collected."""

    prompts: list[Prompt] = field(default_factory=list)
    known: dict[Any, int] = field(default_factory=dict)  # what makes two questions one -> its number
    groups: dict[Any, NDArray[np.int64] | str] = field(default_factory=dict)  # numbers, or why there are none

    def add(self, group: Any, make: Callable[[], list[Prompt]]) -> None:
        """Note what the sets of a group ask; a mistake of theirs is their rows' error."""
        try:
            asked = make()
        except FrameworkError as error:
            self.groups[group] = str(error)
            return
        self.groups[group] = np.array([self.number(one) for one in asked], np.int64)

    def number(self, prompt: Prompt) -> int:
        """Return the place of a prompt among all, each counted once."""
        key = (prompt.ts, prompt.instrument, prompt.system, prompt.text)
        if key not in self.known:
            self.known[key] = len(self.prompts)
            self.prompts.append(prompt)
        return self.known[key]


def points_of(
    cls: type[Strategy], plan: Plan, sets: Sequence[Params], analysts: Sequence[Analyst | None],
    confirm: Callable[[Inquiry], object] | None,
) -> list[Point]:
    """Return every set with its answers, one analyst after the other.

    Raises
    ------
    ConfigError
        `confirm` said no: nothing was asked.
    FrameworkError
        What an analyst raises: a miss, a budget that is used up, a relay that refuses.
    """
    for one in analysts:
        check_analyst(one)
    if not asks(cls, plan):
        return [Point(params, analyst=one) for one in analysts for params in sets]
    catalogue, group_of = Catalogue(), grouping(cls)
    for params in sets:
        if (group := group_of(params)) not in catalogue.groups:
            catalogue.add(group, lambda params=params: asked_by(cls, params, plan))  # type: ignore[misc]
    sizes = [len(found) for p in sets if not isinstance(found := catalogue.groups[group_of(p)], str)]
    asked = [one or stand_in() for one in analysts]
    inquiry = Inquiry(catalogue.prompts, sum(sizes) * len(asked), tuple(asked))
    if confirm is not None and confirm(inquiry) is False:
        raise ConfigError(f"nothing was asked: {inquiry.words}, and it was not confirmed")
    points = []
    for one in asked:
        told_by = answered(catalogue, one, plan.replies)
        points += [point(params, told_by[group_of(params)], one) for params in sets]
    return points


def asks(cls: type[Strategy], plan: Plan) -> bool:
    """True when the sets ask an analyst: the class has `ask`, and the market brings no signals of its own."""
    return callable(getattr(cls, "ask", None)) and not len(plan.market.signals)


def point(params: Params, found: Told | str, analyst: Analyst) -> Point:
    """Return a set with its answers, or with the reason why it has none."""
    if isinstance(found, str):
        return Point(params, error=found, analyst=analyst)
    return Point(params, found, analyst=analyst)


def asked_by(cls: type[Strategy], params: Params, plan: Plan) -> list[Prompt]:
    """Return what one set asks; a mistake in its `ask` is one line."""
    made = fresh(cls, params, plan.market, plan.latency.feed_ns)
    try:
        return prompts_of(made, plan.market, plan.latency.feed_ns)
    except FrameworkError:
        raise
    except (Exception, SystemExit) as error:
        raise told(cls, error) from error


def answered(catalogue: Catalogue, analyst: Analyst, replies: Replies) -> dict[Any, Told | str]:
    """Ask everything once and return what each group was told."""
    decisions = list(analyst.decide(catalogue.prompts)) if catalogue.prompts else []
    return {
        group: found if isinstance(found, str) else rows([decisions[i] for i in found.tolist()], replies)
        for group, found in catalogue.groups.items()
    }


def rows(decisions: Sequence[Decision], replies: Replies) -> Told:
    """Return decisions as what a worker needs of them: when each arrives, and how many count."""
    signals, words = deliver(decisions, replies)
    return Told(signals, words.count(YES), sum(d.status == "missing" for d in decisions))


def grouping(cls: type[Strategy]) -> Callable[[Params], Any]:
    """Return a function of a set that is equal for sets which ask the same."""
    names = reads(cls)
    return lambda one: tuple(one[name] for name in names)


def reads(cls: type[Strategy]) -> tuple[str, ...]:
    """Return the parameters that may change what `ask` returns: those it reads, all where that is unclear.

    It is unclear when `ask` uses `self` for anything but reading a parameter (state, a method, `super()`),
    and when the class sets a time of asking by itself.
    """
    known = tuple(parameters_of(cls))
    code = getattr(cls.ask, "__code__", None)  # type: ignore[attr-defined]
    if code is None or sets_times(cls) or code.co_varnames[0] in code.co_cellvars:
        return known
    me, found = code.co_varnames[0], set[str]()
    steps = list(dis.get_instructions(code))
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        touched = step.argval if isinstance(step.argval, tuple) else (step.argval,)
        if "FAST" not in step.opname or me not in touched:
            continue
        is_read = step.opname.startswith("LOAD_FAST") and touched[-1] == me and touched.count(me) == 1
        if not (is_read and after and after.opname == "LOAD_ATTR" and after.argval in known):
            return known
        found.add(after.argval)
    return tuple(name for name in known if name in found)


def sets_times(cls: type[Strategy]) -> bool:
    """True when a method of the class assigns a setting that decides when it asks, or names one as a text."""
    codes = [
        method.__code__
        for base in cls.__mro__
        if issubclass(base, Strategy) and base is not Strategy
        for method in vars(base).values()
        if hasattr(method, "__code__")
    ]
    stored = {
        step.argval for code in codes for step in dis.get_instructions(code) if step.opname == "STORE_ATTR"
    }
    return any(name in stored or any(name in code.co_consts for code in codes) for name in SETTINGS)


__all__ = ["Inquiry", "Point", "Told", "points_of"]
