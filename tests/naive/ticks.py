"""The tick twin: order of events in time on books and trades, and the tables. `run(case)` is the whole of it.

Written from rules.md 3, 5, 6 and never from the kernels. Money, requests, brackets and candles are those of
the candle twin (see the list in `tests.naive`), which matches the instruments of a case that have bars only.

Where the rules are silent, the twin (and so the engine) does this:

Time
 1. A run ends with T, the last local stamp of a trade or message, or the last bar close if later. Equity rows
    stand at every whole multiple of `sample` from the first local stamp (or bar open) to T, and at T.
 2. One stamp: funding, mark rows, trades, messages, bar closes, margin and bust, expiry, bar opens, arrivals
    of what was sent before, responses, equity row, then what was sent at this very stamp with no latency.
 3. Margin and bust are tested at the stamps of equity rows, the last included, and at bar closes: first each
    instrument with tiers at its mark, in Market order, then bust. A mark row tests its instrument at the
    row's price, then bust at the marks; stops that watch the mark come after it.
 4. Nothing is late on ticks; a fill is seen a response after its stamp, never before an earlier one.
Marks
 5. While an order fills, its own instrument is valued at the price of that fill and every other one at its
    mark; a moment later the mark is the mid again. An empty book is valued at the last trade, before any the
    position is worth its entry.
 6. In equity rows the same holds for what has arrived here; trades only: the last trade seen.
Looks
 7. An order that waits for the first message can be cancelled, amended, and expires; trades pass it by. When
    it comes, orders look by age, each with the exits it bears, as if they arrived one by one.
 8. Age: arrival (birth of an exit), then row; joining a queue (a first rest, a triggered stop-limit, a new
    price, more quantity) makes it that moment, then arrival, then row.
 9. An exhausted book ends market orders and closes "book exhausted", IOC "IOC remainder", FOK "FOK not
    fillable"; a close without a position says so first. Then: size, cut to the position, FOK, walk.
10. FOK is decided by depth alone. Every level is a fill of its own with min notional (the whole quantity at
    the first price), margin and limits tested; a refusal keeps what filled before and ends the order.
11. A share that takes: at each level floor(rest of the budget / price), at most what the level shows; what
    the levels do not hold is counted at the limit; a market order wants no more than they hold. That is the
    quantity of the order from then on. partial=False: all at the best price.
12. Stops without a reference wait, IOC and FOK end. "quote" watches the best ask for buys and the best bid
    for sells at every message, as shown at the order's turn. Without a book stops watch trades, without
    trades quotes. "mark" watches mark rows, also of instruments without a book, where an order then fills at
    the next trade.
13. An exit stop never looks at its birth, even if its trigger is reached.
Queues
14. Lots that own orders made of a trade count once for all of them, also with partial=False, never below
    zero left. Trades of the own side or unknown side at our price do not count as traded. "back" falls by
    trades only, also when a level grew by more than was taken.
15. Own takers change what the level shows, so what later orders join behind; places already taken stay.
16. A level that left the view shows nothing: who joins there stands first.
Amends
17. Any price or trigger in the row means a new look, even the same one. A share that is not sized yet and is
    given a quantity keeps its place. A triggered stop-limit with a new trigger stays triggered.
Trades only
18. One pass by age over all orders; a limit looks first at the first trade after its arrival and rests from
    the next on. Targets are born waiting for their first look, stops and trails watching. A trail sent alone
    starts at its first look.
19. volume_share caps market orders, closes and triggered stops, all together per trade; limits are not
    counted. Slippage and entry_spread are paid as on bars. An amount the trade does not show is no limit.
Books
20. Rows before a file's first snapshot count for the running maximum of stamps and for nothing else. A row
    that changes nothing still makes its level the newer one when the book is crossed.
"""

from __future__ import annotations

from typing import Any

from tests.naive.tick_book import Depth, messages, timed
from tests.naive.tick_events import TickEvents
from tests.naive.tick_model import Message, TickCase, Trade

SECOND = 1_000_000_000


