"""Rows of book files to a `Book`: the tables the kernels of `build` and `views` fill, grown as they need."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.arena import register
from framework.data import build, parse, views
from framework.data.careful import Place
from framework.errors import DataError
from framework.market_ticks import Book
from framework.records import MESSAGE, NEVER

Rows = NDArray[Any]
FIRST_TABLE = 1 << 14  # levels


class Grow:
    """Rows of one dtype that come block by block, in memory that grows in place."""

    def __init__(self, dtype: np.dtype[Any], room: int = 1 << 12) -> None:
        self.rows: Rows = np.empty(room, dtype)
        self.count = 0

    def reserve(self, more: int) -> None:
        """Make room for so many rows more."""
        if (need := self.count + more) > len(self.rows):
            self.rows.resize(max(need, len(self.rows) * 3 // 2), refcheck=False)

    def add(self, rows: Rows) -> None:
        """Append rows of any dtype with the fields of this one."""
        self.reserve(len(rows))
        here = self.rows[self.count : self.count + len(rows)]
        for name in self.rows.dtype.names or ():
            here[name] = rows[name]
        self.count += len(rows)

    def done(self) -> Rows:
        """Return the rows, read-only and without spare room."""
        rows, self.rows = self.rows, self.rows[:0]
        rows.resize(self.count, refcheck=False)
        rows.setflags(write=False)
        return rows


class BookRows:
    """Messages, keys and lots of a book that is being made."""

    def __init__(self) -> None:
        self.messages, self.keys, self.lots = Grow(MESSAGE), Grow(np.dtype("i4")), Grow(np.dtype("i8"))

    def reserve(self, messages: int, rows: int) -> None:
        """Make room for more messages (and the sentinel) and rows."""
        self.messages.reserve(messages + 1)
        self.keys.reserve(rows)
        self.lots.reserve(rows)

    def counted(self, messages: int, rows: int) -> None:
        """Note how far a kernel has written."""
        self.messages.count, self.keys.count, self.lots.count = messages, rows, rows

    def book(self, source: str) -> Book:
        """Return the book, with its sentinel."""
        self.messages.reserve(1)
        self.messages.rows[self.messages.count] = (NEVER, NEVER, self.keys.count)
        self.messages.count += 1
        return Book(self.messages.done(), self.keys.done(), self.lots.done(), source)


class Builder:
    """A book from rows of incremental_book_L2."""

    def __init__(self, changes: Rows) -> None:
        self.out = BookRows()
        self.changes = changes
        self.state = np.zeros(1, build.STATE)
        self.heaped = np.zeros(2, np.int64)
        self.state["message"] = 1
        self.take_table(FIRST_TABLE, np.zeros(FIRST_TABLE, build.LEVEL))
        self.touched = np.empty(FIRST_TABLE, np.int64)
        self.place()

    def take_table(self, size: int, levels: Rows) -> None:
        """Use a table of levels."""
        self.levels = self.spare = levels
        self.heap = np.empty(2 * size, np.int64)
        self.state["size"] = size

    def place(self) -> None:
        """Tell the kernels where everything lies now."""
        out = self.out
        arrays = build.Build(
            self.state, self.changes, self.levels, self.spare, self.heap, self.heaped, self.touched,
            out.messages.rows, out.keys.rows, out.lots.rows,
        )  # fmt: skip
        self.state["message_room"], self.state["row_room"] = len(out.messages.rows), len(out.keys.rows)
        self.addresses = np.array([a.ctypes.data for a in arrays], dtype=np.int64)
        self.address, self.held = register(self.addresses.ctypes.data, arrays)

    def begin_file(self) -> None:
        """Forget that a snapshot was seen: a day file begins with its own."""
        c = self.state[0]
        if c["flag"] and not (c["saw_bid"] and c["saw_ask"]):
            c["one_sided"] += 1
        c["flag"] = c["started"] = 0

    def end_file(self, place: Place) -> None:
        """Refuse a file that never shows the whole book."""
        if place.row and not self.state[0]["started"]:
            raise DataError(
                f"{place.path}: none of its {place.row} rows is part of a snapshot, so there is no book to "
                "change; take the file from the start of its day"
            )

    def take(self, count: int) -> None:
        """Apply the first `count` rows of the block."""
        self.state["next"], self.state["count"] = 0, count
        while (code := build.build(self.address)) != build.DONE:
            self.make_room(code)

    def make_room(self, code: int) -> None:
        """Grow what a kernel found too small."""
        c = self.state[0]
        if code == build.ROOM:
            self.out.counted(int(c["messages"]), int(c["rows"]))
            self.out.reserve(1 << 12, int(c["touched"]) + (1 << 14))
        else:
            kept = (self.levels["lots"] > 0) | (self.levels["touch"] == c["message"])
            size = int(c["size"]) * (2 if 4 * int(kept.sum()) > c["size"] else 1)
            self.spare = np.zeros(size, build.LEVEL)
            c["spare_size"] = size
            self.place()
            build.move_levels(self.address)
            self.take_table(size, self.spare)
            self.touched = np.resize(self.touched, size)
            self.place()
            build.heap_all(self.address)
        self.place()

    def book(self, source: str) -> Book:
        """Return the finished book."""
        self.begin_file()
        while (code := build.finish(self.address)) != build.DONE:
            self.make_room(code)
        self.out.counted(int(self.state[0]["messages"]), int(self.state[0]["rows"]))
        return self.out.book(source)

    def counts(self) -> dict[str, int]:
        """Return what was skipped, removed and seen."""
        names = ("skipped", "snapshots", "one_sided", "crossed")
        return {name: int(self.state[0][name]) for name in names}


class Viewer:
    """A book from rows that each show its visible top."""

    def __init__(self, moments: Rows, cells: Rows, width: int) -> None:
        self.out = BookRows()
        self.moments, self.cells, self.width = moments, cells, width
        self.state = np.zeros(1, views.STATE)
        self.state["width"] = width
        self.known, self.now = np.full(width, parse.EMPTY), np.full(width, parse.EMPTY)

    def begin_file(self) -> None:
        """Nothing: what a row shows does not depend on the file it stands in."""

    def end_file(self, place: Place) -> None:
        """Nothing, for the same reason."""

    def take(self, count: int) -> None:
        """Compare the first `count` rows of the block, each with the one before."""
        self.out.reserve(count, count * self.width)
        out = self.out
        arrays = views.Views(
            self.state, self.moments, self.cells, self.known, self.now, out.messages.rows, out.keys.rows,
            out.lots.rows,
        )  # fmt: skip
        addresses = np.array([a.ctypes.data for a in arrays], dtype=np.int64)
        address, held = register(addresses.ctypes.data, arrays)
        self.state["count"] = count
        views.compare_rows(address)
        del held
        out.counted(int(self.state[0]["messages"]), int(self.state[0]["rows"]))

    def book(self, source: str) -> Book:
        """Return the finished book."""
        return self.out.book(source)

    def counts(self) -> dict[str, int]:
        """Return what was removed and seen."""
        return {name: int(self.state[0][name]) for name in ("one_sided", "crossed")}
