"""The words of the twin: a case, an order, a fill, and the grids of prices and quantities."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

LIVE = "open"
FINAL = ("filled", "cancelled", "expired", "rejected")
STOP_TYPES = ("stop", "trailing", "stop_limit")


@dataclass
class Bar:
    """One row of the composite finest bar stream of an instrument."""

    open_ts: int
    close_ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass
class Options:
    """Everything `replay_orders` takes beside orders and market. Latencies in ns."""

    cash: float = 10_000.0
    maker: float | None = None
    taker: float | None = None
    slippage: float = 0.0
    entry_spread: float = 0.0
    impact: float | None = None
    order_latency: int = 0
    response_latency: int = 0
    latency_table: list[tuple[int, int, int]] | None = None  # (ts, order_ns, response_ns), as-of
    at: str = "open"
    intrabar: str = "worst"
    exits_from: str = "entry_bar"
    grace: float = 0.02
    volume_share: float | None = None
    leverage: float = 1.0
    margin: str = "cross"
    slip_in_range: bool = False
    max_order_notional: float | None = None
    max_position_notional: float | None = None


@dataclass
class Case:
    """One input of the matcher. `orders` are dicts with the columns of the `replay_orders` frame."""

    instruments: list[dict[str, Any]]
    bars: list[list[tuple[int, int, float, float, float, float, float]]]
    funding: list[list[tuple[int, float]]]
    mark: list[list[tuple[int, float]]]
    orders: list[dict[str, Any]]
    options: Options = field(default_factory=Options)
    seed: int = 0


@dataclass
class Instrument:
    """Kind, grids, contract size, fees and maintenance tiers; no grid is 0.0."""

    kind: str = "linear"
    tick: float = 0.0
    lot: float = 0.0
    min_notional: float = 0.0
    multiplier: float = 1.0
    maker: float = 0.001
    taker: float = 0.001
    tiers: tuple[tuple[float, float, float], ...] = ()

    def notional(self, qty: float, price: float) -> float:
        """Unsigned value in the settlement currency."""
        if self.kind == "inverse":
            return abs(qty) * self.multiplier / price
        return abs(qty) * price * self.multiplier

    def too_small(self, qty: float, price: float) -> bool:
        """Below the venue's minimum, by more than the last digits of a float."""
        return self.notional(qty, price) < self.min_notional * (1.0 - 1e-12)

    def pnl(self, qty: float, entry: float, exit_: float) -> float:
        """Gain of the signed quantity from one price to another."""
        if self.kind == "inverse":
            return qty * self.multiplier * (1.0 / entry - 1.0 / exit_)
        return qty * self.multiplier * (exit_ - entry)

    def floor_lot(self, qty: float) -> float:
        """Largest quantity of the lot grid not above `qty` (spec: floor(q/lot + 1e-9))."""
        if qty <= 0.0:
            return 0.0
        if self.lot <= 0.0:
            return qty
        return on_grid(math.floor(qty / self.lot + slack(qty / self.lot)), self.lot)

    def snap_lot(self, qty: float) -> float:
        """Nearest value of the lot grid."""
        return on_grid(math.floor(qty / self.lot + 0.5), self.lot) if self.lot > 0.0 else qty

    def tier(self, notional: float) -> tuple[float, float]:
        """(maintenance rate, maintenance amount) of the tier that holds `notional`; beyond all, the last."""
        for limit, rate, amount in self.tiers:
            if notional <= limit:
                return rate, amount
        return (self.tiers[-1][1], self.tiers[-1][2]) if self.tiers else (0.0, 0.0)


def total(values: Iterable[float]) -> float:
    """Plain sum from left to right; the built-in one compensates since Python 3.12."""
    result = 0.0
    for value in values:
        result += value
    return result


def slack(steps: float) -> float:
    """1e-9 of a step, or two units in the last place where these are more (above 2 million steps)."""
    return max(1e-9, abs(steps) * 4.5e-16)


def on_grid(steps: int, step: float) -> float:
    """Value of grid line `steps`: k / round(1/step) when 1/step is whole, else k * step (rules 1)."""
    inverse = 1.0 / step
    if round(inverse) >= 1 and abs(inverse - round(inverse)) < 1e-9:
        return steps / round(inverse)
    return steps * step


def limit_price(price: float | None, side: int, tick: float) -> float | None:
    """Quantise a limit to its passive side: a buy down, a sell up (rules 6.2)."""
    if price is None or tick <= 0.0:
        return price
    steps = price / tick
    steps = math.floor(steps + slack(steps)) if side > 0 else math.ceil(steps - slack(steps))
    return on_grid(steps, tick)


