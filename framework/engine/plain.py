"""The plain driver: hooks in ordinary Python, the kernel called only when something can happen.

While nothing rests, bars pass without a kernel call; the kernel catches up when an order is sent or state is
read.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from framework.engine.calls import (
    catch_up,
    known_equity,
    quiet_end,
    send_amends,
    send_cancels,
    send_close,
    send_order,
    step,
)
from framework.engine.events import Bar, FillEvent, OrderEvent, Signal
from framework.engine.replay import advance_at
from framework.engine.sending import UNSET
from framework.engine.state import (
    DONE,
    FAILED,
    GROW,
    NUMBERS,
    WAKE_BAR,
    WAKE_FILL,
    WAKE_ORDER,
    WAKE_SIGNAL,
    WAKE_TIMER,
)
from framework.engine.tables import Tables
from framework.errors import OrderRejected, near
from framework.jit import native
from framework.records import ASK, GTD, NEVER, NONE, TIF_NAMES

NO_BOOK = "broker.book: the market has bars only; a book needs tick data (from_tardis, or the sample `ticks`)"
CHUNK = 4096  # bars turned into Python numbers at a time
AHEAD = 64  # bars looked ahead at first; doubled while nothing happens


class BarRow(NamedTuple):
    """A bar for plain hooks: what changes from bar to bar; the rest of `Bar` are attributes of the run's
    class.
    """

    open_ts: int
    close_ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float


def length(bar: Any) -> int:
    """Return the length of a bar in ns."""
    return int(bar.close_ts - bar.open_ts)


def bar_class(instrument: int) -> Callable[[Any], Any]:
    """Return the maker of an instrument's bars: what can be told from a row is not written for every bar."""
    members = {"instrument": instrument, "interval": property(length), "ts": BarRow.close_ts, "__slots__": ()}
    return partial(tuple.__new__, type("Bar", (BarRow,), members))


def tif_code(tif: int | str) -> int:
    """Return the code of a time in force given by name or code."""
    if isinstance(tif, str):
        if tif.upper() not in TIF_NAMES:
            raise OrderRejected(f"tif '{tif}': {near(tif.upper(), TIF_NAMES)}")
        return TIF_NAMES.index(tif.upper())
    if not 0 <= tif < len(TIF_NAMES):
        raise OrderRejected(f"tif {tif}: choose from {', '.join(TIF_NAMES)}")
    return int(tif)


def check_numbers(what: str, names: tuple[str, ...], values: tuple[float, ...]) -> None:
    """Refuse NaN and infinity: an indicator in its warm-up must not turn a limit into a market order."""
    for name, value in zip(names, values, strict=True):
        if value != UNSET and not math.isfinite(value):
            raise OrderRejected(
                f"{what}({name}={value}): is an indicator not ready yet? Wait for it, or leave {name} out"
            )


