"""`check_strategy`: a rehearsal over the first rows that tells a researcher what is wrong, and where."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import FunctionType
from typing import Any

from framework.backtest import with_analyst
from framework.engine import plain
from framework.engine.rehearse import opening
from framework.engine.sending import UNSET
from framework.errors import FrameworkError, StrategyError, near
from framework.market import Market
from framework.outcome import Outcome
from framework.plan import Plan, make_plan
from framework.records import NEVER, REASONS, REJECTED
from framework.run import class_of, finish, fresh, loop_for, run, tables_of, told
from framework.strategy import HOOKS, Strategy, hooks_of, need_hook, parameters_of
from framework.times import format_time

MOST = 5  # problems of one kind that are told
GIVEN = ("view", "instruments")  # state a run gives


@dataclass(frozen=True)
class Report:
    """What a rehearsal found.

    problems : one line each, with class, hook, file and line where there is one. notes : what was tried.
    """

    strategy: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """True when nothing is wrong."""
        return not self.problems

    def __str__(self) -> str:
        words = "ok" if self.ok else f"{len(self.problems)} problem{'s' * (len(self.problems) > 1)}"
        return "\n".join(
            [f"{self.strategy}: {words}", *(f"  {line}" for line in (*self.problems, *self.notes))]
        )


def check_strategy(
    strategy: Strategy | type[Strategy],
    market: Market | None = None,
    *,
    raise_on_error: bool = False,
    analyst: Any = None,
    **options: Any,
) -> Report:
    """Rehearse a strategy over the first 2,000 bars, or trades and messages, of a market.

    Hooks and parameters are looked at; state that a hook reads and `setup` does not set; the run as written,
    with every call of the broker watched; the compiled run and its agreement with the written one; two runs,
    which must have one fingerprint.

    Parameters
    ----------
    market
        Default: the sample the class names.
    raise_on_error
        Raise StrategyError with the first problem instead of returning it.
    analyst
        Answers the questions of `ask`; default `Rules`.
    **options
        Options of `backtest`.

    Raises
    ------
    ConfigError, DataError
        Options or a market that cannot be used.
    StrategyError
        With `raise_on_error`, or when `strategy` is no strategy.
    """
    cls, params = class_of(strategy)
    if market is None:
        from framework.samples import load

        market = load(cls.sample)
    whole = make_plan(market, **options)
    plan = replace(whole, market=opening(market))
    check = Check(cls, params, plan, analyst)
    check.all()
    report = Report(cls.__name__, tuple(check.problems), tuple(check.notes))
    if raise_on_error and report.problems:
        raise StrategyError(report.problems[0])
    return report


class Check:
    """One rehearsal."""

    def __init__(self, cls: type[Strategy], params: dict[str, Any], plan: Plan, analyst: Any) -> None:
        self.cls, self.params, self.plan, self.analyst = cls, params, plan, analyst
        self.problems: list[str] = []
        self.notes: list[str] = []

    def all(self) -> None:
        """Run the checks; a run that fails ends them, for what follows would say the same again."""
        self.hooks()
        try:
            made = fresh(self.cls, self.params, self.plan.market, self.plan.latency.feed_ns)
            self.problems += reads_before_set(made)
            self.plan, asked = with_analyst(self.cls, self.params, self.plan, self.analyst)
            if asked is not None:
                self.notes.append(f"asked {asked.due} questions, {asked.coverage[0]} answers are valid")
            self.as_written()
            self.twice()
        except FrameworkError as error:
            said = str(error)
            if said not in self.problems:
                self.problems.append(said)

    def hooks(self) -> None:
        """See that something would ever be called."""
        known = hooks_of(self.cls)
        for name in vars(self.cls):
            bare = name.lower().replace("_", "")
            if name not in HOOKS and callable(vars(self.cls)[name]):
                self.problems += [
                    f"{self.cls.__name__}.{name} is never called: {near(name, HOOKS)}"
                    for hook in HOOKS
                    if bare == hook.replace("_", "")
                ]
        try:
            need_hook(self.cls)
        except StrategyError as error:
            self.problems.append(str(error))
        if known & {"ask", "ask_portfolio"} and "on_signal" not in known:
            self.problems.append(
                f"{self.cls.__name__} asks and never hears: define on_signal(self, signal, broker)"
            )
        shown = ", ".join(f"{k}={v!r}" for k, v in {**defaults(self.cls), **self.params}.items())
        self.notes.append(f"hooks: {', '.join(sorted(known)) or 'none'}; parameters: {shown or 'none'}")

    def as_written(self) -> None:
        """Run the hooks in plain Python with a watched broker."""
        made = fresh(self.cls, self.params, self.plan.market, self.plan.latency.feed_ns)
        loop = loop_for(tables_of(made, self.plan.market, self.plan), made)
        watch = Watch(self.cls)
        watched = type("WatchedBroker", (WatchedBroker, loop.broker_class), {})
        loop.brokers = [watched(loop, k, watch) for k in range(len(loop.brokers))]
        try:
            finish(loop.tables, loop.run(), self.cls.__name__)
        except FrameworkError as error:
            place = told(self.cls, error)
            raise StrategyError(str(place).replace(f": {type(error).__name__}: ", ": ")) from error
        except (Exception, SystemExit) as error:
            raise told(self.cls, error) from error
        self.problems += watch.found
        self.orders(Outcome(loop.tables))

    def orders(self, outcome: Outcome) -> None:
        """Look at what became of the orders."""
        rows = outcome.order_rows
        self.notes.append(
            f"{rows_in(self.plan.market)}, {len(rows)} orders and {len(outcome.fill_rows)} fills in the "
            "rehearsal"
        )
        refused = rows[rows["status"] == REJECTED]
        if len(refused) and len(outcome.fill_rows) == 0:
            why = REASONS[int(refused["reason"][0])]
            at = format_time(int(refused["ts"][0]))
            self.problems.append(
                f"{self.cls.__name__}: every order that ended was rejected, {len(refused)} of {len(rows)}; "
                f"the first, of {at}: {why}"
            )
        elif len(refused):
            self.notes.append(f"{len(refused)} orders were rejected")

    def twice(self) -> None:
        """Run as backtest does, compiled when the class is, two times."""
        prints = [Outcome(run(self.cls, self.params, self.plan, None, None)).fingerprint() for _ in range(2)]
        if prints[0] != prints[1]:
            self.problems.append(
                f"{self.cls.__name__}: two runs differ: something outlives a run (a global, a class "
                "attribute, a file) or is drawn at random; keep state in self, made in setup"
            )
        how = "compiled and as written, with the same orders" if self.cls.compiled else "as written"
        self.notes.append(f"run {how}, twice, fingerprint {prints[0][:8]}")


def rows_in(market: Market) -> str:
    """Return how much orders meet in a market: bars, and trades and messages of books."""
    bars = sum(len(market.match_bars(k)) for k in range(len(market.instruments)) if not market.has_ticks(k))
    counts = {
        "bars": bars, "trades": sum(len(rows) for rows in market.trades.values()),
        "messages": sum(len(book) for book in market.books.values()),
    }  # fmt: skip
    told = [name for name in counts if counts[name]] or ["trades" if market.is_ticks else "bars"]
    return ", ".join(f"{counts[name]} {name}" for name in told)


def defaults(cls: type[Strategy]) -> dict[str, Any]:
    """Return the parameters' default values."""
    return {name: value for name, (_, value) in parameters_of(cls).items()}