class TickReplay(TickEvents):
    """One run of a case with ticks."""

    def __init__(self, case: TickCase) -> None:
        super().__init__(case)
        self.messages = [[] if feed is None else messages(feed) for feed in case.books]
        self.trades = [timed(rows) for rows in case.trades]
        self.rows_at: dict[int, list[tuple[int, int, Any]]] = {}  # stamp -> (kind, instrument, row)
        for k, rows in enumerate(case.mark):
            for ts, price in rows:
                self.rows_at.setdefault(ts, []).append((0, k, price))
        for k, trades in enumerate(self.trades):
            for ts, trade in trades:
                self.rows_at.setdefault(ts, []).append((1, k, trade))
        for k, book in enumerate(self.messages):
            for message in book:
                self.rows_at.setdefault(message.ts, []).append((2, k, message))
        self.local = Local(self)
        self.grid = self.equity_stamps()
        self.expiries = {order.expire_ts for order in self.orders if order.expire_ts is not None}
        self.unsent = sorted(self.orders, key=lambda o: o.ts, reverse=True)

    def equity_stamps(self) -> set[int]:
        """Whole multiples of sample, and the end."""
        first = [rows[0].local_ts for rows in [*self.messages, *self.case.trades] if rows]
        last = [rows[-1].local_ts for rows in [*self.messages, *self.case.trades] if rows]
        first += [bars[0].open_ts for bars in self.bars if bars]
        last += [bars[-1].close_ts for bars in self.bars if bars]
        step, self.finish = self.options.sample, max(last)
        return {*range(-(-min(first) // step) * step, self.finish + 1, step), self.finish}

    # ---- time

    def run(self) -> None:
        """Go through every stamp up to the end."""
        stamps = {*self.funding, *self.rows_at, *self.by_arrival, *self.grid}
        stamps.update(t for bars in self.bars for bar in bars for t in (bar.open_ts, bar.close_ts))
        stamps |= self.expiries
        for t in sorted(stamps):
            if t <= self.finish:
                self.step(t)

    def step(self, t: int) -> None:
        """All events of one stamp."""
        self.now = t
        self.send(t - 1)
        for k, rate in self.funding.get(t, []):
            self.pay_funding(k, rate)
        for kind, k, row in self.rows_at.get(t, []):
            (self.mark_row, self.trade, self.message)[kind](k, row)
        closing = [k for k in range(len(self.bars)) if self.bar_closing(k, t)]
        for k in closing:
            self.refresh()
            self.bar_close(k, self.opened[k])
        if closing or t in self.grid:
            self.test_marks()
            self.test_bust()
        self.expire(t)
        for k, bars in enumerate(self.bars):
            i = self.opened[k] + 1
            if i < len(bars) and bars[i].open_ts == t:
                self.refresh()
                self.bar_open(k, i)
        self.arrivals(t, sent=t - 1)
        self.strategy_side(t, t in self.grid)
        self.send(t)
        self.arrivals(t, sent=t)

    def send(self, t: int) -> None:
        """Mark the orders decided at or before t."""
        while self.unsent and self.unsent[-1].ts <= t:
            self.unsent.pop().sent = True

    def expire(self, t: int) -> None:
        """Good-till-date orders end."""
        if t in self.expiries:
            super().expire(t)

    def test_marks(self) -> None:
        """Liquidation at the prices of now (X10); where mark rows are known they decide, at their stamps."""
        for k, ticked in enumerate(self.ticked):
            marked = any(ts <= self.now for ts, _ in self.case.mark[k])
            self.refresh()
            price = self.last[k]
            if ticked and not marked and price is not None:
                self.test_margin(k, price)

    def known_price(self, k: int) -> float | None:
        """The local mid, or the last trade seen (Y3)."""
        return self.local.price(k, self.now) if self.ticked[k] else super().known_price(k)


class Local:
    """What has arrived here of every feed."""

    def __init__(self, run: TickReplay) -> None:
        self.run = run
        self.depth = [Depth() for _ in run.messages]
        self.messages: list[list[Message]] = [rows[::-1] for rows in run.messages]
        self.trades: list[list[Trade]] = [rows[::-1] for rows in run.case.trades]
        self.last: list[float | None] = [None for _ in run.messages]

    def price(self, k: int, now: int) -> float | None:
        """Where the strategy values k."""
        rows, trades = self.messages[k], self.trades[k]
        while rows and rows[-1].local_ts <= now:
            self.depth[k].apply(rows.pop())
        while trades and trades[-1].local_ts <= now:
            self.last[k] = self.run.price(k, trades.pop().tick)
        if self.run.case.books[k] is None:
            return self.last[k]
        return self.run.middle(k, self.depth[k], self.last[k])


def run(case: TickCase) -> dict[str, Any]:
    """Replay a case; the tables, counts and final ledger of a result."""
    replay = TickReplay(case)
    replay.run()
    replay.refresh()
    return replay.result()