class PlainBroker:
    """`Broker` of one instrument for hooks in plain Python."""

    def __init__(self, loop: Loop, k: int) -> None:
        self._loop = loop
        self._k = k
        self.position = 0.0

    def _refresh(self) -> None:
        clock = self._loop.tables.clock
        self.position = float(self._loop.tables.sim.account[int(clock["n"]) + self._k]["position"])

    def _caught_up(self) -> int:
        return self._loop.catch_up()

    @property
    def book(self) -> Any:
        raise OrderRejected(NO_BOOK)

    @property
    def now(self) -> int:
        return self._loop.now

    @property
    def equity(self) -> float:
        return float(known_equity(self._caught_up()))

    @property
    def cash(self) -> float:
        self._caught_up()
        return float(self._loop.tables.sim.total[1]["cash"])

    @property
    def price(self) -> float:
        self._caught_up()
        sim = self._loop.tables.sim
        return float(sim.account[int(sim.clock[0]["n"]) + self._k]["mark"])

    @property
    def entry_price(self) -> float:
        sim = self._loop.tables.sim
        return float(sim.account[int(sim.clock[0]["n"]) + self._k]["entry"])

    @property
    def orders(self) -> int:
        sim = self._loop.tables.sim
        rows = sim.mine[: int(sim.clock[0]["n_mine"])]
        return int((sim.orders["instrument"][rows] == self._k).sum())

    def order(
        self, side: int, qty: float = UNSET, share: float = UNSET, price: float = UNSET,
        trigger: float = UNSET, stop: float = UNSET, target: float = UNSET, trail: float = UNSET,
        tif: int | str = 0, post_only: bool = False, reduce_only: bool = False, group: int = 0,
        expire_ts: int = NEVER,
    ) -> int:
        if side not in (1, -1):
            raise OrderRejected(f"order: side is +1 (buy) or -1 (sell), not {side!r}")
        numbers = tuple(map(float, (qty, share, price, trigger, stop, target, trail)))
        check_numbers("order", NUMBERS, numbers)
        if (qty == UNSET) == (share == UNSET):
            both = "both" if share != UNSET else "neither"
            raise OrderRejected(f"order: give exactly one of qty and share, not {both}")
        if trail != UNSET and trail <= 0.0:
            raise OrderRejected(f"order(trail={trail}): a trailing distance is above 0")
        code = tif_code(tif)
        if code == GTD and expire_ts >= NEVER:
            raise OrderRejected('order: tif="GTD" needs an expire_ts (ns)')
        address = self._caught_up()
        self._loop.sent = True
        flags = (code, bool(post_only), bool(reduce_only), int(group), int(expire_ts))
        return int(send_order(address, self._k, int(side), *numbers, *flags))

    def buy(self, qty: float = UNSET, share: float = UNSET, **options: Any) -> int:
        return self.order(1, qty, share, **options)

    def sell(self, qty: float = UNSET, share: float = UNSET, **options: Any) -> int:
        return self.order(-1, qty, share, **options)

    def close(self) -> int:
        address = self._caught_up()
        self._loop.sent = True
        return int(send_close(address, self._k))

    def cancel(self, order_id: int) -> None:
        address = self._caught_up()
        self._loop.sent = True
        send_cancels(address, self._k, int(order_id))

    def cancel_all(self) -> None:
        address = self._caught_up()
        self._loop.sent = True
        send_cancels(address, self._k, 0)

    def amend(
        self, order_id: int, qty: float = UNSET, price: float = UNSET, trigger: float = UNSET,
        stop: float = UNSET, target: float = UNSET,
    ) -> None:
        address = self._caught_up()
        self._loop.sent = True
        values = tuple(map(float, (qty, price, trigger, stop, target)))
        check_numbers("amend", ("qty", "price", "trigger", "stop", "target"), values)
        send_amends(address, int(order_id), *values)

    def at(self, instrument: int) -> Any:
        brokers = self._loop.brokers
        if not 0 <= instrument < len(brokers):
            raise OrderRejected(f"at({instrument}): the market has instruments 0 to {len(brokers) - 1}")
        return brokers[instrument]

    def feature(self, name: str | int) -> float:
        names = self._loop.features
        index = name if isinstance(name, int) else names.index(name) if name in names else NONE
        if index == NONE:
            near_names = near(str(name), names)
            raise OrderRejected(f"feature '{name}' is not in the class's `features`: {near_names}")
        return self._loop.feature(index)