class Watch:
    """Collects misuse of the broker, a few of each kind, with the line that did it."""

    def __init__(self, cls: type[Strategy]) -> None:
        self.name = cls.__name__
        self.file = getattr(inspect.getmodule(cls), "__file__", None)
        self.found: list[str] = []

    def note(self, words: str) -> None:
        """Remember a problem at the place in the strategy's file that is running."""
        place, frame = "", inspect.currentframe()
        while frame is not None:
            if frame.f_code.co_filename == self.file:
                place = f".{frame.f_code.co_name}, {Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
                break
            frame = frame.f_back
        line = f"{self.name}{place}: {words}"
        if line not in self.found and len(self.found) < MOST:
            self.found.append(line)


class WatchedBroker(plain.PlainBroker):
    """The broker of a rehearsal."""

    def __init__(self, loop: plain.Loop, k: int, watch: Watch) -> None:
        super().__init__(loop, k)
        self._watch = watch

    def order(
        self, side: int, qty: float = UNSET, share: float = UNSET, price: float = UNSET,
        trigger: float = UNSET, stop: float = UNSET, target: float = UNSET, trail: float = UNSET,
        tif: int | str = 0, post_only: bool = False, reduce_only: bool = False, group: int = 0,
        expire_ts: int = NEVER,
    ) -> int:  # fmt: skip
        numbers = {"qty": qty, "share": share, "price": price, "trigger": trigger, "stop": stop,
                   "target": target, "trail": trail}  # fmt: skip
        self._look({name: value for name, value in numbers.items() if value != UNSET})
        return super().order(side, **numbers, tif=tif, post_only=post_only, reduce_only=reduce_only,
                             group=group, expire_ts=expire_ts)  # fmt: skip

    def buy(self, qty: float = UNSET, share: float = UNSET, **options: Any) -> int:
        return self.order(1, qty, share, **options)

    def sell(self, qty: float = UNSET, share: float = UNSET, **options: Any) -> int:
        return self.order(-1, qty, share, **options)

    def _look(self, given: dict[str, float]) -> None:
        """Note values that are taken for something else than was meant."""
        for name, value in given.items():
            if value != value:
                self._watch.note(f"order({name}=nan): is an indicator not ready yet?")
            elif value <= 0.0:
                fix = "a size above 0; the side says buy or sell" if name in ("qty", "share") else "above 0"
                self._watch.note(f"order({name}={value!r}): {fix}")


def reads_before_set(made: Strategy) -> list[str]:
    """Return reads of state that `setup` has not set, in the hooks and what they call, by line."""
    cls = type(made)
    known = {*vars(made), *dir(cls), *GIVEN}
    found = []
    methods = {n: f for n, f in inspect.getmembers(cls, inspect.isfunction) if n not in vars(Strategy)}
    elsewhere = {name for f in methods.values() for name, _, is_read in touched(f) if not is_read}
    for name, function in methods.items():
        for state, line, is_read in touched(function):
            if is_read and state not in known:
                where = f"{cls.__name__}.{name}, {Path(function.__code__.co_filename).name}:{line}"
                fix = near(state, [n for n in {**made.params, **vars(made)} if n not in GIVEN])
                if state in elsewhere:
                    fix = "a hook sets it later: give it a first value in setup"
                found.append(f"{where}: names '{state}', which setup does not set: {fix}")
    return list(dict.fromkeys(found))[:MOST]


def touched(function: FunctionType) -> Iterator[tuple[str, int, bool]]:
    """Yield (name, line, is read) of every `self.name` in a method."""
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError):
        return
    tree = ast.parse(textwrap.dedent("".join(lines)))
    me = function.__code__.co_varnames[0] if function.__code__.co_argcount else ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == me:
            yield node.attr, first + node.lineno - 1, isinstance(node.ctx, ast.Load)


__all__ = ["Report", "check_strategy"]
