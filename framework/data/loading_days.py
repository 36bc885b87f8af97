"""Days of one stream, each packed alone, as one stream: what is said again at midnight is said once.

Put together the days are what one pass over all their files gives, to the bit: exchange time never goes back
across midnight, a trade whose id was seen the day before is left out, and a day's first message, which states
the whole book, becomes what it changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.data.books import Viewer
from framework.data.careful import Grid
from framework.data.pack import NAMED, Pack, Piece
from framework.data.parse import EMPTY, MOMENT, TOP_TICK
from framework.data.streams import WINDOW
from framework.errors import DataError
from framework.market_source import Changes, Chunk, chunk_of
from framework.market_tick_parts import restated
from framework.market_ticks import Levels, Lots
from framework.records import TRADE

Rows = NDArray[Any]


@dataclass(frozen=True)
class Scale:
    """How many final steps one step of a day has, of price and of amount."""

    tick: int
    lot: int

    def keys(self, keys: Levels) -> Levels:
        """Return keys in final steps."""
        return keys if self.tick == 1 else (keys * self.tick - (keys & 1) * (self.tick - 1)).astype(np.int32)

    def lots(self, lots: Rows, into: Lots | None = None) -> Lots:
        """Return lots in final steps; what is not known stays so."""
        into = np.empty(len(lots), np.int64) if into is None else into
        into[:] = lots
        if self.lot != 1:
            np.multiply(into, self.lot, out=into, where=into > 0)
        return into

    def cells(self, cells: Sequence[int]) -> Rows:
        """Return the cells of a row of views in final steps."""
        made = np.array(cells, np.int64)
        for part, factor in ((made[0::2], self.tick), (made[1::2], self.lot)):
            np.multiply(part, factor, out=part, where=part != EMPTY)
        return made


def scale_of(pack: Pack, tick: float, lot: float) -> Scale:
    """Return the scale of a day's grids; a grid that is coarser than the day's is refused."""
    factors = []
    for name, step in (("tick_size", tick), ("lot_size", lot)):
        mine = getattr(pack.label, name)
        fine, own = Grid.of(step, name, True), Grid.of(mine, name, True)
        over = own.unit * 10**fine.scale, fine.unit * 10**own.scale
        if over[0] % over[1]:
            raise DataError(
                f"{pack.path}: has {name} {mine:g}, which steps of {step:g} do not hold; give an Instrument "
                f"with {name}={mine:g} (or None: read from the data)"
            )
        factors.append(over[0] // over[1])
    if factors[0] > 1 and "levels" in pack.sections:
        top = int(pack.read("levels").max(initial=0)) // 2
        if top * factors[0] > TOP_TICK:
            raise DataError(f"{pack.path}: its prices are more than {TOP_TICK} steps of tick_size {tick:g}")
    return Scale(*factors)


def never_back(rows: Rows, top: int) -> None:
    """Let no exchange time be before the latest one of the days before; arrival bounds it."""
    if len(rows) and top > rows["ts"][0]:
        part = rows[: int(np.searchsorted(rows["ts"], top))]
        part["ts"] = np.maximum(part["ts"], np.minimum(part["local_ts"], top))


def chunk_at(piece: Piece, rows: int, top: int) -> Chunk:
    """Return a piece of a day as a chunk of the whole stream."""
    first = max(piece.first_ts, min(top, piece.first_local))
    return Chunk(piece.messages, rows, first, piece.first_local, piece.last_local, piece.pause)


@dataclass(frozen=True, eq=False)
class BookBit:
    """A chunk of a day's book in the whole stream."""

    pack: Pack
    n: int
    scale: Scale
    top: int
    opening: tuple[Levels, Lots] | None  # of the day's first chunk: what its first message changes
    chunk: Chunk

    @property
    def last_ts(self) -> int:
        """Effective exchange time of the last message."""
        piece = self.pack.pieces[self.n]
        return max(piece.last_ts, min(self.top, piece.last_local))

    def fill(self, out: Any, first: int = 0) -> None:
        """Write the chunk into arrays of its size, its first row being row `first` of the stream."""
        self.pack.heads(self.n, out.messages, first)
        never_back(out.messages, self.top)
        at = 0
        if self.opening is not None:
            at = len(self.opening[0])
            out.keys[:at], out.lots[:at] = self.opening
            out.messages["first"][1:] += at - self.pack.count("opening.keys")
        keys = self.pack.read(f"{self.n}.keys", out.keys[at:])
        if self.scale.tick != 1:
            out.keys[at:] = self.scale.keys(keys)
        self.scale.lots(self.pack.read(f"{self.n}.lots"), out.lots[at:])


@dataclass(frozen=True, eq=False)
class DealBit:
    """A chunk of a day's trades in the whole stream; `drop` are places of rows left out."""

    pack: Pack
    n: int
    scale: Scale
    top: int
    drop: Rows
    chunk: Chunk
    last_ts: int

    def fill(self, rows: Any, first: int = 0) -> None:
        """Write the chunk into rows."""
        out = np.empty(len(rows) + len(self.drop), TRADE) if len(self.drop) else rows
        self.pack.deals(self.n, out)
        never_back(out, self.top)
        if self.scale.tick != 1:
            out["tick"] *= self.scale.tick
        if self.scale.lot != 1:
            out["lots"] *= self.scale.lot
        if len(self.drop):
            rows[:] = np.delete(out, self.drop)


