"""What happens when an order meets a price: sizing, caps, margin, the fill, and what the fill sets off.

Written from the rules and not from the kernels; knows nothing of time (see candles.py).
"""

from __future__ import annotations

import math

from tests.naive.exits import TINY, Exits
from tests.naive.ledger import Fifo, Ledger
from tests.naive.model import Bar, Case, Fill, Instrument, Options, Order


class Execution(Exits):
    """Orders, fills and the true ledger of one run."""

    def __init__(self, case: Case) -> None:
        self.options: Options = case.options
        self.instruments = [self.instrument(row) for row in case.instruments]
        self.bars = [[Bar(*row) for row in rows] for rows in case.bars]
        self.ledger = Ledger(self.instruments, case.options.cash)
        self.known = Ledger(self.instruments, case.options.cash)  # as the strategy knows it
        self.fifo = Fifo(self.instruments)
        n = len(self.instruments)
        self.last: list[float | None] = [None] * n  # price the account is valued at
        self.used: dict[tuple[int, int], float] = {}  # volume taken, by (instrument, bar)
        self.orders: list[Order] = []
        self.fills: list[Fill] = []
        self.born_inside: list[Order] = []  # bracket exits of entries filled inside the bar being matched
        self.next_id = 1
        self.next_age = 0
        self.last_seen = -(2**62)
        self.now = 0
        self.bust = False
        self.phase = "open"  # the price being looked at: a bar's "open", its "inside" or its "close"

    def instrument(self, row: dict) -> Instrument:
        """An instrument with the fees of `Costs` over its own over the default 0.001 (rules 1)."""
        fees = {}
        for name in ("maker", "taker"):
            override, own = getattr(self.options, name), row.get(name)
            fees[name] = override if override is not None else own if own is not None else 0.001
        return Instrument(
            kind=row["kind"],
            tick=row.get("tick") or 0.0,
            lot=row.get("lot") or 0.0,
            min_notional=row.get("min_notional") or 0.0,
            multiplier=row.get("multiplier", 1.0),
            tiers=tuple(row.get("tiers") or ()),
            **fees,
        )

    def equity(self) -> float:
        """The true account at the last prices."""
        return self.ledger.equity(self.last)

    def live(self, k: int) -> list[Order]:
        """Working orders of one instrument, oldest first."""
        return sorted((o for o in self.orders if o.k == k and o.live), key=lambda o: (o.arrival, o.age))

    def children(self, parent: Order) -> list[Order]:
        """The exits of one entry, oldest first."""
        return [o for o in self.orders if o.parent is parent]

    def new_order(self, **fields) -> Order:
        """Append a row made by the venue itself: a bracket exit or a liquidation."""
        tick = self.instruments[fields["k"]].tick
        order = Order(id=self.next_id, ts=self.now, arrival=self.now, age=self.next_age, tick=tick, **fields)
        self.next_id += 1
        self.next_age += 1
        self.orders.append(order)
        return order

    # ---- ends

    def end(self, order: Order, status: str, reason: str, stamp: int | None = None) -> None:
        """Make an order final. That is a response as well; responses never overtake each other."""
        order.status, order.reason = status, reason
        order.end_ts = self.now if stamp is None else stamp
        if status != "filled":
            self.last_seen = max(self.last_seen, self.now + self.response_latency(self.now))

    def cancel(self, order: Order, reason: str = "cancelled by strategy") -> None:
        """Cancel an order that is not final; a cancel that comes before its order ends it too (rules 2)."""
        if order.status in ("pending", "open"):
            self.end(order, "cancelled", reason)

    def reject(self, order: Order, reason: str) -> None:
        """End an order by the venue's rule."""
        self.end(order, "rejected", reason)

    # ---- one meeting of an order and a price

    def attempt(self, order: Order, raw: float, i: int, *, maker: bool, slipped: bool) -> None:
        """Fill what rules allow of `order` at raw price `raw` in bar i. `self.now` is the stamp."""
        k = order.k
        self.last[k] = order.raw = raw
        if not (self.sized(order, raw, i, slipped) and self.reduced(order)):
            return
        rest = order.qty - order.filled
        qty = min(rest, self.volume_left(k, i))
        if order.tif == "FOK" and qty < rest:
            self.cancel(order, "FOK not fillable")
        if qty <= 0.0 or not order.live:
            return
        self.execute(order, raw, qty, i, maker=maker, slipped=slipped)

    def reduced(self, order: Order) -> bool:
        """Cut closes and reduce-only orders to the position (rules 4.8); False if it is nothing."""
        if order.kind != "close" and not order.reduce_only:
            return True
        position = self.ledger.positions[order.k].qty
        if order.kind == "close" and order.side == 0:
            order.side = -1 if position > 0.0 else 1 if position < 0.0 else 0
            order.qty = abs(position) or None
        if position * order.side >= 0.0:
            self.cancel(order, "no position" if order.kind == "close" else "reduce-only would increase")
            return False
        order.qty = min(order.qty, order.filled + abs(position))
        return True

    def sized(self, order: Order, raw: float, i: int, slipped: bool) -> bool:
        """Size a share at its fill (rules 6.1)."""
        if order.qty is None and order.share is not None:
            order.qty = self.share_qty(order, raw, i, slipped)
            if order.qty <= 0.0:
                self.reject(order, "below lot" if self.available() > 0.0 else "insufficient margin")
                return False
        return True

    def share_qty(self, order: Order, raw: float, i: int, slipped: bool) -> float:
        """floor_to_lot(share x available x leverage / (price x (1 + taker))), at the price this fill pays."""
        x = self.options
        available = self.available()
        opening = self.ledger.positions[order.k].qty * order.side >= 0.0
        price = self.paid(order, raw, 0.0, i, slipped=slipped, opening=opening)
        if price <= 0.0:
            return 0.0
        qty = self.worth_of(order, available, price)
        if slipped and x.impact is not None:
            price = self.paid(order, raw, qty, i, slipped=True, opening=opening)
            qty = self.worth_of(order, available, price)
        return qty

    def available(self) -> float:
        """Equity free of margin; rounding residue of a fully used account is nothing."""
        free = self.equity() - self.ledger.margin(self.last, self.options.leverage)
        return free if free > TINY * self.equity() else 0.0

    def worth_of(self, order: Order, available: float, price: float) -> float:
        """The lots a share buys at a price; a share of 1 or less never more than margin and fee allow."""
        return self.bought(order.k, self.budget(order, available), price)

    def budget(self, order: Order, available: float) -> float:
        """Notional a share may spend."""
        taker, leverage = self.instruments[order.k].taker, self.options.leverage
        value = order.share * available * leverage / (1.0 + taker)
        return value if order.share > 1.0 else min(value, available * leverage / (1.0 + leverage * taker))

    def bought(self, k: int, value: float, price: float) -> float:
        """The lots that a notional buys at a price."""
        instrument = self.instruments[k]
        if instrument.kind == "inverse":
            return instrument.floor_lot(value * price / instrument.multiplier)
        return instrument.floor_lot(value / (price * instrument.multiplier))

    def volume_left(self, k: int, i: int) -> float:
        """What volume_share still allows in bar i, floored to the lot (rules 4.5)."""
        if self.options.volume_share is None:
            return math.inf
        allowed = self.options.volume_share * self.bars[k][i].volume
        left = allowed - self.used.get((k, i), 0.0)
        return self.instruments[k].floor_lot(left) if left > TINY * allowed else 0.0

    def paid(self, order: Order, raw: float, qty: float, i: int, *, slipped: bool, opening: bool) -> float:
        """Price paid: slippage and impact, and the entry spread for any opening part; never by limits (R4).

        A quantity of 0 asks for the price before impact, by which a share is sized.
        """
        x, bar = self.options, self.bars[order.k][i]
        if not slipped:
            return raw
        impact = 0.0
        if x.impact is not None and qty > 0.0:
            impact = x.impact * math.sqrt(qty / bar.volume if bar.volume > 0.0 else 1.0)
        price = raw * (1.0 + order.side * (x.slippage + impact))
        if opening:
            price *= 1.0 + order.side * x.entry_spread
        if x.slip_in_range:
            price = min(max(price, bar.low), bar.high)
        return price

    def execute(self, order: Order, raw: float, qty: float, i: int, *, maker: bool, slipped: bool) -> None:
        """Price, venue rules and buying power of `qty`; then the fill."""
        k = order.k
        position = self.ledger.positions[k].qty
        closing = min(qty, abs(position)) if position * order.side < 0.0 else 0.0
        opening = qty - closing if qty - closing > TINY * qty else 0.0
        price = self.paid(order, raw, qty, i, slipped=slipped, opening=opening > 0.0)
        if price <= 0.0:
            self.reject(order, "price below zero")
            return
        if self.too_small(order, price):
            self.reject(order, "below min notional")
            return
        refusal = self.refusal(order, closing, opening, qty, price, maker) if opening > 0.0 else ""
        if refusal:
            if closing > 0.0 and order.tif != "FOK":
                price = self.paid(order, raw, closing, i, slipped=slipped, opening=False)
                self.fill(order, price, closing, i, maker=maker)
            self.reject(order, refusal)
        else:
            self.fill(order, price, qty, i, maker=maker)

    def refusal(self, order: Order, closing: float, opening: float, qty: float, price: float,
                maker: bool) -> str:
        """Why the opening part may not fill: buying power, then the limits of the run; "" if it may."""
        k, x = order.k, self.options
        if not self.affordable(k, order.side, closing, opening, qty, price, maker):
            return "insufficient margin"
        after = self.ledger.positions[k].qty + order.side * qty
        worth = [self.instruments[k].notional(part, price) for part in (qty, after)]
        limits = (x.max_order_notional, x.max_position_notional)
        over = [limit is not None and value > limit for value, limit in zip(worth, limits, strict=True)]
        return "risk limit" if any(over) else ""

    def too_small(self, order: Order, price: float) -> bool:
        """Below min notional at the fill: for orders whose notional was not known at arrival."""
        if order.is_exit or order.n_fills > 0:
            return False
        if order.kind in ("limit", "stop_limit") and order.share is None:
            return False
        return self.instruments[order.k].too_small(order.qty, price)

    def affordable(self, k: int, side: int, closing: float, opening: float, qty: float, price: float,
                   maker: bool) -> bool:
        """Buying power of the opening part, after the closing part (rules 6.3)."""
        instrument, leverage = self.instruments[k], self.options.leverage
        fee = instrument.notional(qty, price) * (instrument.maker if maker else instrument.taker)
        equity, margin = self.equity(), self.ledger.margin(self.last, leverage)
        if closing > 0.0:
            position = self.ledger.positions[k]
            gained = instrument.pnl(position.qty, position.entry, price)
            equity += gained - self.ledger.unrealised(k, self.last[k])
            others = [None if j == k else p for j, p in enumerate(self.last)]
            margin = self.ledger.margin(others, leverage)
        need = instrument.notional(opening, price) / leverage + fee
        return need <= (equity - margin) * (1.0 + 1e-9) + 1e-9

    # ---- the fill and what it sets off

    def fill(self, order: Order, price: float, qty: float, i: int, *, maker: bool) -> None:
        """Book a fill, then brackets, groups and the closed-position rule, in this order."""
        k = order.k
        if order.kind == "close":
            for child in self.live(k):
                if child.child:
                    self.cancel(child, "position closed")  # rules 4.8
        before = self.ledger.positions[k].qty
        self.used[k, i] = self.used.get((k, i), 0.0) + qty
        instrument = self.instruments[k]
        fee = instrument.notional(qty, price) * (instrument.maker if maker else instrument.taker)
        order.value += price * qty
        order.filled += qty
        order.n_fills += 1
        order.last_fill_ts, order.maker = self.now, maker
        if order.qty - order.filled <= TINY * order.qty:
            self.end(order, "filled", order.role)
        self.book(order, price, qty, i, fee, maker, self.seen(order, k, i))
        opened = qty if before * order.side >= 0.0 else qty - abs(before)
        self.bracket(order, price, qty, opened, i)
        self.one_cancels_other(order)
        self.position_closed(k, before)

    def book(self, order: Order, price: float, qty: float, i: int, fee: float, maker: bool, seen: int,
             liquidation: float = 0.0, reason: str = "") -> None:
        """Write the fill row and change the ledger."""
        k = order.k
        self.last_seen = max(self.last_seen, seen)  # responses never overtake
        fill = Fill(order, self.now, self.last_seen, i, self.bar_stamp(k, i), k, order.side, price, qty,
                    fee, maker, reason or trade_reason(order), liquidation)
        self.fills.append(fill)
        self.ledger.apply(k, order.side * qty, price, fee)
        self.ledger.liquidation += liquidation
        self.fifo.apply(fill, self.ledger.positions[k].qty)

    def bar_stamp(self, k: int, i: int) -> int:
        """Open of the bar a fill happened in."""
        return self.bars[k][i].open_ts

    def seen(self, order: Order, k: int, i: int) -> int:
        """When the strategy learns of a fill (spec, stamps)."""
        response = self.response_latency(self.now)
        if self.phase == "close":
            return self.now + max(response, 1)  # the equity row of that close is without it
        if self.phase == "open":
            return self.now + response
        return max(self.now, max(self.bars[k][i].open_ts, order.arrival) + response)

    def response_latency(self, ts: int) -> int:
        """Response latency as of `ts`."""
        table = self.options.latency_table
        return self.options.response_latency if not table else as_of(table, ts)[2]

    def order_latency(self, ts: int) -> int:
        """Order latency as of the decision."""
        table = self.options.latency_table
        return self.options.order_latency if not table else as_of(table, ts)[1]


def trade_reason(order: Order) -> str:
    """Why a trade ended: the bracket exit's role, a close, or another order."""
    return order.role or ("close" if order.kind == "close" else "order")


def as_of(table: list[tuple[int, int, int]], ts: int) -> tuple[int, int, int]:
    """Last row at or before `ts`, the first row before all."""
    found = table[0]
    for row in table:
        if row[0] <= ts:
            found = row
    return found
