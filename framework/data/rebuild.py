"""Raw rows of the store to what a market replays: packs, quotes and tickers, by the code that reads files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.data import parse
from framework.data.books import Builder, Viewer
from framework.data.pack import NAMED, Edges, Label, write_deals, write_pack
from framework.data.reader import SILENCE, places
from framework.data.schema import BOOK_KINDS, COLUMNS
from framework.data.streams import DIGEST, WINDOW, Deals
from framework.errors import DataError
from framework.instruments import grid_inverse, price_of
from framework.times import MICROSECOND

Rows = NDArray[Any]
DEAL_KINDS = ("trades", "liquidations")
PACKED = (*DEAL_KINDS, *BOOK_KINDS)  # kinds with an engine form
BLOCK = 1 << 16  # rows the kernels take at a time
MASK = 0xFFFFFFFFFFFFFF  # of the two digests of an id


@dataclass
class Stamps:
    """What the times of a day's rows are like, as a reader of files counts it; times in us."""

    rows: int = 0
    first: int = 0
    last: int = 0
    top: int = 0  # running maximum of the exchange time
    changed: int = 0
    ahead: int = 0
    back: int = 0
    gaps: int = 0
    gap: int = 0
    gap_at: int = 0

    def take(self, ts: Rows, local: Rows) -> Rows:
        """Return the effective exchange times of the next rows."""
        before = np.maximum.accumulate(np.concatenate(([self.top], ts)))
        effective = np.minimum(before[1:], local)
        self.changed += int((effective != ts).sum())
        self.ahead = max(self.ahead, int((ts - local).max()))
        self.back = max(self.back, int((before[:-1] - ts).max()))
        self.silence(np.concatenate(([self.last or local[0]], local)))
        self.first, self.last, self.top = self.first or int(local[0]), int(local[-1]), int(before[-1])
        self.rows += len(ts)
        return effective

    def silence(self, local: Rows) -> None:
        """Count long times without a row."""
        pauses = np.diff(local)
        long = pauses > SILENCE // MICROSECOND
        self.gaps += int(long.sum())
        if long.any() and int(pauses.max()) > self.gap:
            at = int(pauses.argmax())
            self.gap, self.gap_at = int(pauses[at]), int(local[at])

    def counts(self) -> dict[str, int]:
        """Return them by name, but for what has a place of its own."""
        return {name: value for name, value in vars(self).items() if name != "top"}


