"""Tick streams that come in pieces: what is known of them before a row is read, and one pass over them.

A market whose tick streams are tapes is never in memory as a whole; a run reads it through a `Reel`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.errors import ConfigError
from framework.market_ticks import Book, Levels, Lots
from framework.records import MESSAGE, NEVER, QUOTE, TRADE

if TYPE_CHECKING:
    from framework.market import Market

Rows = NDArray[Any]
STREAMS = ("trades", "quotes", "liquidations", "books")
LAYOUTS = {"trades": TRADE, "quotes": QUOTE, "liquidations": TRADE, "books": MESSAGE}


class Changes(NamedTuple):
    """A piece of a book: whole messages, `first` counted from the begin of the stream, without a sentinel."""

    messages: Rows
    keys: Levels
    lots: Lots


Piece = Rows | Changes  # of trades, quotes and liquidations simply rows


class Chunk(NamedTuple):
    """What is known of one piece before it is read."""

    messages: int  # of a book, else 0
    rows: int  # of levels, trades or quotes
    first_ts: int  # ns; no row of this or a later piece has an earlier effective exchange time
    first_local: int  # ns; arrival of the first row
    last_local: int  # ns
    pause: int  # ns; longest time without a row inside the piece


@dataclass(frozen=True, eq=False)
class Tape:
    """One tick stream of one instrument, in pieces; immutable, shared by all runs.

    Attributes
    ----------
    stream : {"trades", "books", "quotes", "liquidations"}
    instrument : int
    chunks : tuple of Chunk
        None of them empty.
    read : callable
        Begins a fresh pass: yields the piece of each chunk, in order. Put together they are the arrays of
        the stream in memory, to the bit. Two passes may run at the same time.
    last_ts : int
        ns; effective exchange time of the last row.
    levels : int32 array
        Of a book every key that occurs, ascending.
    source, seeded
        Of a book, as in `Book`.
    """

    stream: str
    instrument: int
    chunks: tuple[Chunk, ...]
    read: Callable[[], Iterator[Piece]]
    last_ts: int
    levels: Levels = field(default_factory=lambda: np.zeros(0, np.int32))
    source: str = "incremental_book_L2"
    seeded: bool = False
    digests: list[bytes] = field(default_factory=list)  # of the columns, once a pass has been through

    @property
    def messages(self) -> int:
        """Messages of a book."""
        return sum(chunk.messages for chunk in self.chunks)

    @property
    def rows(self) -> int:
        """Rows of levels, trades or quotes."""
        return sum(chunk.rows for chunk in self.chunks)

    @property
    def first_local(self) -> int:
        """Arrival of the first row."""
        return self.chunks[0].first_local

    @property
    def last_local(self) -> int:
        """Arrival of the last row."""
        return self.chunks[-1].last_local

    @property
    def pause(self) -> int:
        """Longest time between two arrivals."""
        between = (b.first_local - a.last_local for a, b in pairwise(self.chunks))
        return max(*(chunk.pause for chunk in self.chunks), *between, 0)

    def last(self, clock: str) -> int:
        """Return the time of the last row by the exchange's clock ("ts") or ours ("local_ts")."""
        return self.last_ts if clock == "ts" else self.last_local

    def column_digests(self) -> list[bytes]:
        """Return sha256 of each column; a pass of its own where no run has been through yet."""
        if not self.digests:
            hashes = ColumnHashes(self.stream)
            for piece in self.read():
                hashes.add(piece)
            self.digests[:] = hashes.done(self.rows)
        return self.digests


class ColumnHashes:
    """sha256 of each column of a stream that comes in pieces."""

    def __init__(self, stream: str) -> None:
        names = [*(LAYOUTS[stream].names or ())]
        self.names = names
        self.hashes = [hashlib.sha256() for _ in (*names, *(("keys", "lots") if stream == "books" else ()))]

    def add(self, piece: Piece) -> None:
        """Take the next piece."""
        rows = piece.messages if isinstance(piece, Changes) else piece
        columns = [rows[name] for name in self.names]
        if isinstance(piece, Changes):
            columns += [piece.keys, piece.lots]
        for one, cells in zip(self.hashes, columns, strict=True):
            one.update(np.ascontiguousarray(cells, dtype=cells.dtype.newbyteorder("<")).data)

    def done(self, rows: int) -> list[bytes]:
        """Return the digests; the starts of messages end with the number of rows, as in a `Book`."""
        if len(self.hashes) > len(self.names):
            self.hashes[self.names.index("first")].update(np.array([rows], dtype="<i8").data)
        return [one.digest() for one in self.hashes]


def tape_of(market: Market, stream: str, k: int) -> Tape | None:
    """Return the tape of a stream of an instrument, None where it has none."""
    return next((t for t in market.tapes if t.stream == stream and t.instrument == k), None)


