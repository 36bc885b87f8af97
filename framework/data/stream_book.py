"""A book kept from live messages: plain Python, by the rules books of files are made by."""

from __future__ import annotations

from bisect import bisect_left, insort
from math import fsum

from framework.data.message_kinds import BookChange, BookSnapshot, Levels
from framework.errors import DataError
from framework.market_book import Snapshot, check_levels, ratio
from framework.times import format_time

NAN = float("nan")


class Half:
    """One side: amount and last row of each price, and the prices in order, the best first."""

    __slots__ = ("levels", "order", "sign")

    def __init__(self, sign: float) -> None:
        self.sign = sign  # -1 for bids, so that the best has the lowest key
        self.levels: dict[float, tuple[float, int]] = {}
        self.order: list[float] = []

    def clear(self) -> None:
        """Forget all levels."""
        self.levels.clear()
        self.order.clear()

    def apply(self, changes: Levels, row: int) -> int:
        """Set new sizes; return the number of the row after the last."""
        levels, order, sign = self.levels, self.order, self.sign
        for price, amount in changes:
            if amount == 0.0:
                if levels.pop(price, None) is not None:
                    del order[bisect_left(order, sign * price)]
            else:
                if price not in levels:
                    insort(order, sign * price)
                levels[price] = (amount, row)
            row += 1
        return row

    def best(self, n: int) -> Levels:
        """Return (price, amount) of the best levels."""
        levels, sign = self.levels, self.sign
        return tuple((sign * key, levels[sign * key][0]) for key in self.order[:n])

    def drop_best(self) -> None:
        """Remove the best level."""
        del self.levels[self.sign * self.order.pop(0)]


class LiveBook:
    """The book of one instrument as its messages have made it so far.

    A snapshot replaces it; changes before the first snapshot, and after a gap, are left out until the next.
    A message ends where local_ts changes; then of two crossed best levels the one whose row is older goes.

    Attributes
    ----------
    is_valid : bool
        False before the first snapshot and after a gap.
    ts, local_ts : int
        ns; effective exchange time and arrival of the last message, -1 before the first.
    since : int
        ns; when it became invalid, -1 = it never was valid.
    skipped, crossed : int
        Rows without a book to change; levels removed because they crossed.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.bids, self.asks = Half(-1.0), Half(1.0)
        self.is_valid = False
        self.ts = self.local_ts = self.since = -1
        self.skipped = self.crossed = 0
        self._row = 0
        self._raw_ts = -1
        self._in_snapshot = False
        self._settled = True

    def apply(self, event: BookChange) -> bool:
        """Apply a message; return True when the book may have changed and is valid."""
        if not event.asks and not event.bids:
            return False
        is_new = event.local_ts != self.local_ts
        if event.is_snapshot:
            if is_new or not self._in_snapshot:
                self.bids.clear()
                self.asks.clear()
            self.is_valid = True
        elif not self.is_valid:
            self.skipped += len(event.asks) + len(event.bids)
            return False
        elif is_new and not self._settled:
            self.settle()
        self._in_snapshot = event.is_snapshot
        self._row = self.bids.apply(event.bids, self.asks.apply(event.asks, self._row))
        self._raw_ts = max(self._raw_ts, event.ts)
        self.ts, self.local_ts = min(self._raw_ts, event.local_ts), event.local_ts
        self._settled = False
        return True

    def settle(self) -> None:
        """End the message: of two best levels that cross, the older goes."""
        bids, asks = self.bids, self.asks
        while bids.order and asks.order and -bids.order[0] >= asks.order[0]:
            is_bid = bids.levels[-bids.order[0]][1] < asks.levels[asks.order[0]][1]
            (bids if is_bid else asks).drop_best()
            self.crossed += 1
        self._settled = True

    def lose(self, local_ts: int) -> None:
        """Forget the book: something may be missing from here on."""
        if self.is_valid:
            self.since = local_ts
        self.is_valid = self._in_snapshot = False
        self._settled = True
        self.bids.clear()
        self.asks.clear()

    def snapshot(self, n: int = 20) -> Snapshot:
        """Return the best `n` levels of each side with totals, imbalance and spread.

        Raises
        ------
        DataError
            The book is not known: no snapshot came yet, or none since the last gap.
        """
        check_levels(n)
        if not self.is_valid:
            since = "no snapshot came yet" if self.since < 0 else f"the gap at {format_time(self.since)}"
            raise DataError(f"{self.name}: the book is not known ({since}); wait for the next snapshot")
        if not self._settled:
            self.settle()
        return snapshot_of(self.ts, self.local_ts, self.bids.best(n), self.asks.best(n))

    def change(self, exchange: str, symbol: str, ts: int) -> BookChange:
        """Return the whole book as a snapshot message of the time `ts`."""
        if not self._settled:
            self.settle()
        many = len(self.bids.order) + len(self.asks.order)
        return BookChange(exchange, symbol, ts, ts, True, self.bids.best(many), self.asks.best(many))


def snapshot_of(ts: int, local_ts: int, bids: Levels, asks: Levels) -> Snapshot:
    """Return levels (best first) with their totals."""
    bid, ask = (fsum(amount for _, amount in side) for side in (bids, asks))
    spread = asks[0][0] - bids[0][0] if bids and asks else NAN
    mid = (asks[0][0] + bids[0][0]) / 2.0 if bids and asks else NAN
    return Snapshot(ts, local_ts, bids, asks, bid, ask, ratio(bid, ask), spread, 100.0 * spread / mid)


def cut_snapshot(event: BookSnapshot, n: int) -> Snapshot:
    """Return a book_snapshot message as a Snapshot of at most `n` levels a side."""
    check_levels(n)
    return snapshot_of(min(event.ts, event.local_ts), event.local_ts, event.bids[:n], event.asks[:n])