@dataclass
class Feed:
    """Arrays the takers read, filled from raw frames; `name` is what errors call the rows."""

    kind: str
    tick: float
    lot: float
    name: str
    stamps: Stamps = field(default_factory=Stamps)
    before: int = 0  # rows of earlier days

    def __post_init__(self) -> None:
        self.width = len(COLUMNS[self.kind]) - 4
        levels, deals = self.kind == "incremental_book_L2", self.kind in DEAL_KINDS
        reals = self.kind == "derivative_ticker"
        cells = 0 if levels or deals or reals else BLOCK * self.width
        self.changes = np.zeros(BLOCK if levels else 0, parse.CHANGE)
        self.deals = np.zeros(BLOCK if deals else 0, parse.DEAL)
        self.moments = np.zeros(0 if levels or deals else BLOCK, parse.MOMENT)
        self.cells = np.zeros(cells, np.int64)
        self.reals = np.zeros(BLOCK * self.width if reals else 0)

    def run(self, frames: Iterable[Any], taker: Any) -> Stamps:
        """Give a taker the rows of frames."""
        for frame in frames:
            for at in range(0, len(frame), BLOCK):
                taker.take(self.fill(frame[at : at + BLOCK]))
        return self.stamps

    def fill(self, frame: Any) -> int:
        """Write rows into the arrays; return how many."""
        n = len(frame)
        raw, local = (frame[name].to_physical().to_numpy() for name in ("timestamp", "local_timestamp"))
        rows = next(rows for rows in (self.changes, self.deals, self.moments) if len(rows))
        rows["ts"][:n] = self.stamps.take(raw, local) * MICROSECOND
        rows["local_ts"][:n] = local * MICROSECOND
        if len(self.changes):
            self.fill_changes(frame, self.changes[:n])
        elif len(self.deals):
            self.deals["raw_ts"][:n] = raw * MICROSECOND
            self.fill_deals(frame, self.deals[:n])
        else:
            self.fill_cells(frame, n)
        return n

    def fill_changes(self, frame: Any, rows: Rows) -> None:
        """Write rows of incremental_book_L2."""
        ask = (frame["side"] == "ask").to_numpy()
        rows["key"] = 2 * self.whole(frame, "price", self.tick) + ask
        rows["lots"] = self.whole(frame, "amount", self.lot)
        rows["snapshot"] = frame["is_snapshot"].to_numpy()

    def fill_deals(self, frame: Any, rows: Rows) -> None:
        """Write trades or liquidations."""
        rows["tick"] = self.whole(frame, "price", self.tick)
        rows["lots"] = self.whole(frame, "amount", self.lot)
        side = frame["side"]
        rows["side"] = (side == "buy").fill_null(False).to_numpy().astype("i4")
        rows["side"] -= (side == "sell").fill_null(False).to_numpy()
        ids = digests(frame["id"])
        for name in DIGEST.names or ():
            rows[name] = ids[name]

    def fill_cells(self, frame: Any, n: int) -> None:
        """Write rows of numbers: levels as whole steps, or those of a ticker as they are."""
        names = COLUMNS[self.kind][4:]
        if self.kind == "derivative_ticker":
            cells = self.reals[: n * self.width].reshape(n, self.width)
            for j, name in enumerate(names):
                values = frame[name].to_physical().cast(float).fill_null(np.nan)
                cells[:, j] = values.to_numpy()
            return
        table = self.cells[: n * self.width].reshape(n, self.width)
        for name, place in zip(names, places(self.kind).tolist(), strict=True):
            table[:, place] = self.whole(frame, name, self.lot if place % 2 else self.tick)

    def whole(self, frame: Any, name: str, step: float) -> Rows:
        """Return a column as counts of a step, -1 for an empty cell; what lies between two is refused."""
        values = frame[name].fill_null(np.nan).to_numpy()
        inverse = grid_inverse(step)
        there = ~np.isnan(values)
        scaled = np.where(there, values * inverse if inverse else values / step, -1.0)
        counts = np.rint(scaled).astype(np.int64)
        bad = np.flatnonzero(there & (price_of(counts, step) != values))
        if bad.size:
            row = self.stamps.rows - self.before - len(values) + int(bad[0]) + 1
            raise DataError(
                f"{self.name}: row {row}: {name} = {values[bad[0]]!r}: is between two steps of {step:g}; "
                "give an Instrument with a finer grid (or None), or import the day again"
            )
        return counts


def digests(ids: Any) -> Rows:
    """Return the DIGEST of each id, as the kernels make it of text."""
    made = np.zeros(len(ids), DIGEST)
    texts = np.array(ids.cast(str).fill_null("").to_list(), dtype="S64")
    one, two = made["id"].copy(), made["id2"].copy()
    for column in texts.view("u1").reshape(len(ids), -1).T.astype(np.int64):
        there = column > 0
        if not there.any():
            break
        one = np.where(there, (one * 127 + column) & MASK, one)
        two = np.where(there, (two * 101 + column) & MASK, two)
    made["id"], made["id2"], made["named"] = one, two, texts != b""
    return made


class FirstRow(Viewer):
    """A book of views that remembers what its first row showed."""

    first: Rows | None = None

    def take(self, count: int) -> None:
        """Take the first row of all alone."""
        moments, cells = self.moments, self.cells
        if self.first is None:
            super().take(1)
            self.first = self.known.copy()
            self.moments, self.cells, count = moments[1:], cells[self.width :], count - 1
        if count:
            super().take(count)
        self.moments, self.cells = moments, cells

    def edges(self) -> Edges | None:
        """Return what the first and the last row showed."""
        return None if self.first is None else Edges(self.first.tolist(), self.known.tolist())


