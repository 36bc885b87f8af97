"""The candle twin: order of events in time, funding, what the strategy knows, the tables.

`run(case)` is the whole of it. Written from the rules and not from the kernels.
"""

from __future__ import annotations

from typing import Any

from tests.naive.arrivals import Arrivals
from tests.naive.model import Case, Order, total

SECOND = 1_000_000_000


class Replay(Arrivals):
    """One run of a case."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.equity_rows: list[dict[str, Any]] = []
        self.delivered = 0  # fills the strategy knows
        self.funding: dict[int, list[tuple[int, float]]] = {}
        for k, rows in enumerate(case.funding):
            for ts, rate in rows:
                self.funding.setdefault(ts - ts % SECOND, []).append((k, rate))  # rules 3.4

    # ---- time

    def run(self) -> None:
        """Go through every stamp up to the last close of the Market."""
        stamps = set(self.funding)
        stamps.update(ts for rows in self.case.mark for ts, _ in rows)
        stamps.update(t for bars in self.bars for bar in bars for t in (bar.open_ts, bar.close_ts))
        stamps.update(request.arrival for request in self.requests)
        stamps.update(order.expire_ts for order in self.orders if order.expire_ts is not None)
        end = max(bars[-1].close_ts for bars in self.bars)
        for t in sorted(stamps):
            if t <= end:
                self.step(t)

    def step(self, t: int) -> None:
        """All events of one stamp, in the order of the spec."""
        self.now = t
        self.send(t - 1)
        for k, rate in self.funding.get(t, []):
            self.pay_funding(k, rate)
        for k, rows in enumerate(self.case.mark):
            for ts, price in rows:
                if ts == t:
                    self.test_margin(k, price)
        closing = [k for k in range(len(self.bars)) if self.bar_closing(k, t)]
        for k in closing:
            self.bar_close(k, self.opened[k])
        if closing:
            self.test_bust()
        self.expire(t)
        for k, bars in enumerate(self.bars):
            i = self.opened[k] + 1
            if i < len(bars) and bars[i].open_ts == t:
                self.bar_open(k, i)
        self.arrivals(t, sent=t - 1)
        self.strategy_side(t, bool(closing))
        self.send(t)  # rules 4.6: what is decided at t arrives after the row of t
        self.arrivals(t, sent=t)

    def bar_closing(self, k: int, t: int) -> bool:
        """Does the open bar of k close at t?"""
        return self.is_open(k) and self.bars[k][self.opened[k]].close_ts == t

    def strategy_side(self, t: int, closed: bool) -> None:
        """Deliver responses due, then the equity row of t as the strategy knows it."""
        while self.delivered < len(self.fills) and self.fills[self.delivered].seen_ts <= t:
            fill = self.fills[self.delivered]
            self.known.apply(fill.k, fill.side * fill.qty, fill.price, fill.fee)
            self.known.liquidation += fill.liquidation
            self.delivered += 1
        if not closed:
            return
        prices = [self.known_price(k) for k in range(len(self.instruments))]
        known, unrealised = self.known, total(self.known.unrealised(k, p) for k, p in enumerate(prices))
        self.equity_rows.append(
            {
                "ts": t,
                "equity": known.cash + unrealised,
                "cash": known.cash,
                "position": known.positions[0].qty,
                "realised": known.realised,
                "unrealised": unrealised,
                "fees": known.fees,
                "funding": known.funding,
                "tokens": known.tokens,
            }
        )

    def known_price(self, k: int) -> float | None:
        """What the strategy values instrument k at: the last close it saw."""
        i = self.closed[k]
        return self.bars[k][i].close if i >= 0 else None

    def pay_funding(self, k: int, rate: float) -> None:
        """- signed notional x rate at the mark, else the bar's open, else the last close (rules 3.4)."""
        qty, instrument = self.ledger.positions[k].qty, self.instruments[k]
        if qty == 0.0:
            return
        notional = instrument.notional(qty, self.funding_price(k))
        amount = -(notional if qty > 0.0 else -notional) * rate
        self.ledger.funding += amount
        self.known.funding += amount
        self.fifo.fund(k, amount)

    def funding_price(self, k: int) -> float:
        """Mark as of now, else the open of the bar that holds now, else the last close."""
        marks = [price for ts, price in self.case.mark[k] if ts <= self.now]
        if marks:
            return marks[-1]
        for bar in self.bars[k]:
            if bar.open_ts <= self.now < bar.close_ts:
                return bar.open
        return next(bar.close for bar in reversed(self.bars[k]) if bar.close_ts <= self.now)

    def expire(self, t: int) -> None:
        """Good-till-date orders end at expire_ts: after a close at that stamp, before an open at it."""
        for order in self.orders:
            if order.live and order.expire_ts is not None and order.expire_ts <= t:
                self.end(order, "expired", "past expire_ts", order.expire_ts)

    # ---- tables

    def result(self) -> dict[str, Any]:
        """The tables of a result as lists of dicts."""
        return {
            "orders": [order_row(o) for o in self.orders],
            "fills": [
                {"order_id": f.order.id, "ts": f.ts, "seen_ts": f.seen_ts, "bar_open_ts": f.bar_open_ts,
                 "instrument": f.k, "side": f.side, "price": f.price, "qty": f.qty, "fee": f.fee,
                 "maker": f.maker}
                for f in self.fills
            ],
            "trades": self.fifo.trades,
            "equity": self.equity_rows,
            "ambiguous": self.ambiguous,
            "late": self.late,
            "final": {
                "equity": self.equity(),
                "realised": self.ledger.realised,
                "fees": self.ledger.fees,
                "funding": self.ledger.funding,
                "liquidation": self.ledger.liquidation,
                "positions": [p.qty for p in self.ledger.positions],
            },
            "status": "bust" if self.bust else "done",
        }


def order_row(o: Order) -> dict[str, Any]:
    """One row of the orders table; qty and price (or trigger) are what was asked (rules 6.2)."""
    asked_qty, asked_price = o.asked or (None, o.trigger if o.price is None else o.price)
    return {
        "id": o.id, "ts": o.ts, "arrival_ts": o.arrival, "end_ts": o.end_ts, "instrument": o.k,
        "side": o.side, "type": o.kind, "tif": o.tif,
        "qty": o.qty if asked_qty is None else asked_qty, "price": asked_price,
        "status": "open" if o.status == "pending" else o.status, "filled_qty": o.filled,
        "avg_price": o.value / o.filled if o.filled else None, "last_fill_ts": o.last_fill_ts,
        "maker": o.maker, "n_fills": o.n_fills, "reason": o.reason,
    }


def run(case: Case) -> dict[str, Any]:
    """Replay a case; the tables, counts and final ledger of a result."""
    replay = Replay(case)
    replay.run()
    return replay.result()
