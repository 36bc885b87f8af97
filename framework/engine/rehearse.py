"""The rehearsal: the first events both ways, compiled and as written, before any number is believed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from framework.engine import plain, plain_ticks, translate
from framework.engine.state import GROW
from framework.engine.tables import Setup, Tables
from framework.engine.tick_calls import advance_of
from framework.errors import StrategyError
from framework.market import Market
from framework.market_source import opening as first_pieces

EVENTS = 2_000
PASSED: set[tuple[str, int]] = set()  # (compiled module, market) pairs that were rehearsed in this process


def opening(market: Market) -> Market:
    """Return the first events of a market."""
    last, market = 0, first_pieces(market)
    for k in range(len(market.instruments)):
        if market.has_ticks(k):
            last = max(last, opening_of_ticks(market, k))
            continue
        bars = market.match_bars(k)
        if len(bars):
            last = max(last, int(bars["close_ts"][min(EVENTS, len(bars)) - 1]))
    return market.slice(None, last) if last < market.stop else market


def opening_of_ticks(market: Market, k: int) -> int:
    """Return when the first trades and messages of an instrument have arrived."""
    last = 0
    for rows in (market.trades.get(k), market.books[k].messages[:-1] if k in market.books else None):
        if rows is not None and len(rows):
            last = max(last, int(rows["local_ts"][min(EVENTS, len(rows)) - 1]))
    return last


def rehearse(
    made: Any,
    code: translate.Compiled,
    market: Market,
    fresh: Callable[[Market], Any],
    prepare: Callable[[Market], tuple[Setup, Callable[[Tables, Any], None]]],
    say: Callable[[str], None] | None,
) -> None:
    """Run the first events compiled and as plain Python; StrategyError where they differ.

    Parameters
    ----------
    made, code
        The strategy and its compiled form.
    market
        The market of the run; its first 2,000 bars are used.
    fresh, prepare
        Make a strategy object and the engine's setup for a market.
    """
    key = (code.path.stem, id(market))
    if key in PASSED:
        return
    part = opening(market)
    orders = []
    written = fresh(part)
    before = {name: type(value) for name, value in vars(written).items()}
    for compiled in (False, True):
        setup, wake = prepare(part)
        tables = Tables(part, setup)
        one = written if not compiled else fresh(part)
        wake(tables, one)
        if compiled:
            run_compiled(code, one, tables)
        else:
            run_written(one, tables)
            check_types(made, one, before)
        orders.append(tables.sim.orders[: int(tables.clock["n_orders"])].copy())
    compare(made, *orders)
    PASSED.add(key)


def loop_of(tables: Tables) -> type[plain.Loop]:
    """Return the plain driver of a run."""
    return plain_ticks.TickLoop if tables.clock["ticks"] else plain.Loop


def run_written(one: Any, tables: Tables) -> None:
    """Run the hooks as they are written."""
    loop_of(tables)(tables, one, one.features, getattr(one, "view", None)).run()


def run_compiled(code: translate.Compiled, one: Any, tables: Tables) -> None:
    """Run the compiled hooks."""
    advance = advance_of(tables.sim)
    me = code.pack(one)
    while translate.call(code, tables.address, me, advance) == GROW:
        tables.grow()


def check_types(made: Any, one: Any, before: dict[str, type]) -> None:
    """Refuse state whose type changed while running: compiled code would cut it to the first type."""
    same = {bool: bool, np.bool_: bool, np.float64: float, np.int64: int}
    for name, kind in before.items():
        now = type(getattr(one, name))
        was, is_ = same.get(kind, kind), same.get(now, now)
        if was is is_ or (was, is_) == (float, int):
            continue
        raise StrategyError(
            f"{type(made).__name__}.{name} is {was.__name__} after setup and {is_.__name__} after some "
            f"events; compiled code would cut it: start it as {is_.__name__}"
            + (f", {name} = {float(0)}" if is_ is float else "")
        )


def compare(made: Any, written: Any, compiled: Any) -> None:
    """Refuse a strategy whose orders differ between the two ways."""
    fields = ("ts", "instrument", "kind", "side", "status", "filled", "value", "qty", "price", "trigger")
    for row in range(min(len(written), len(compiled))):
        for name in fields:
            a, b = written[row][name], compiled[row][name]
            if a != b and not (a != a and b != b):
                raise StrategyError(
                    f"{type(made).__name__}: order {row + 1} differs between Python ({name} {a!r}) and "
                    f"compiled code ({b!r}); a hook depends on something only Python has"
                )
    if len(written) != len(compiled):
        raise StrategyError(
            f"{type(made).__name__}: {len(written)} orders as written and {len(compiled)} compiled in the "
            "first events; a hook depends on something only Python has"
        )