class Loop:
    """One run of a strategy written in plain Python."""

    broker_class: Any = PlainBroker

    def __init__(
        self, tables: Tables, strategy: Any, features: tuple[str, ...] = (), view: Any = None
    ) -> None:
        self.tables = tables
        self.strategy = strategy
        self.features = features
        self.view = view
        self.desk: Any = None  # asks portfolio questions, where the strategy has some
        self.row = 0  # first bar the kernel has not passed, while bars pass without it
        self.sent = False
        self.brokers = [self.broker_class(self, k) for k in range(int(tables.clock["n"]))]
        self.applied = -1
        self.block: list[Any] = []
        self.make_bar = bar_class(0)
        self.block_first = 0

    def catch_up(self) -> int:
        """Bring the kernel to the event being handled; return the arrays' address."""
        address: int = self.tables.address
        if self.row:
            catch_up(address, self.row)
        return address

    def feature(self, index: int) -> float:
        """Value of a feature stream known now."""
        sim = self.tables.sim
        span = sim.spans[index]
        rows = sim.features[int(span["first"]) : int(span["end"])]
        at = int(rows["ts"].searchsorted(self.now, side="right"))
        return float(rows["value"][at - 1]) if at else math.nan

    def run(self, progress: Callable[[int], None] | None = None) -> int:
        """Run to the end; return the last code of `advance`."""
        advance = native(advance_at)
        ahead = AHEAD
        quiet = hasattr(self.strategy, "on_bar") and int(self.tables.sim.cursor[0]["same"]) == 1
        while True:
            if quiet and self.tables.clock["halted"] == 0:
                end = quiet_end(self.tables.address, ahead)
                if end != NONE:
                    self.pass_bars(end)
                    ahead = AHEAD if self.sent else min(2 * ahead, CHUNK)
                    if progress is not None:
                        progress(self.now)
                    if not self.sent:
                        continue
            code = step(advance, self.tables.address)
            if code == GROW:
                self.tables.grow()
            elif code in (DONE, FAILED):
                return int(code)
            else:
                self.wake(code)

    def bars(self, first: int, end: int) -> list[Any]:
        """Bars from `first` on, to `end` at most, of instrument 0 as events of Python numbers."""
        if not self.block_first <= first < self.block_first + len(self.block):
            rows = self.tables.sim.bars[first : min(first + CHUNK, int(self.tables.sim.cursor[0]["bar_end"]))]
            close = rows["close_ts"].tolist()
            columns = [rows[f].tolist() for f in ("open", "high", "low", "close", "volume")]
            # a pause for the collector: it would walk thousands of tuples that hold nothing but numbers
            was_on = gc.isenabled()
            gc.disable()
            cells = zip(rows["open_ts"].tolist(), close, *columns, strict=False)
            self.block_first, self.block = first, list(map(self.make_bar, cells))
            if was_on:
                gc.enable()
        return self.block[first - self.block_first : end - self.block_first]

    def pass_bars(self, end: int) -> None:
        """Show the bars up to `end`; stop after the one whose hook sends something."""
        broker = self.brokers[0]
        on_bar = self.strategy.on_bar
        self.sent = False
        first = int(self.tables.sim.cursor[0]["bar"])
        while first < end and not self.sent:
            bars = self.bars(first, end)
            for self.row, bar in enumerate(bars, first + 1):
                on_bar(bar, broker)
                if self.sent:
                    break
            first += len(bars)
        self.catch_up()
        self.row = 0

    @property
    def now(self) -> int:
        """Local time of the event being handled."""
        if self.row:
            return self.block[self.row - 1 - self.block_first].ts
        return int(self.tables.clock["now"])

    def wake(self, code: int) -> None:
        """Refresh what brokers show, then call the hook."""
        c = self.tables.clock
        now = int(c["now"])
        if c["applied"] != self.applied:
            self.applied = int(c["applied"])
            for broker in self.brokers:
                broker._refresh()
        sim, row = self.tables.sim, int(c["row"])
        if code == WAKE_BAR:
            k = int(c["instrument"])
            b = sim.bars[row].item()
            bar = Bar(k, b[1] - b[0], now, *b)
            self.strategy.on_bar(bar, self.brokers[k])
        elif code == WAKE_FILL:
            f = sim.fills[row]
            event = FillEvent(*(f[n].item() for n in FillEvent._fields))
            self.strategy.on_fill(event, self.brokers[event.instrument])
        elif code == WAKE_ORDER:
            self.wake_order(row)
        elif code == WAKE_SIGNAL:
            s = sim.signals[row]
            if s["status"] == ASK:
                return self.desk.ask(self.tables, self.brokers)
            signal = Signal(*(s[n].item() for n in Signal._fields))
            self.strategy.on_signal(signal, self.brokers[signal.instrument])
        elif code == WAKE_TIMER:
            self.strategy.on_timer(now, self.brokers[0])

    def wake_order(self, row: int) -> None:
        """Tell the strategy that an order ended without a fill."""
        sim = self.tables.sim
        answer = sim.responses[row]
        o = sim.orders[int(answer["order"])]
        event = OrderEvent(
            int(o["instrument"]), int(o["id"]), int(answer["seen_ts"]), int(o["side"]), int(answer["status"]),
            int(o["reason"]), float(o["filled"]),
        )
        self.strategy.on_order(event, self.brokers[event.instrument])


__all__ = ["Loop", "PlainBroker"]