class DayPack:
    """What becomes the pack of one day while its rows are read; a `Taker`.

    Parameters
    ----------
    kind : str
        A book kind, trades or liquidations.
    feed : parse.Feed or Feed
        The arrays whose rows `take` is told of.
    """

    def __init__(self, kind: str, feed: Any) -> None:
        self.kind = kind
        width = len(COLUMNS[kind]) - 4
        self.maker: Builder | FirstRow | Deals
        if kind in DEAL_KINDS:
            self.maker = Deals(feed.deals)
        elif kind == "incremental_book_L2":
            self.maker = Builder(feed.changes)
        else:
            self.maker = FirstRow(feed.moments, feed.cells, width)

    def begin_file(self) -> None:
        """Begin the day."""
        self.maker.begin_file()

    def take(self, count: int) -> None:
        """Take the first `count` rows of the feed."""
        self.maker.take(count)

    def end_file(self, place: Any) -> None:
        """Refuse a day that never shows the whole book."""
        self.maker.end_file(place)

    def save(self, path: Path, label: Label, counts: Mapping[str, int]) -> None:
        """Write the pack; `counts` are those of the day's times (`Stamps.counts`)."""
        if isinstance(self.maker, Deals):
            rows, ids, seen, drop = self.maker.judged()
            places = np.where(drop, -1, np.cumsum(~drop) - 1)
            named = np.flatnonzero(ids["named"])
            head, tail = (with_ids(rows, ids, places, some) for some in (named[:WINDOW], named[-WINDOW:]))
            write_deals(path, rows[~drop], with_counts(label, counts, seen), head, tail)
            return
        book, edges = self.maker.book(self.kind), None
        if isinstance(self.maker, FirstRow):
            edges = self.maker.edges()
        write_pack(path, book, with_counts(label, counts, self.maker.counts()), edges)


def with_counts(label: Label, *counts: Mapping[str, int]) -> Label:
    """Return a label that tells these counts too."""
    more = {name: value for some in counts for name, value in some.items()}
    return replace(label, counts={**label.counts, **more})


def with_ids(rows: Rows, ids: Rows, places: Rows, chosen: Rows) -> Rows:
    """Return NAMED rows of the chosen ones."""
    made = np.zeros(len(chosen), NAMED)
    made["id"], made["id2"], made["place"] = ids["id"][chosen], ids["id2"][chosen], places[chosen]
    for name in ("raw_ts", "lots", "tick", "side"):
        made[name] = rows[name][chosen]
    return made


def replay_path(part: Any) -> Path:
    """Return where the store keeps the pack of a part."""
    path = Path(part.path)
    root = path.parents[3]
    return root / "_replay" / path.relative_to(root).with_suffix(".book")


def repack(store: Any, part: Any, path: Path | None = None) -> Path:
    """Make the pack of a part anew from its raw rows, in its place or at `path`; return its path."""
    feed = Feed(part.kind, part.tick_size, part.lot_size, str(part.path))
    taker = DayPack(part.kind, feed)
    taker.begin_file()
    stamps = feed.run(store.frames(part), taker)
    label = Label(
        part.venue, part.kind, part.symbol, part.day, part.tick_size, part.lot_size, part.content_sha256, {},
        stamps.top * MICROSECOND,
    )  # fmt: skip
    path = path or replay_path(part)
    taker.save(path, label, stamps.counts())
    return path


def raw_rows(store: Any, parts: Iterable[Any], feed: Feed) -> Iterator[int]:
    """Fill a feed with the rows of days, one block after the other; yield how many rows each block has."""
    for part in parts:
        feed.name, feed.before = str(part.path), feed.stamps.rows
        for frame in store.frames(part):
            for at in range(0, len(frame), BLOCK):
                yield feed.fill(frame[at : at + BLOCK])