@dataclass(frozen=True, eq=False)
class Held:
    """A chunk in memory: one that a range cuts."""

    piece: Any
    chunk: Chunk
    last_ts: int

    def fill(self, out: Any, first: int = 0) -> None:
        """Copy the chunk."""
        if isinstance(out, Changes):
            for name in ("ts", "local_ts", "first"):
                out.messages[name] = self.piece.messages[name]
            out.messages["first"] += first
            out.keys[:], out.lots[:] = self.piece.keys, self.piece.lots
        else:
            out[:] = self.piece


def hold(piece: Any) -> Held:
    """Return a piece, `first` counted from its own first row, as a chunk in memory."""
    if isinstance(piece, Changes):
        heads, chunk = piece.messages, chunk_of(piece.messages, len(piece.messages), len(piece.keys))
    else:
        heads, chunk = piece, chunk_of(piece, 0, len(piece))
    return Held(piece, chunk, int(heads["ts"][-1]))


def book_bits(packs: Sequence[Pack], tick: float, lot: float) -> Iterator[BookBit]:
    """Yield the chunks of a book's days as one stream."""
    known: dict[int, int] = {}
    before: tuple[Pack, Scale] | None = None
    top = 0
    for pack in packs:
        scale = scale_of(pack, tick, lot)
        opening = scale.keys(pack.read("opening.keys")), scale.lots(pack.read("opening.lots"))
        if before is not None:
            opening = restate(known, opening) if pack.edges is None else compared(*before, pack, scale)
        for n, piece in enumerate(pack.pieces):
            rows = piece.rows + (len(opening[0]) if n == 0 else 0)
            chunk = chunk_at(piece, rows, top)
            yield BookBit(pack, n, scale, top, None if n else opening, chunk)
        if pack.pieces:
            if pack.edges is None:
                known = closing(pack, scale)
            before = pack, scale
        top = max(top, pack.label.top)


def closing(pack: Pack, scale: Scale) -> dict[int, int]:
    """Return what the levels that live at the end of a day hold."""
    lots = scale.lots(pack.read("closing"))
    live = lots > 0
    keys = scale.keys(pack.read("levels"))[live]
    return dict(zip(keys.tolist(), lots[live].tolist(), strict=True))


def restate(known: dict[int, int], opening: tuple[Levels, Lots]) -> tuple[Levels, Lots]:
    """Return what a day's first message changes."""
    return restated(known, *opening, 0)


def compared(pack: Pack, scale: Scale, later: Pack, own: Scale) -> tuple[Levels, Lots]:
    """Return what a day's first row changes in a book of views, as the kernel compares two rows."""
    assert pack.edges is not None
    assert later.edges is not None
    cells = own.cells(later.edges.first)
    viewer = Viewer(np.zeros(1, MOMENT), cells, len(cells))
    viewer.known = scale.cells(pack.edges.last)
    viewer.take(1)
    rows = viewer.out.keys.count
    return viewer.out.keys.rows[:rows].copy(), viewer.out.lots.rows[:rows].copy()


class Deals:
    """The days of trades or liquidations as one stream.

    Attributes
    ----------
    bits : list of DealBit
    counts : dict of str to int
        What midnight changes in the counts of the days: `repeated`, `other`, `zero`.
    """

    def __init__(self, packs: Sequence[Pack], tick: float, lot: float) -> None:
        self.bits: list[DealBit] = []
        self.counts = {"repeated": 0, "other": 0, "zero": 0, "unnamed": 0}
        top, tail = 0, np.zeros(0, NAMED)
        for pack in packs:
            scale = scale_of(pack, tick, lot)
            head, end = (in_final(pack.named(name), scale) for name in ("head", "tail"))
            drop = self.seen_before(tail, head)
            self.bits += list(deal_bits(pack, scale, top, drop))
            tail = np.concatenate((tail, end))[-WINDOW:]
            top = max(top, pack.label.top)

    def seen_before(self, tail: Rows, head: Rows) -> Rows:
        """Return the places of a day's rows whose id is one of the 500 before them."""
        last = {(row["id"], row["id2"]): i for i, row in enumerate(tail)}
        drop, done = [], set()
        for i, row in enumerate(head):
            name = (row["id"], row["id2"])
            at = last.get(name)
            if at is None or name in done or i + len(tail) - at > WINDOW:
                continue
            done.add(name)
            self.counts["repeated"] += 1
            self.counts["zero"] -= row["lots"] == 0  # told as a repeated one instead
            fields = ("raw_ts", "lots", "tick", "side")
            self.counts["other"] += any(row[f] != tail[at][f] for f in fields)
            if row["place"] >= 0:
                drop.append(int(row["place"]))
        return np.array(drop, np.int64)


def in_final(named: Rows, scale: Scale) -> Rows:
    """Return NAMED rows in final steps."""
    made = named.copy()
    made["tick"] *= scale.tick
    made["lots"] *= scale.lot
    return made


def deal_bits(pack: Pack, scale: Scale, top: int, drop: Rows) -> Iterator[DealBit]:
    """Yield the chunks of a day that keep a row."""
    at = 0
    for n, piece in enumerate(pack.pieces):
        mine = drop[(drop >= at) & (drop < at + piece.rows)] - at
        at += piece.rows
        rows = piece.rows - len(mine)
        if rows:
            last = max(piece.last_ts, min(top, piece.last_local))
            bit = DealBit(pack, n, scale, top, mine, chunk_at(piece, rows, top), last)
            if len(mine):
                bit.fill(kept := np.empty(rows, TRADE))
                bit = replace(bit, chunk=chunk_of(kept, 0, rows), last_ts=int(kept["ts"][-1]))
            yield bit


Bit = BookBit | DealBit | Held
