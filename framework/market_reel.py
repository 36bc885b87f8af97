"""One run's way through a streamed market: pieces come into memory before they are needed and go when read.

The arrays of a stream have their full length from the begin on, so that cursors and addresses never change:
they lie in address space that is reserved only. A page takes memory from when its piece is written to when
everybody has read past it.
"""

from __future__ import annotations

import contextlib
import mmap
import sys
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from framework.errors import ConfigError
from framework.market_source import Changes, ColumnHashes, Piece, Tape
from framework.market_ticks import Book
from framework.records import MESSAGE, NEVER, TRADE

if TYPE_CHECKING:
    from framework.market import Market
    from framework.market_book import BookCursor

Rows = NDArray[Any]
NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)  # of Linux; Python names it from 3.12 on
LARGE = 1 << 23  # bytes; of large arrays pages of 2 MB come in at once, which is what writing them costs
LOOK_BACK = 1 << 20  # trades that stay known behind the newest one seen
RUN_STREAMS = ("trades", "books")  # what a run reads; quotes and liquidations are content only


class Space:
    """An array of `count` rows in address space that is reserved, not taken."""

    def __init__(self, count: int, dtype: np.dtype[Any]) -> None:
        self.map: mmap.mmap | None = None
        self.gone = 0  # bytes given back
        if count == 0:
            self.rows: Rows = np.zeros(0, dtype)
            return
        size = count * dtype.itemsize
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        if sys.platform == "linux":
            flags |= NORESERVE
        self.map = mmap.mmap(-1, size, flags=flags)
        if size >= LARGE and hasattr(mmap, "MADV_HUGEPAGE"):
            with contextlib.suppress(OSError):  # a system built without them
                self.map.madvise(mmap.MADV_HUGEPAGE)
        self.rows = np.frombuffer(self.map, dtype, count)

    def forget(self, before: int) -> None:
        """Give the pages before a row back; they read as zeros from now on."""
        end = before * self.rows.dtype.itemsize // mmap.PAGESIZE * mmap.PAGESIZE
        if self.map is not None and end > self.gone and hasattr(mmap, "MADV_DONTNEED"):
            self.map.madvise(mmap.MADV_DONTNEED, self.gone, end - self.gone)
            self.gone = end


class Strand:
    """The arrays of one tape in a run: what is loaded, and the piece that is being read ahead."""

    def __init__(self, tape: Tape, pool: ThreadPoolExecutor) -> None:
        self.tape, self.pool = tape, pool
        self.is_book = tape.stream == "books"
        heads = tape.messages + 1 if self.is_book else tape.rows
        self.heads = Space(heads, MESSAGE if self.is_book else TRADE)
        self.keys = Space(tape.rows if self.is_book else 0, np.dtype("i4"))
        self.lots = Space(tape.rows if self.is_book else 0, np.dtype("i8"))
        self.pieces = tape.read()
        self.hashes = None if tape.digests else ColumnHashes(tape.stream)
        self.next = 0  # chunk that is not loaded yet
        self.loaded = 0  # messages, or trades
        self.loaded_rows = 0  # levels of a book
        self.gone = 0  # messages, or trades, that are not there any more
        self.book = None
        if self.is_book:
            self.book = Book(self.heads.rows, self.keys.rows, self.lots.rows, tape.source, tape.seeded)
            self.book.__dict__["levels"] = tape.levels  # else it would look for them in rows to come
        self.ahead: Future[Rows] | None = pool.submit(self.write)

    @property
    def next_ts(self) -> int:
        """No row that is not loaded has an earlier exchange time; NEVER when all are."""
        chunks = self.tape.chunks
        return chunks[self.next].first_ts if self.next < len(chunks) else NEVER

    def write(self) -> Rows:
        """Write the next piece behind what is loaded, all but its first row; return that row.

        Where it belongs stands the sentinel, which whoever reads now must find.
        """
        piece: Piece = next(self.pieces)
        if self.hashes is not None:
            self.hashes.add(piece)
        heads = piece.messages if isinstance(piece, Changes) else piece
        at = self.loaded
        self.heads.rows[at + 1 : at + len(heads)] = heads[1:]
        if isinstance(piece, Changes):
            end = self.loaded_rows + len(piece.keys)
            self.keys.rows[self.loaded_rows : end] = piece.keys
            self.lots.rows[self.loaded_rows : end] = piece.lots
        return heads[:1].copy()

    def load(self) -> None:
        """Let the piece that was read ahead be there, and read the next one ahead."""
        assert self.ahead is not None
        first = self.ahead.result()
        chunk = self.tape.chunks[self.next]
        at = self.loaded
        self.loaded += chunk.messages if self.is_book else chunk.rows
        self.loaded_rows += chunk.rows if self.is_book else 0
        if self.loaded < len(self.heads.rows):
            last = self.heads.rows[self.loaded]
            last["ts"] = last["local_ts"] = NEVER
            if self.is_book:
                last["first"] = self.loaded_rows
        self.heads.rows[at] = first[0]
        self.next += 1
        if self.next < len(self.tape.chunks):
            self.ahead = self.pool.submit(self.write)
            return
        self.ahead = None
        if self.hashes is not None and not self.tape.digests:
            self.tape.digests[:] = self.hashes.done(self.tape.rows)

    def forget(self, before: int) -> None:
        """Give back what lies before a message, or a trade."""
        if before <= self.gone:
            return
        self.gone = before
        if self.is_book:
            row = int(self.heads.rows["first"][before])
            self.keys.forget(row)
            self.lots.forget(row)
        self.heads.forget(before)

    def end(self) -> None:
        """Give everything back."""
        if self.ahead is not None and not self.ahead.cancel():
            self.ahead.exception()  # waits: it writes into the arrays
        for space in (self.heads, self.keys, self.lots):
            space.forget(len(space.rows))


