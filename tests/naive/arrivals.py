"""From the orders frame to the exchange: sending, batches of arrivals, amends, and the first look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.naive.matching import Matching
from tests.naive.model import FINAL, Bar, Case, Order, limit_price, trail_distance, trigger_price

REQUESTS = ("cancel_all", "amend")


@dataclass
class Request:
    """Something sent to the exchange: an order, or a cancel, cancel_all or amend."""

    sent: int
    arrival: int
    kind: str
    row: dict[str, Any]
    id: int
    order: Order | None = None
    done: bool = False

    @property
    def is_exit(self) -> bool:
        """Closes and reduce-only orders."""
        return self.order is not None and self.order.is_exit


class Arrivals(Matching):
    """Requests on their way and at the door."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.late = 0
        self.by_id: dict[int, Order] = {}
        self.requests = self.read_orders(case.orders)

    # ---- the orders frame

    def read_orders(self, rows: list[dict[str, Any]]) -> list[Request]:
        """Requests in the order of the frame, a cancel_ts cancel just after its order."""
        requests: list[Request] = []
        for n, row in enumerate(rows):
            kind, ts = row["type"], row["ts"]
            order = None if kind in REQUESTS else self.read_order(row, n)
            requests.append(Request(ts, ts + self.order_latency(ts), kind, row, row_id(row, n), order))
            cancel = row.get("cancel_ts")
            if cancel is not None:
                arrival = cancel + self.order_latency(cancel)
                requests.append(Request(cancel, arrival, "cancel", row, row_id(row, n)))
        self.next_id = max(self.by_id, default=0) + 1
        return requests

    def read_order(self, row: dict[str, Any], n: int) -> Order:
        """Quantise one row (rules 6.2)."""
        k, kind = row["instrument"], row["type"]
        instrument = self.instruments[k]
        side = 0 if kind == "close" else {"buy": 1, "sell": -1}[row["side"]]
        qty = row.get("qty")
        order = Order(
            id=row_id(row, n), k=k, side=side, tick=instrument.tick, kind=kind, ts=row["ts"],
            arrival=row["ts"] + self.order_latency(row["ts"]), tif=row.get("tif") or "GTC",
            post_only=bool(row.get("post_only")), reduce_only=bool(row.get("reduce_only")),
            group=row.get("group") or 0, expire_ts=row.get("expire_ts"),
            qty=None if qty is None or kind == "close" else instrument.floor_lot(qty), share=row.get("share"),
            price=limit_price(row.get("price"), side, instrument.tick),
            trigger=trigger_price(row.get("trigger"), instrument.tick),
            stop=trigger_price(row.get("stop"), instrument.tick),
            target=limit_price(row.get("target"), -side, instrument.tick),
            trail=trail_distance(row.get("trail"), instrument.tick), age=self.next_age,
        )
        self.next_age += 1
        asked = row.get("price")
        order.asked = (qty, row.get("trigger") if asked is None else asked)
        self.orders.append(order)
        self.by_id[order.id] = order
        return order

    # ---- arrivals

    def send(self, t: int) -> None:
        """Mark the orders decided at or before t."""
        for order in self.orders:
            order.sent = order.sent or order.ts <= t

    def due(self, t: int) -> list[Request]:
        """Everything that arrives at t."""
        return [r for r in self.requests if r.arrival == t]

    def arrivals(self, t: int, sent: int) -> None:
        """One batch of what was sent by `sent`, as sent; between two cancels or amends exits go first."""
        batch = [r for r in self.due(t) if r.sent <= sent and not r.done]
        for request in in_turn(sorted(batch, key=lambda r: r.sent)):
            request.done = True
            if request.order is not None:
                self.arrive(request.order)
            elif request.kind == "cancel_all":
                for order in self.live(request.row["instrument"]):
                    if not order.child:
                        self.cancel(order)
            elif request.kind == "cancel":
                if request.id in self.by_id:
                    self.cancel(self.by_id[request.id])
            else:
                self.amend(self.by_id[request.id], request.row)

    def arrive(self, order: Order) -> None:
        """The venue's first checks, then the first look; an order cancelled on its way is not accepted."""
        if order.status in FINAL:
            return
        instrument = self.instruments[order.k]
        sized = order.qty is not None
        if self.bust:
            self.reject(order, "account is bust")
        elif order.group_filled:
            self.end(order, "cancelled", "other order of the group filled")
        elif order.expire_ts is not None and order.expire_ts <= self.now:
            self.end(order, "expired", "past expire_ts")
        elif sized and order.qty <= 0.0:
            self.reject(order, "below lot")
        elif order.post_only and order.kind not in ("limit", "stop_limit"):
            self.reject(order, "post-only would take")
        elif (sized and order.kind in ("limit", "stop_limit") and not order.is_exit
              and instrument.too_small(order.qty, order.price)):
            self.reject(order, "below min notional")
        else:
            order.status = "open"
            self.enter(order, count_late=True)

    def amend(self, order: Order, row: dict[str, Any]) -> None:
        """Replace values; a new price or trigger makes a live order look anew, as if it arrived now."""
        if order.status in FINAL:
            return
        instrument = self.instruments[order.k]
        if row.get("stop") is not None:
            order.stop = trigger_price(row["stop"], instrument.tick)
        if row.get("target") is not None:
            order.target = limit_price(row["target"], -order.side, instrument.tick)
        if row.get("qty") is not None:
            qty = instrument.floor_lot(row["qty"])
            if qty <= order.filled * (1.0 + 1e-9):
                self.cancel(order)
                return
            order.qty = qty
        if row.get("price") is None and row.get("trigger") is None:
            return
        if row.get("price") is not None:
            order.price = limit_price(row["price"], order.side, instrument.tick)
        if row.get("trigger") is not None:
            order.trigger = trigger_price(row["trigger"], instrument.tick)
        if order.live:
            order.looked = order.rested = False
            order.works_in = None
            self.enter(order, count_late=False)

    def enter(self, order: Order, *, count_late: bool) -> None:
        """First look at once if the price is recent enough (rules 4.1, 4.6), else wait for the next one."""
        k, i = order.k, self.closed[order.k]
        if self.options.at == "close":
            if i >= 0 and self.recent(self.bars[k][i], self.bars[k][i].close_ts):
                self.look(order, self.bars[k][i].close, i, "close")
                for each in [order, *self.children(order)]:
                    if each.works_in != self.opened[k]:
                        self.join(each)
                return
        elif self.join(order):
            return
        if self.is_open(k) and count_late and order.kind in ("market", "close"):
            self.late += 1

    def join(self, order: Order) -> bool:
        """Look at the open of the bar that is open now, if it opened within the grace."""
        k, i = order.k, self.opened[order.k]
        if not (order.live and self.is_open(k) and self.recent(self.bars[k][i], self.bars[k][i].open_ts)):
            return False
        self.look(order, self.bars[k][i].open, i, "open")
        return True

    def recent(self, bar: Bar, stamp: int) -> bool:
        """Is now within grace x interval of this stamp of the bar?"""
        return self.now - stamp <= self.options.grace * (bar.close_ts - bar.open_ts)


def in_turn(batch: list[Request]) -> list[Request]:
    """Requests as sent, but of the orders between two cancels or amends the exits first."""
    turns: list[Request] = []
    orders: list[Request] = []
    for request in [*batch, None]:
        if request is None or request.order is None:
            turns += sorted(orders, key=lambda r: not r.is_exit)
            orders = []
            turns += [request] if request else []
        else:
            orders.append(request)
    return turns


def row_id(row: dict[str, Any], n: int) -> int:
    """The frame's own id, else the 1-based row number."""
    own = row.get("id")
    return n + 1 if own is None else own
