"""A slow twin of hftbacktest's exchange for ONE order, written from its source, with each fault a switch.

There an order never meets another order of ours, so one order alone is the whole truth. With every fault on
the twin gives what hftbacktest gives; a fault that is off is replaced by our rule. The smallest set of faults
that turns one answer into the other names a difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np

FAULTS = {
    "part of a lot": "what a trade leaves beyond the queue is rounded: half a lot fills a lot",
    "queue below zero": "a level's change may leave less than nothing ahead, and that is filled on top later",
    "repeated size": "a row that repeats a level's size counts as a change: trades before it are forgotten",
    "invented depth": "a crossing GTC limit takes all of its quantity, what the book lacks at its limit",
    "hundred ticks": "a market order walks no more than 100 ticks",
    "unfinished": "an order that a trade fills exactly stays and ends the run, unanswered (its issue 312)",
    "snapshot cut": "a snapshot clears levels up to its last row's price only, and tells no queue",
}
OF_QUEUES = ("part of a lot", "queue below zero", "repeated size")
OF_PARTS = ("invented depth", "hundred ticks", "unfinished")
WAY = 10_000_000  # ns to the exchange, and back
BUY_BIT, KIND = 1 << 29, 0xFF
TRADE, CLEAR = 2, 3
GTC, GTX, FOK, IOC = 0, 1, 2, 3
Answer = tuple[str, int, list[tuple[int, int, int, int]]]  # status, lots filled, (ts, last tick, lots, maker)


class Feed:
    """Exchange rows as plain lists: time, kind, side (+1 buy or bid), tick, lots."""

    def __init__(self, events: Any, tick: float, lot: float) -> None:
        self.ts = events["exch_ts"].tolist()
        self.kind = (events["ev"] & KIND).astype(np.int64).tolist()
        self.side = np.where(events["ev"] & BUY_BIT != 0, 1, -1).tolist()
        self.tick = np.round(np.nan_to_num(events["px"]) / tick).astype(np.int64).tolist()
        self.lots = np.round(events["qty"] * round(1 / lot)).astype(np.int64).tolist()
        self.per_lot = round(1 / lot)


class Twin:
    """One order at the exchange."""

    def __init__(self, feed: Feed, order: Any, partial: bool, queue: str, faults: Iterable[str]) -> None:
        self.fills: list[tuple[int, int, int, int]] = []
        self.feed, self.partial, self.faults = feed, partial, set(faults)
        self.queue, _, power = queue.partition(":")
        self.power = float(power or 1)
        self.side, self.tick, self.left = int(order["side"]), int(order["tick"]), int(order["lots"])
        self.market, self.tif = bool(order["market"]), int(order["tif"])
        self.arrival = int(order["ts"]) + WAY
        self.end = int(order["cancel_ts"]) + WAY if order["cancel_ts"] > 0 else 2**62
        self.books: dict[int, dict[int, int]] = {1: {}, -1: {}}
        self.status = "none"
        self.ahead = self.traded = 0.0
        self.known: dict[int, int | None] = {}  # best ticks

    def run(self) -> Answer:
        """Play the feed; return what became of the order."""
        feed = self.feed
        columns = (feed.ts, feed.kind, feed.side, feed.tick, feed.lots)
        for ts, kind, side, tick, lots in zip(*columns, strict=True):
            if self.status == "none" and ts > self.arrival:
                self.arrive()
            if self.status == "open" and ts > self.end:
                self.status = "cancelled"
            if self.status == "zombie" and ts > self.fills[-1][0] + WAY:
                self.status = "filled"
            if self.status not in ("none", "open", "zombie") or self.row(ts, kind, side, tick, lots):
                break
        return self.status, sum(f[2] for f in self.fills), self.fills

    def row(self, ts: int, kind: int, side: int, tick: int, lots: int) -> bool:
        """One row of the feed; True when it ends the run."""
        if self.status == "zombie" and side == -self.side and kind != CLEAR and lots and self.reaches(tick):
            self.status = "open"
            self.fills = [f for f in self.fills if f[0] + WAY <= ts]
            return True
        if kind == TRADE:
            if self.status == "open" and side == -self.side:
                self.trade(ts, tick, lots)
        elif kind == CLEAR:
            self.clear(side, tick)
        else:
            self.change(ts, side, tick, lots)
        return False

    def reaches(self, tick: int | None) -> bool:
        """True when the order's price is at or beyond an opposite one."""
        return tick is not None and self.side * (self.tick - tick) >= 0

    def arrive(self) -> None:
        """The order meets the book."""
        best = self.best_of(-self.side)
        if self.market or self.reaches(best):
            self.take(best)
        elif self.tif in (FOK, IOC):
            self.status = "cancelled"
        else:
            self.rest()

    def rest(self) -> None:
        """Join the queue."""
        self.status = "open"
        self.ahead = float(self.books[self.side].get(self.tick, 0))

    def take(self, best: int | None) -> None:
        """Take liquidity."""
        if self.tif == GTX and not self.market:
            self.status = "rejected"
        elif best is None:
            self.status = "cancelled"
        elif not self.partial:
            self.fill(self.arrival, best, self.left, 0)
        else:
            self.walk(best)

    def walk(self, best: int) -> None:
        """Take level by level."""
        far = best + 99 * self.side if self.side > 0 else best - 100
        limit = far if self.market and "hundred ticks" in self.faults else self.tick
        if self.market and "hundred ticks" not in self.faults:
            limit = self.side * 2**60
        book = self.books[-self.side]
        levels = [t for t in sorted(book, reverse=self.side < 0) if self.side * (limit - t) >= 0]
        if self.tif == FOK and not self.market and sum(book[t] for t in levels) < self.left:
            self.status = "cancelled"
            return
        took, last = 0, best
        for t in levels:
            part = min(book[t], self.left - took)
            took, last = took + part, t
            if took == self.left:
                break
        if took < self.left and self.tif == GTC and not self.market:
            if "invented depth" in self.faults:
                took, last = self.left, self.tick
            else:
                self.fill(self.arrival, last, took, 0)
                for t in levels:  # taken: the feed has to show them again before they reach the rest
                    del book[t]
                self.rest()
                return
        self.fill(self.arrival, last, took, 0)
        if self.left:
            self.status = "cancelled"

    def fill(self, ts: int, tick: int, lots: int, maker: int) -> None:
        """Fill some lots."""
        if lots:
            before = self.fills.pop()[2] if self.fills and self.fills[-1][0] == ts else 0
            self.fills.append((ts, tick, before + lots, maker))  # fills of one stamp are told as one
        self.left -= lots
        if not self.left:
            self.status = "filled"

    def trade(self, ts: int, tick: int, lots: int) -> None:
        """Meet a trade of the other side, while resting."""
        beyond = self.side * (self.tick - tick)
        if beyond > 0:
            self.fill(ts, self.tick, self.left, 1)
        elif beyond == 0:
            self.ahead -= lots
            self.traded += lots
            over = -self.ahead
            whole = int(math.floor(over + 0.5) if "part of a lot" in self.faults else math.floor(over + 1e-9))
            if whole > 0:
                self.ahead = 0.0
                exact = self.partial and whole == self.left and "unfinished" in self.faults
                self.fill(ts, self.tick, min(whole, self.left) if self.partial else self.left, 1)
                self.status = "zombie" if exact else self.status
            elif "part of a lot" not in self.faults:
                self.ahead = max(self.ahead, 0.0)

    def clear(self, side: int, tick: int) -> None:
        """Clear one side for a snapshot."""
        book = self.books[side]
        if "snapshot cut" in self.faults:
            for t in [t for t in book if side * (t - tick) >= 0]:
                del book[t]
        else:
            book.clear()

    def change(self, ts: int, side: int, tick: int, lots: int) -> None:
        """Set a level: the queue behind it first, then what it reaches."""
        book = self.books[side]
        before, best = book.get(tick, 0), self.best_of(side)
        if lots:
            book[tick] = lots
        else:
            book.pop(tick, None)
        better = lots and (best is None or side * (tick - best) > 0)
        if better:
            self.uncross(side, tick)
        if self.status != "open":
            return
        if side == self.side and tick == self.tick and (before != lots or "repeated size" in self.faults):
            self.moved(before, lots)
        if better and side == -self.side and self.reaches(tick):
            self.fill(ts, self.tick, self.left, 1)

    def best_of(self, side: int) -> int | None:
        """Best tick of a side."""
        book, last = self.books[side], self.known.get(side)
        if last not in book:  # gone, or none known
            last = None if not book else max(book) if side > 0 else min(book)
            self.known[side] = last
        return last

    def uncross(self, side: int, tick: int) -> None:
        """A better price removes what it crosses on the other side."""
        self.known[side] = tick
        other = self.books[-side]
        while (best := self.best_of(-side)) is not None and side * (tick - best) >= 0:
            del other[best]

    def moved(self, before: int, lots: int) -> None:
        """The level of the order changed: what of it lay ahead."""
        gone = before - lots - self.traded
        self.traded = 0.0
        if gone < 0 or self.queue == "risk_averse":
            self.ahead = min(self.ahead, float(lots))
            return
        behind = before - self.ahead
        share = self.behind(self.ahead, behind)
        spill = behind - share * gone
        after = self.ahead - (1 - share) * gone + (min(spill, 0.0) if spill == spill else 0.0)
        after = min(after, float(lots)) if after == after else float(lots)  # as its min does with NaN
        self.ahead = after if "queue below zero" in self.faults else max(after, 0.0)

    def behind(self, front: float, back: float) -> float:
        """Share of what went away that lay behind the order; NaN where its source's arithmetic has none."""
        with np.errstate(all="ignore"):
            x = np.array([front, back]) / (1 if self.queue == "power" else self.feed.per_lot)
            f, b = x**self.power if self.queue == "power" else np.log(1 + x)
            share = float(b / (b + f))
        return 1.0 if math.isinf(share) else share


def explained(feed: Feed, order: Any, partial: bool, queue: str, ours: Answer, theirs: Answer) -> str | None:
    """Return the faults by which two answers differ; None when the twin cannot get from one to the other."""
    if not same(Twin(feed, order, partial, queue, FAULTS).run(), theirs):
        return None
    idle = (() if partial else OF_PARTS) + (OF_QUEUES if queue == "risk_averse" else ())
    known = [name for name in FAULTS if name not in idle]
    for count in (1, 2):
        for off in combinations(known, count):
            if same(Twin(feed, order, partial, queue, set(FAULTS) - set(off)).run(), ours):
                return " and ".join(off)
    return None


def same(one: Answer, other: Answer) -> bool:
    """True for equal answers."""
    return one[0] == other[0] and one[1] == other[1] and list(one[2]) == list(other[2])
