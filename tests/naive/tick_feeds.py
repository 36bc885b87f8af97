"""Random raw feeds: books that cross, empty, jump and come back, trades around them, bars for the others."""

from __future__ import annotations

import random
from bisect import bisect_right
from typing import Any

from tests.naive.model import on_grid
from tests.naive.tick_model import ASK, BID, L2, Feed, Shot, Trade

MS, SECOND = 1_000_000, 1_000_000_000
START = 1_700_000_000_000_000_000
GAPS = (0, 0, MS // 1_000, MS, MS, 5 * MS, 20 * MS, 100 * MS, 100 * MS, 300 * MS, SECOND)
DELAYS = (0, 0, MS, 2 * MS, 20 * MS, 300 * MS)
Book = dict[int, dict[int, int]]


class Feeds:
    """The streams of all instruments; `touch` and `some_stamp` tell where and when something happens."""

    def __init__(
        self, rng: random.Random, instruments: list[dict[str, Any]], length: int, restless: float,
        wild: bool,
    ) -> None:
        self.rng = rng
        self.wild = wild
        self.restless = restless  # how often the price moves
        n = len(instruments)
        self.instruments = instruments
        self.books: list[Feed | None] = [None] * n
        self.trades: list[list[Trade]] = [[] for _ in range(n)]
        self.bars: list[list[Any]] = [[] for _ in range(n)]
        self.start = [rng.choice([12, 30, 100, 100, 150]) for _ in range(n)]
        self.seen: list[list[tuple[int, int, int]]] = [[] for _ in range(n)]  # (stamp, bid, ask)
        self.common = self.stamps(length)  # so that instruments share stamps
        for k in range(n):
            self.draw(k, length)

    def draw(self, k: int, length: int) -> None:
        """Book and trades, one of them, or bars."""
        kinds, weights = ["both", "book", "shots", "trades", "bars"], [60, 8, 12, 14, 12 if k else 0]
        kind = self.rng.choices(kinds, weights)[0]
        stamps = self.common if self.rng.random() < 0.6 else self.stamps(length)
        if kind == "bars":
            self.draw_bars(k, stamps)
            return
        walk = self.walk(k, stamps)
        if kind in ("both", "book"):
            self.books[k] = Feed(files=self.l2_files(k, walk))
        elif kind == "shots":
            depth = self.rng.choice([1, 3, 5])
            self.books[k] = Feed(shots=self.shots(walk, depth), depth=depth)
        if kind in ("both", "trades") or (kind == "shots" and self.rng.random() < 0.8):
            self.trades[k] = self.draw_trades(walk)

    # ---- time and place

    def stamps(self, length: int) -> list[int]:
        """Rising exchange stamps, some equal, the first whole seconds among them."""
        out, ts = [], START + self.rng.choice([0, 0, 300 * MS, 999 * MS])
        for _ in range(length):
            ts += self.rng.choice(GAPS)
            if self.rng.random() < 0.05:
                ts = -(-ts // SECOND) * SECOND
            out.append(ts)
        return out

    def walk(self, k: int, stamps: list[int]) -> list[tuple[int, int, int]]:
        """(stamp, bid, ask) of a price that jumps a few ticks now and then."""
        bid, spread, out = self.start[k], 1, []
        for ts in stamps:
            if self.rng.random() < self.restless:
                step = self.rng.choice([1, -1, 1, -1, 2, -2, 3, -3] + ([8, -8] if self.wild else []))
                bid = max(4, bid + step)
                spread = self.rng.choice([1, 1, 1, 2, 3])
            out.append((ts, bid, bid + spread))
        self.seen[k] = out
        return out

    def touch(self, k: int, ts: int) -> tuple[int, int]:
        """Bid and ask around a time."""
        rows = self.seen[k]
        i = bisect_right(rows, (ts, 1 << 40, 0)) - 1
        _, bid, ask = rows[max(i, 0)]
        return bid, ask

    def some_stamp(self, k: int, part: float = 1.0) -> int:
        """One of the times at which something happens, in the first part of the feed."""
        return self.seen[k][int(self.rng.random() * part * len(self.seen[k]))][0]

    def local(self, ts: int, before: int) -> int:
        """Arrival of a row, never before the row above it."""
        return max(ts + self.rng.choice(DELAYS), before)

    # ---- books

    def l2_files(self, k: int, walk: list[tuple[int, int, int]]) -> list[list[L2]]:
        """One file, now and then two; each begins with a snapshot, at times with rows before it."""
        if len(walk) > 20 and self.rng.random() < 0.15:
            half = len(walk) // 2
            first = self.l2_rows(walk[:half], 0)
            return [first, self.l2_rows(walk[half:], first[-1].local_ts + 1)]
        return [self.l2_rows(walk, 0)]

    def l2_rows(self, walk: list[tuple[int, int, int]], before: int) -> list[L2]:
        """The rows of one file."""
        out: list[L2] = []
        book: Book = {BID: {}, ASK: {}}
        for n, (stamp, bid, ask) in enumerate(walk):
            ts = stamp - (self.rng.choice([0, 0, 0, MS, 30 * MS]) if self.rng.random() < 0.1 else 0)
            local, joins = self.local(stamp, before), bool(out) and self.rng.random() < 0.1
            before = before if joins else max(local, before + (local == before and self.rng.random() < 0.7))
            if n == 0:
                changes = self.snapshot(book, bid, ask)
                if self.rng.random() < 0.1:
                    out += [L2(ts, before, False, BID, bid, 5)]
                    before += self.rng.choice([0, 1])
            else:
                changes = self.changes(book, bid, ask)
            out += [L2(ts, before, *change) for change in changes]
        return out

    def size(self) -> int:
        """Lots of a level."""
        return self.rng.choice([1, 1, 2, 3, 4, 6, 9])

    def changes(self, book: Book, bid: int, ask: int) -> list[tuple[bool, int, int, int]]:
        """(snapshot, side, tick, lots) rows of one message."""
        how = self.rng.random()
        if how < 0.04:
            return self.snapshot(book, bid, ask)
        if how < 0.07:
            return self.clear(book)
        if how < 0.10:  # says again what is known, or takes away what is not there
            side = self.rng.choice([BID, ASK])
            return [(False, side, t, n) for t, n in list(book[side].items())[:2]] or [(False, side, 2, 0)]
        rows = self.follow(book, bid, ask)
        for _ in range(self.rng.choice([0, 1, 1, 2, 3])):
            side = self.rng.choice([BID, ASK])
            away = self.rng.choice([0, 0, 0, 1, 1, 2, 3])
            tick = bid - away if side == BID else ask + away
            if self.rng.random() < 0.04:  # crosses
                tick = ask + self.rng.randint(0, 1) if side == BID else bid - self.rng.randint(0, 1)
            rows.append(self.set(book, side, max(1, tick), 0 if self.rng.random() < 0.25 else self.size()))
        self.rng.shuffle(rows)
        return rows or [self.set(book, BID, bid, self.size())]

    def set(self, book: Book, side: int, tick: int, lots: int) -> tuple[bool, int, int, int]:
        """One row, remembered."""
        if lots:
            book[side][tick] = lots
        else:
            book[side].pop(tick, None)
        return False, side, tick, lots

    def follow(self, book: Book, bid: int, ask: int) -> list[tuple[bool, int, int, int]]:
        """Take away what lies beyond the touch, mostly; show something at it, mostly."""
        rows = []
        for side, touch, way in ((BID, bid, 1), (ASK, ask, -1)):
            beyond = [t for t in book[side] if (t - touch) * way > 0 and self.rng.random() < 0.9]
            rows += [self.set(book, side, tick, 0) for tick in beyond]
            if touch not in book[side] and self.rng.random() < 0.8:
                rows.append(self.set(book, side, touch, self.size()))
        return rows

    def clear(self, book: Book) -> list[tuple[bool, int, int, int]]:
        """One side goes, or both."""
        sides = self.rng.choice([[BID], [ASK], [BID, ASK]])
        rows = [self.set(book, side, t, 0) for side in sides for t in list(book[side])]
        return rows or [(False, BID, 1, 0)]

    def snapshot(self, book: Book, bid: int, ask: int) -> list[tuple[bool, int, int, int]]:
        """Whole books, at times one-sided, with a zero, a level said twice, or rows before and after it."""
        before = [self.set(book, BID, bid, self.size())] if self.rng.random() < 0.1 else []
        rows = []
        keep = self.rng.random() < 0.4
        old = {side: dict(levels) for side, levels in book.items()}
        sides = self.rng.choice([[BID, ASK]] * 8 + [[BID], [ASK]])
        book[BID].clear()
        book[ASK].clear()
        for side in sides:
            for away in range(self.rng.randint(1, 5)):
                tick = max(1, bid - away if side == BID else ask + away)
                lots = old[side].get(tick, self.size()) if keep else self.size()
                _, *rest = self.set(book, side, tick, 0 if self.rng.random() < 0.05 else lots)
                rows.append((True, *rest))
        if self.rng.random() < 0.1:
            rows.append(rows[0])
            book[rows[0][1]][rows[0][2]] = rows[0][3]
            if not rows[0][3]:
                del book[rows[0][1]][rows[0][2]]
        after = [self.set(book, ASK, ask, self.size())] if self.rng.random() < 0.1 else []
        return [*before, *rows, *after]

    def shots(self, walk: list[tuple[int, int, int]], depth: int) -> list[Shot]:
        """Whole books of at most `depth` levels."""
        out, before = [], 0
        sizes: Book = {BID: {}, ASK: {}}
        for ts, bid, ask in walk:
            before = self.local(ts, before)
            sides = []
            for side, touch, way in ((BID, bid, -1), (ASK, ask, 1)):
                ticks = [touch + way * away for away in range(depth + 2) if self.rng.random() < 0.85]
                shown = [t for t in ticks if t >= 1][: 0 if self.rng.random() < 0.05 else depth]
                for tick in shown:
                    if tick not in sizes[side] or self.rng.random() < 0.3:
                        sizes[side][tick] = self.size()
                sides.append(tuple((tick, sizes[side][tick]) for tick in shown))
            out.append(Shot(ts, before, *sides))
        return out

    # ---- trades and bars

    def draw_trades(self, walk: list[tuple[int, int, int]]) -> list[Trade]:
        """Trades at the touch, around it, and through; mostly with the right side."""
        out: list[Trade] = []
        before = 0
        for ts, bid, ask in walk:
            for _ in range(self.rng.choice([0, 0, 1, 1, 2])):
                side = self.rng.choice([1, -1])
                away = self.rng.choice([0, 0, 0, 0, 1, 1, 2, -1])
                tick = max(1, ask + away if side > 0 else bid - away)
                odd = self.rng.random()
                side = 0 if odd < 0.1 else -side if odd < 0.15 else side
                stamp = ts + self.rng.choice([0, 0, 0, 1, MS, -MS])
                before = self.local(stamp, before)
                out.append(Trade(stamp, before, tick, self.rng.choice([1, 1, 2, 3, 5, 8, 13]), side))
        return out or [Trade(walk[0][0], walk[0][0], walk[0][1], 1, 1)]

    def draw_bars(self, k: int, stamps: list[int]) -> None:
        """A few bars over the same time."""
        step = self.rng.choice([200 * MS, SECOND, SECOND, 2 * SECOND])
        first, last = stamps[0] // step * step, stamps[-1]
        level = self.start[k]
        tick, lot = self.instruments[k]["tick"], self.instruments[k]["lot"]
        for open_ts in range(first, min(last + 1, first + 40 * step), step):
            opened = level = max(6, level + self.rng.choice([0, 0, 0, 1, -1, 3, -3]))
            level = max(6, level + self.rng.randint(-2, 2))
            high = max(opened, level) + self.rng.randint(0, 2)
            low = min(opened, level) - self.rng.randint(0, 2)
            prices = [on_grid(x, tick) for x in (opened, high, low, level)]
            volume = on_grid(self.rng.choice([0, 1, 5, 20, 100]), lot)
            self.bars[k].append((open_ts, open_ts + step, *prices, volume))
            self.seen[k].append((open_ts + step, opened, opened + 1))