def trigger_price(price: float | None, tick: float) -> float | None:
    """Quantise a trigger or stop to the nearest tick (rules 6.2)."""
    if price is None or tick <= 0.0:
        return price
    return on_grid(math.floor(price / tick + 0.5), tick)


def trail_distance(trail: float | None, tick: float) -> float | None:
    """Quantise a trailing distance: nearest tick, at least one."""
    if trail is None or tick <= 0.0:
        return trail
    return on_grid(max(1, math.floor(trail / tick + 0.5)), tick)


@dataclass
class Queue:
    """Place of a resting order among what the book showed at its level (ticks only)."""

    ahead: float  # lots before it
    level: int  # size of the level when last heard of
    traded: int = 0  # lots traded there since


@dataclass(eq=False)
class Order:
    """An order at the exchange (or on its way there)."""

    id: int
    k: int
    side: int  # +1 buy, -1 sell, 0 = a close that has not yet met a position
    kind: str
    tif: str = "GTC"
    post_only: bool = False
    reduce_only: bool = False
    group: int = 0
    ts: int = 0
    arrival: int = 0
    expire_ts: int | None = None
    qty: float | None = None  # None until a share (or a close) is sized at its fill
    share: float | None = None
    price: float | None = None
    trigger: float | None = None
    stop: float | None = None
    target: float | None = None
    trail: float | None = None
    status: str = "pending"
    reason: str = ""
    end_ts: int | None = None
    filled: float = 0.0
    value: float = 0.0
    n_fills: int = 0
    last_fill_ts: int | None = None
    maker: bool = False
    age: int = -1  # row number: frame orders by their row, then children as they are born
    asked: tuple[float | None, float | None] | None = None  # (qty, price or trigger) as the caller wrote them
    parent: Order | None = None
    role: str = ""  # "stop", "target" or "trail" for bracket children
    sent: bool = False  # the strategy has decided it
    raw: float | None = None  # raw price it last met
    tick: float = 0.0  # grid of its instrument
    looked: bool = False  # had its first look
    rested: bool = False  # survived a look, so it can be maker
    triggered: bool = False
    extreme: float | None = None
    works_in: int | None = None  # index of the bar it is matched inside of
    group_filled: bool = False  # a group mate filled while this one was on its way
    queue: Queue | None = None  # resting on a book
    joined: int | None = None  # when it last took a place in a queue

    @property
    def live(self) -> bool:
        """Working at the exchange."""
        return self.status == LIVE

    @property
    def child(self) -> bool:
        """An exit of a bracket."""
        return self.parent is not None

    @property
    def is_exit(self) -> bool:
        """Tested before the others at an open: closes, bracket children, reduce-only orders."""
        return self.kind == "close" or self.child or self.reduce_only

    @property
    def works_as_limit(self) -> bool:
        """A limit, or a stop-limit that has triggered."""
        return self.kind == "limit" or (self.kind == "stop_limit" and self.triggered)

    @property
    def works_as_stop(self) -> bool:
        """A stop-type order that has not triggered."""
        return self.kind in STOP_TYPES and not self.triggered

    @property
    def works_as_market(self) -> bool:
        """A market or close order, or the rest of a triggered stop."""
        return not self.works_as_limit and not self.works_as_stop

    def level(self) -> float:
        """Price at which it acts: limit, trigger, or extreme less the trail, to the nearest tick."""
        if self.works_as_limit:
            assert self.price is not None
            return self.price
        if self.kind == "trailing":
            assert self.extreme is not None
            assert self.trail is not None
            level = trigger_price(self.extreme + self.side * self.trail, self.tick)
            assert level is not None
            return level
        assert self.trigger is not None
        return self.trigger

    def through(self, price: float) -> bool:
        """Would it act at this one price?"""
        if self.works_as_limit:
            return price <= self.level() if self.side > 0 else price >= self.level()
        return price >= self.level() if self.side > 0 else price <= self.level()

    def touched(self, bar: Bar) -> bool:
        """Does the bar's range reach its level?"""
        wants_low = (self.side > 0) == self.works_as_limit
        return bar.low <= self.level() if wants_low else bar.high >= self.level()


@dataclass
class Fill:
    """One execution. `liquidation` is what the venue gave back with it (bust, isolated)."""

    order: Order
    ts: int
    seen_ts: int
    bar: int
    bar_open_ts: int
    k: int
    side: int
    price: float
    qty: float
    fee: float
    maker: bool
    reason: str = ""
    liquidation: float = 0.0
