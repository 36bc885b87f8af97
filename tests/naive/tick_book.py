"""Books from raw rows, the queue of a resting order, and the book orders meet.

`messages(feed)` builds by the decisions B1-B8 with one dict; nothing here is fast.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from tests.naive.model import Queue
from tests.naive.tick_model import ASK, BID, L2, Feed, Message, Shot, Trade

Key = tuple[int, int]


def effective(stamps: Iterable[tuple[int, int]]) -> list[int]:
    """Exchange time by B1: min(running max of ts, local_ts)."""
    high, out = -(2**62), []
    for ts, local_ts in stamps:
        high = max(high, ts)
        out.append(min(high, local_ts))
    return out


def timed(trades: list[Trade]) -> list[tuple[int, Trade]]:
    """Trades with their effective time."""
    return list(zip(effective((x.ts, x.local_ts) for x in trades), trades, strict=True))


def messages(feed: Feed) -> list[Message]:
    """The net changes of a feed, worked out once."""
    if not feed.built:
        feed.built = shot_messages(feed) if feed.shots else l2_messages(feed.files)
    return feed.built


# ---- incremental rows


def l2_messages(files: list[list[L2]]) -> list[Message]:
    """B2-B7 over the files of one stream."""
    stamps = iter(effective((row.ts, row.local_ts) for rows in files for row in rows))
    builder, out = Builder(), []
    for rows in files:
        before, begun, group = None, False, []
        for row in rows:
            ts = next(stamps)
            goes_on = before is not None and before.snapshot and before.local_ts == row.local_ts
            starts = row.snapshot and not goes_on
            begun = begun or row.snapshot  # B3: nothing before the first snapshot row of a file
            if group and group[-1][0].local_ts != row.local_ts:
                out.append(builder.message(group))
                group = []
            if begun:
                group.append((row, ts, starts))
            before = row
        if group:
            out.append(builder.message(group))
    return out


class Builder:
    """The book known so far, and the file row that spoke last of each level."""

    def __init__(self) -> None:
        self.known: dict[Key, int] = {}
        self.spoke: dict[Key, int] = {}
        self.rows = 0

    def message(self, group: list[tuple[L2, int, bool]]) -> Message:
        """One message: rows, crossed levels, then the difference to the book before (B4-B7)."""
        old = dict(self.known)
        for row, _, starts in group:
            if starts:
                self.known.clear()
            self.rows += 1
            key = (row.side, row.tick)
            self.spoke[key] = self.rows
            self.known[key] = row.lots
        self.known = {key: lots for key, lots in self.known.items() if lots > 0}
        while (crossed := self.crossed()) is not None:
            del self.known[crossed]
        keys = sorted({*old, *self.known}, key=lambda key: (self.spoke[key], key))
        changed = [key for key in keys if old.get(key, 0) != self.known.get(key, 0)]
        last, ts, _ = group[-1]
        return Message(ts, last.local_ts, tuple((*key, self.known.get(key, 0)) for key in changed))

    def crossed(self) -> Key | None:
        """The older of the two best levels when they cross or lock (B6)."""
        bids = [tick for side, tick in self.known if side == BID]
        asks = [tick for side, tick in self.known if side == ASK]
        if not bids or not asks or max(bids) < min(asks):
            return None
        return min((BID, max(bids)), (ASK, min(asks)), key=lambda key: self.spoke[key])


# ---- whole books


def shot_messages(feed: Feed) -> list[Message]:
    """B8: every row is a message; what is no longer shown is gone or out of view."""
    known: dict[Key, int] = {}
    out = []
    for ts, row in zip(effective((x.ts, x.local_ts) for x in feed.shots), feed.shots, strict=True):
        rows = shot_changes(known, row, feed.depth)
        for side, tick, lots in rows:
            known[side, tick] = lots
        known = {key: lots for key, lots in known.items() if lots > 0}
        out.append(Message(ts, row.local_ts, tuple(rows)))
    return out


def shot_changes(known: dict[Key, int], row: Shot, depth: int) -> list[tuple[int, int, int]]:
    """Changes of one row against what is known."""
    out = []
    for side, levels in ((BID, row.bids), (ASK, row.asks)):
        shown = {tick: lots for tick, lots in levels if lots > 0}
        for tick in sorted(tick for s, tick in known if s == side and tick not in shown):
            whole = len(shown) < depth
            inside = whole or (tick >= min(shown) if side == BID else tick <= max(shown))
            out.append((side, tick, 0 if inside else -1))
        out += [(side, tick, lots) for tick, lots in shown.items() if known.get((side, tick)) != lots]
    return out


# ---- what orders meet


class Depth:
    """Levels as shown: the feed less what own takers took until the feed speaks of the level again."""

    def __init__(self) -> None:
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.begun = False

    def apply(self, message: Message) -> None:
        """Take over the changes of a message."""
        self.begun = True
        for side, tick, lots in message.rows:
            if lots > 0:
                self.sides[side][tick] = lots
            else:
                self.sides[side].pop(tick, None)

    def take(self, side: int, tick: int, lots: int) -> None:
        """An own taker took lots of a level."""
        left = self.sides[side][tick] - lots
        if left > 0:
            self.sides[side][tick] = left
        else:
            del self.sides[side][tick]

    def best(self, side: int) -> int | None:
        """Best tick of a side."""
        levels = self.sides[side]
        return None if not levels else max(levels) if side == BID else min(levels)

    def levels(self, side: int) -> list[tuple[int, int]]:
        """(tick, lots) of a side, best first."""
        return sorted(self.sides[side].items(), reverse=side == BID)

    def middle(self) -> list[int]:
        """Ticks whose mean is the mark: the best prices, or the one there is."""
        return [x for x in (self.best(BID), self.best(ASK)) if x is not None]


def advance(queue: Queue, new: int, model: str, lot: float) -> None:
    """The feed says a level is `new` lots now: the place of an order there (X4)."""
    change = queue.level - new - queue.traded
    if model == "front":
        queue.ahead = 0.0
    elif model != "back" and (change < 0 or model == "risk_averse"):
        queue.ahead = min(queue.ahead, new)
    elif model != "back":
        p = share_behind(model, max(queue.level - queue.ahead, 0.0), queue.ahead, lot)
        if p is not None:
            queue.ahead = min(max(queue.ahead - (1.0 - p) * change, 0.0), new)
    queue.level, queue.traded = new, 0


def share_behind(model: str, behind: float, ahead: float, lot: float) -> float | None:
    """The part of a cancelled quantity that stood behind; None where nobody stood anywhere."""
    if model == "log":
        b, f = math.log(1.0 + behind * lot), math.log(1.0 + ahead * lot)
    else:
        n = float(model.removeprefix("power:"))
        b, f = behind**n, ahead**n
    return b / (b + f) if b + f > 0.0 else None