# --- a market in memory as tapes, and back ----------------------------------------------------
def cut_tapes(market: Market, rows: int) -> tuple[Tape, ...]:
    """Return the tick streams of a market in memory, in pieces of about `rows` rows."""
    made = []
    for stream in STREAMS:
        for k, part in sorted(getattr(market, stream).items()):
            if len(part):
                made.append(cut_book(part, k, rows) if stream == "books" else cut_rows(part, stream, k, rows))
    return tuple(made)


def taped_fields(market: Market, rows: int) -> dict[str, Any]:
    """Return the fields of a market that change when its tick streams become tapes."""
    empty = {name: {k: x for k, x in getattr(market, name).items() if not len(x)} for name in STREAMS}
    return {**empty, "tapes": cut_tapes(market, rows)}


def chunk_of(heads: Rows, messages: int, rows: int) -> Chunk:
    """Return what is known of a piece with these rows (of a book, messages)."""
    local = heads["local_ts"]
    pause = int(np.diff(local).max(initial=0))
    return Chunk(messages, rows, int(heads["ts"][0]), int(local[0]), int(local[-1]), pause)


def cut_rows(rows: Rows, stream: str, k: int, most: int) -> Tape:
    """Return rows in memory as a tape."""
    parts = [rows[i : i + most] for i in range(0, len(rows), most)]
    chunks = tuple(chunk_of(part, 0, len(part)) for part in parts)
    return Tape(stream, k, chunks, lambda: iter(parts), int(rows["ts"][-1]))


def cut_book(book: Book, k: int, most: int) -> Tape:
    """Return a book in memory as a tape of whole messages."""
    first = book.messages["first"]
    base = int(first[0])
    edges, parts = [0], []
    while edges[-1] < len(book):
        at = edges[-1]
        edges.append(max(at + 1, int(np.searchsorted(first, first[at] + most, side="right")) - 1))
        edges[-1] = min(edges[-1], at + most, len(book))
    for a, b in pairwise(edges):
        heads = book.messages[a:b].copy()
        low, high = int(first[a]), int(first[b])
        heads["first"] -= base
        parts.append(Changes(heads, book.keys[low:high], book.lots[low:high]))
    chunks = tuple(chunk_of(p.messages, len(p.messages), len(p.keys)) for p in parts)
    last = int(book.messages["ts"][len(book) - 1])
    return Tape("books", k, chunks, lambda: iter(parts), last, book.levels, book.source, book.seeded)


def joined(pieces: Sequence[Piece], tape: Tape) -> Rows | Book:
    """Return pieces from the begin of a stream as its array, or its book."""
    if tape.stream != "books":
        return frozen(np.concatenate([np.asarray(p) for p in pieces]))
    parts = [p for p in pieces if isinstance(p, Changes)]
    rows = sum(len(p.keys) for p in parts)
    end = np.array([(NEVER, NEVER, rows)], dtype=MESSAGE)
    return Book(
        frozen(np.concatenate([*(p.messages for p in parts), end])),
        frozen(np.concatenate([p.keys for p in parts])), frozen(np.concatenate([p.lots for p in parts])),
        tape.source, tape.seeded,
    )  # fmt: skip


def frozen(rows: Rows) -> Rows:
    """Return the rows, read-only."""
    rows.setflags(write=False)
    return rows


def in_memory(market: Market) -> Market:
    """Return a streamed market with every row in memory."""
    return with_arrays(market, {id(tape): list(tape.read()) for tape in market.tapes})


def with_arrays(market: Market, pieces: dict[int, list[Piece]]) -> Market:
    """Return a market whose streams are these pieces of its tapes."""
    fields: dict[str, Any] = {name: dict(getattr(market, name)) for name in STREAMS}
    for tape in market.tapes:
        if pieces[id(tape)]:
            fields[tape.stream][tape.instrument] = joined(pieces[id(tape)], tape)
    return replace(market, tapes=(), **fields)


def opening(market: Market) -> Market:
    """Return the first pieces of a streamed market in memory, to where the first of them ends."""
    if not market.tapes:
        return market
    firsts = {id(tape): [next(tape.read())] for tape in market.tapes}
    ends = [tape.chunks[1].first_local for tape in market.tapes if len(tape.chunks) > 1]
    part = with_arrays(market, firsts)
    return part.slice(None, min(ends)) if ends and market.start < min(ends) < market.stop else part


def need_memory(market: Market, what: str) -> None:
    """Refuse what cannot be done with a streamed market."""
    if market.tapes:
        raise ConfigError(
            f"{what}: {market.name} is streamed and not in memory as a whole; load a shorter range, or take "
            "market.loaded() where it fits"
        )


__all__ = [
    "Changes", "Chunk", "ColumnHashes", "Piece", "Tape", "cut_tapes", "in_memory", "need_memory", "opening",
    "tape_of", "taped_fields",
]  # fmt: skip