class Reel:
    """A run's own view of a streamed market, moved on piece by piece.

    Attributes
    ----------
    market : Market
        The streamed market with arrays of full length, of which only a part is there at a time.
    horizon : int
        ns; every row whose exchange time or arrival is not later is there, or has been; NEVER at the end.
    """

    def __init__(self, market: Market) -> None:
        if sys.platform == "win32":
            raise ConfigError(
                f"{market.name}: streamed markets need a system with POSIX memory maps; load it with "
                "stream=False"
            )
        self.source = market
        self.pool = ThreadPoolExecutor(1, "sheepfold-reel")
        self.strands = {
            (tape.stream, tape.instrument): Strand(tape, self.pool)
            for tape in market.tapes
            if tape.stream in RUN_STREAMS
        }
        self.cursors: weakref.WeakSet[BookCursor] = weakref.WeakSet()  # of views: they need every message
        self.horizon = -1
        trades, books = dict(market.trades), dict(market.books)
        for (_, k), strand in self.strands.items():
            if strand.book is not None:
                books[k] = strand.book
            else:
                trades[k] = strand.heads.rows
        try:
            self.load()
        except BaseException:
            self.close()
            raise
        self.market = replace(market, trades=trades, books=books, reel=self)

    def load(self) -> None:
        """Load the pieces that hold the horizon back, and move it."""
        while True:
            for strand in self.strands.values():
                while strand.next_ts <= self.horizon + 1 or strand.next == 0:
                    strand.load()
            at = min((strand.next_ts for strand in self.strands.values()), default=NEVER)
            horizon = NEVER if at == NEVER else at - 1
            if horizon > self.horizon:
                self.horizon = horizon
                return

    def forget(self, stream: str, k: int, before: int) -> None:
        """Give back what lies before a message or trade that nobody will ask for."""
        self.strands[stream, k].forget(before)

    def loaded(self, stream: str, k: int) -> int:
        """Return how many messages or trades of an instrument are there, or have been."""
        return self.strands[stream, k].loaded

    def follow_book(self, k: int, cursor: BookCursor) -> None:
        """Let a cursor follow a book: one that comes late learns what has gone from a pass of its own."""
        strand = self.strands["books", k]
        left = strand.gone
        for piece in strand.tape.read() if left else ():
            assert isinstance(piece, Changes)
            count = min(left, len(piece.messages))
            first = piece.messages["first"]
            end = len(piece.keys) if count == len(first) else int(first[count] - first[0])
            cursor.learn(count, piece.keys[:end], piece.lots[:end])
            left -= count
            if not left:
                break
        self.cursors.add(cursor)

    def follow(self, now: int) -> None:
        """Move on to `now` where only views read: no engine's books wait for rows."""
        while now > self.horizon:
            self.show(self.horizon)
            for (stream, k), strand in self.strands.items():
                times = strand.heads.rows["local_ts"][: strand.loaded]
                passed = int(np.searchsorted(times, self.horizon, side="right"))
                self.forget(stream, k, passed - (1 if stream == "books" else LOOK_BACK))
            self.load()

    def show(self, until: int) -> None:
        """Let the cursors of views take every message that has arrived until then."""
        for cursor in self.cursors:
            cursor.keep_up(until)

    def close(self) -> None:
        """Give all memory back; the arrays must not be read any more."""
        self.pool.shutdown(wait=False, cancel_futures=True)
        for strand in self.strands.values():
            strand.end()


__all__ = ["LOOK_BACK", "Reel"]
