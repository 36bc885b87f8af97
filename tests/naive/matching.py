"""Matching: looks at one price (an open, or a close with at="close") and the inside of a bar.

Written from the rules and not from the kernels.
"""

from __future__ import annotations

from tests.naive.liquidation import Liquidation
from tests.naive.model import Bar, Case, Order


class Matching(Liquidation):
    """What a bar's open, range and close do to live orders."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.case = case
        self.opened = [-1] * len(self.instruments)  # index of the last bar that opened
        self.closed = [-1] * len(self.instruments)  # index of the last bar that closed
        self.ambiguous = 0

    def is_open(self, k: int) -> bool:
        """Is a bar of k open?"""
        return self.opened[k] > self.closed[k]

    def bar_of(self, k: int) -> int:
        """Index of the last bar of k that opened."""
        return max(self.opened[k], 0)

    # ---- looks at one price: an open, or a close with at="close"

    def bar_open(self, k: int, i: int) -> None:
        """Liquidation at the open, then every live order: exits first, then by age (rules 4.3)."""
        price = self.bars[k][i].open
        self.opened[k] = i
        self.last[k] = price
        self.test_margin(k, price)
        waiting_too = self.options.at == "open"
        self.look_all([o for o in self.live(k) if o.looked or waiting_too], price, i, "open")

    def look_all(self, orders: list[Order], price: float, i: int, phase: str) -> None:
        """Look at one price with many orders."""
        for order in sorted(orders, key=lambda o: (not o.is_exit, o.arrival, o.age)):
            if order.live:
                self.look(order, price, i, phase)

    def look(self, order: Order, price: float, i: int, phase: str) -> None:
        """Test one order at one price; post-only, IOC and FOK act on the first look (rules 4.5)."""
        self.phase = phase
        first = not order.looked
        if first and order.kind == "trailing" and order.extreme is None:
            order.extreme = price
        if first and order.post_only and order.works_as_limit and order.through(price):
            self.reject(order, "post-only would take")
            return
        self.meet(order, price, i)
        order.looked = order.rested = True
        if phase == "open":
            order.works_in = i
        if order.live and first and order.tif == "IOC":
            self.cancel(order, "IOC remainder")
        elif order.live and first and order.tif == "FOK":
            self.cancel(order, "FOK not fillable")

    def meet(self, order: Order, price: float, i: int) -> None:
        """Fill the order at this price if it is a market order or its level is through (rules 4.1, 4.2)."""
        maker = order.rested and order.works_as_limit and order.level() == price
        if order.works_as_stop:
            if not order.through(price):
                return
            order.triggered = True
            if order.kind == "stop_limit" and order.post_only and order.through(price):
                self.reject(order, "post-only would take")
                return
        if order.works_as_limit and not order.through(price):
            return
        self.attempt(order, price, i, maker=maker, slipped=not order.works_as_limit)

    # ---- inside a bar

    def bar_close(self, k: int, i: int) -> None:
        """Inside matching, liquidation at the extreme, the close, and looks at it with at="close"."""
        bar = self.bars[k][i]
        self.closed[k] = i
        self.phase, self.born_inside = "inside", []
        orders = [o for o in self.live(k) if o.works_in == i and not o.works_as_market]
        ambiguous = self.two_touched(orders, bar)
        ambiguous = self.inside_and_liquidation(orders, bar, i) or ambiguous
        self.ambiguous += self.inside_entries(bar, i) or ambiguous
        for order in orders + self.born_inside:
            if order.live and order.kind == "trailing" and not order.triggered:
                best = bar.high if order.side < 0 else bar.low
                order.extreme = max(order.extreme, best) if order.side < 0 else min(order.extreme, best)
        self.liquidate_in(k, bar)
        self.last[k] = bar.close
        if self.options.at == "close":
            self.look_all([o for o in self.live(k) if not o.looked], bar.close, i, "close")

    def inside_and_liquidation(self, orders: list[Order], bar: Bar, i: int) -> bool:
        """Orders in their turn, exits beyond a liquidation after it; True if a target was touched as well."""
        level = self.liquidation_in(orders[0].k, bar) if orders else None
        turn = self.inside_order(orders, bar, level)
        ambiguous = level is not None and any(self.is_target(o) and o.touched(bar) for o in turn)
        later = []
        for order in turn:
            if level is not None and self.after_liquidation(order, bar, level):
                later.append(order)
            elif order.live:
                self.match_inside(order, bar, i)
        if level is not None:
            self.liquidate_in(turn[0].k, bar)
        for order in later:
            if order.live:
                self.match_inside(order, bar, i)
        return ambiguous

    def liquidate_in(self, k: int, bar: Bar) -> None:
        """Liquidate what this bar's range does not leave standing."""
        level = self.liquidation_in(k, bar)
        if level is not None:
            self.liquidate(k, level)

    def liquidation_in(self, k: int, bar: Bar) -> float | None:
        """Where this bar's range liquidates the position, None if not or if mark prices decide."""
        if any(bar.open_ts < ts <= bar.close_ts for ts, _ in self.case.mark[k]):
            return None
        adverse = bar.low if self.ledger.positions[k].qty > 0.0 else bar.high
        return self.margin_level(k, adverse, bar_open=bar.open)

    def is_target(self, order: Order) -> bool:
        """A limit against the position."""
        return order.works_as_limit and self.ledger.positions[order.k].qty * order.side < 0.0

    def after_liquidation(self, order: Order, bar: Bar, level: float) -> bool:
        """Does the path of the bar meet this exit only beyond the liquidation price?"""
        position = self.ledger.positions[order.k].qty
        if position * order.side >= 0.0:
            return False
        if order.works_as_stop:
            return order.level() < level if position > 0.0 else order.level() > level
        if self.options.intrabar == "open_first":
            return abs(order.level() - bar.open) > abs(level - bar.open)
        return self.options.intrabar == "worst"

    def two_touched(self, orders: list[Order], bar: Bar) -> bool:
        """Two orders that depend on each other, touched above and below the open."""
        touched = [o for o in orders if o.touched(bar)]
        above = [o for o in touched if o.level() > bar.open]
        below = [o for o in touched if o.level() < bar.open]
        return any(self.depend(one, two) for one in above for two in below)

    def depend(self, one: Order, two: Order) -> bool:
        """Exits of one position, two of a group, or an order and an exit sent alone that it may feed."""
        if one.reduce_only and two.reduce_only:
            return one.side == two.side
        for exit_order in (one, two):
            if exit_order.reduce_only and not exit_order.child and one.side != two.side:
                return True
        return bool(one.group and one.group == two.group)

    def inside_order(self, orders: list[Order], bar: Bar, level: float | None) -> list[Order]:
        """A way the price can take: one direction from the open, then the other, nearer levels first."""
        rule = self.options.intrabar
        first = 0 if rule == "open_first" else self.first_way(orders, bar, level)

        def turn(o: Order) -> tuple[float | int, ...]:
            other_way = int(first * (o.level() - bar.open) < 0.0)
            stops = o.works_as_stop == (rule == "best")
            return (other_way, abs(o.level() - bar.open), int(stops), o.arrival, o.age)

        return sorted(orders, key=turn)

    def first_way(self, orders: list[Order], bar: Bar, level: float | None) -> int:
        """Under "worst" towards the nearest stop reached (or the liquidation), under "best" the nearest
        limit; without one towards the nearest level reached.
        """
        rule = self.options.intrabar
        if level is not None and rule == "worst":
            return -1 if self.ledger.positions[orders[0].k].qty > 0.0 else 1
        reached = [o for o in orders if o.touched(bar) and o.level() != bar.open]
        wanted = [o for o in reached if o.works_as_stop == (rule == "worst")] or reached
        if not wanted:
            return 0
        nearest = min(wanted, key=lambda o: (abs(o.level() - bar.open), o.arrival, o.age))
        return 1 if nearest.level() > bar.open else -1

    def match_inside(self, order: Order, bar: Bar, i: int) -> None:
        """One order against the range of a bar (rules 4.2, 4.4)."""
        if not order.touched(bar):
            return
        level, buys = order.level(), order.side > 0
        if order.works_as_limit:
            raw = min(bar.open, level) if buys else max(bar.open, level)
            self.attempt(order, raw, i, maker=raw == level, slipped=False)
            return
        order.triggered = True
        raw = max(bar.open, level) if buys else min(bar.open, level)
        if order.kind != "stop_limit":
            self.attempt(order, raw, i, maker=False, slipped=True)
        elif self.options.intrabar == "best":
            if order.through(raw) and order.post_only:
                self.reject(order, "post-only would take")
            elif order.through(raw):
                self.attempt(order, raw, i, maker=False, slipped=False)
            elif order.touched(bar):
                self.attempt(order, order.level(), i, maker=True, slipped=False)

    def inside_entries(self, bar: Bar, i: int) -> bool:
        """Second pass over the exits of entries filled inside this bar; True if one of them was touched."""
        born = [o for o in self.born_inside if o.live]
        ambiguous = any(o.touched(bar) for o in born)
        for order in born:
            if not order.live or not order.touched(bar):
                continue
            if order.works_as_limit != (self.options.intrabar == "best"):
                continue
            level, entry = order.level(), order.parent.raw
            worse = order.works_as_stop == (order.side < 0)
            raw = min(entry, level) if worse else max(entry, level)
            if order.works_as_stop:
                order.triggered = True
                self.attempt(order, raw, i, maker=False, slipped=True)
            else:
                self.attempt(order, raw, i, maker=raw == level, slipped=False)
        return ambiguous
