"""A day of a book, or of trades, in the engine's form: one file, made from the raw rows and never trusted.

The file begins with a line (format, length and sha256 of the header), a JSON header and the sections. A book
has chunks of whole messages in narrow numbers; beside them its first message (which states all that is
known), every level, and what each held at the end, so that days are joined without reading their rows.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.data.store_files import alone, new_name, unwritable
from framework.errors import DataError
from framework.market_ticks import Book
from framework.times import MICROSECOND

Rows = NDArray[Any]
MARK = b"sheepfold pack 1 "  # then 12 digits (length of the header), its sha256 and a line end
FIRST_LINE = len(MARK) + 12 + 1 + 64 + 1
LONGEST_HEADER = 1 << 26
CHUNK = 1 << 20  # rows
NAMED = np.dtype(
    [("id", "<i8"), ("id2", "<i8"), ("place", "<i8"), ("raw_ts", "<i8"), ("lots", "<i8"), ("tick", "<i4"),
     ("side", "<i4")]
)  # fmt: skip  # a row with an id: two digests of it, its place among the rows kept (-1: left out), content
WIDTHS = ("u1", "u2", "u4")


class Damaged(DataError):
    """A pack that is not what was written: it is made again from the raw rows."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: {what}; load again: it is made anew from the raw rows")
        self.path, self.what = path, what


class Piece(NamedTuple):
    """A chunk, as the header has it: times are those of the day alone, ns."""

    messages: int
    rows: int  # of a book without those of the day's first message
    first_ts: int  # effective exchange time of its first row
    first_local: int
    last_local: int
    last_ts: int
    pause: int  # longest time between two arrivals inside


@dataclass(frozen=True)
class Label:
    """What a pack holds.

    Attributes
    ----------
    venue, kind, symbol : str
    day : int
        ns, UTC midnight.
    tick_size, lot_size : float
        Steps of its keys and lots.
    content : str
        content_sha256 of the raw rows it was made of.
    counts : dict of str to int
        What was skipped, removed and seen while it was made.
    top : int
        ns; the latest exchange time of the raw rows, 0 without a row.
    """

    venue: str
    kind: str
    symbol: str
    day: int
    tick_size: float
    lot_size: float
    content: str
    counts: Mapping[str, int]
    top: int


class Edges(NamedTuple):
    """Of a book of views: the cells of the day's first and last row, amounts removed as crossed at 0."""

    first: list[int]
    last: list[int]


def narrow(values: Rows) -> Rows:
    """Return whole numbers in the narrowest type that holds them."""
    if not len(values):
        return values.astype("u1")
    low, high = int(values.min()), int(values.max())
    if low >= 0:
        fits = next((w for w in WIDTHS if high < 1 << 8 * int(w[1])), "i8")
        return values.astype(f"<{fits}")
    return values.astype("<i4" if low >= -(2**31) and high < 2**31 else "<i8")


def narrow_lots(lots: Rows) -> Rows:
    """Return lots as int32 where they fit; -1 is one of them."""
    fits = not len(lots) or (int(lots.min()) >= -1 and int(lots.max()) < 2**31)
    return lots.astype("<i4" if fits else "<i8")


def steps(first: int, times: Rows) -> tuple[Rows, int]:
    """Return the steps of ascending times from the first, and their unit: 1000 ns where all are whole."""
    unit = MICROSECOND if first % MICROSECOND == 0 and not (times % MICROSECOND).any() else 1
    return narrow(np.diff(times, prepend=first) // unit), unit


class Writer:
    """The sections and chunks of a pack."""

    def __init__(self) -> None:
        self.sections: dict[str, tuple[str, Rows]] = {}
        self.pieces: list[list[int]] = []
        self.units: list[list[int]] = []

    def put(self, name: str, values: Rows) -> None:
        """Add a section."""
        made = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        self.sections[name] = (made.dtype.str, made)

    def times(self, heads: Rows, rows: int, messages: int) -> None:
        """Add a chunk's times."""
        n, local = len(self.pieces), heads["local_ts"]
        made, unit = steps(int(local[0]), local)
        late, late_unit = heads["local_ts"] - heads["ts"], 1
        if not (late % MICROSECOND).any():
            late, late_unit = late // MICROSECOND, MICROSECOND
        self.put(f"{n}.local", made)
        self.put(f"{n}.late", narrow(late))
        self.units.append([unit, late_unit])
        pause = int(np.diff(local).max(initial=0))
        ends = (heads["ts"][0], local[0], local[-1], heads["ts"][-1])
        self.pieces.append([messages, rows, *map(int, ends), pause])

    def save(self, path: Path, label: Label, more: Mapping[str, Any]) -> None:
        """Write the file under a temporary name, then rename it."""
        at, table = 0, {}
        for name, (dtype, values) in self.sections.items():
            table[name] = [at, values.nbytes, dtype, hashlib.sha256(values.data).hexdigest()]
            at += values.nbytes
        head = {
            **{name: getattr(label, name) for name in Label.__dataclass_fields__}, **more,
            "counts": dict(label.counts), "chunks": self.pieces, "units": self.units, "sections": table,
        }  # fmt: skip
        text = json.dumps(head, sort_keys=True).encode()
        first = MARK + f"{len(text):012d} {hashlib.sha256(text).hexdigest()}\n".encode()
        write_whole(path, [first, text, *(values.data for _, values in self.sections.values())])


def write_whole(path: Path, parts: list[Any]) -> None:
    """Write a file so that it is there whole or not at all.

    It is not forced to the disk: what a power cut leaves is told by its hashes and made again.
    """
    with alone(path.parent):
        new = new_name(path)
        try:
            with open(new, "wb") as file:
                for part in parts:
                    file.write(part)
            os.replace(new, path)
        except OSError as error:
            raise unwritable(path, error) from None
        finally:
            new.unlink(missing_ok=True)


def write_pack(path: Path, book: Book, label: Label, edges: Edges | None = None) -> None:
    """Write a day's book, built alone, as a pack.

    Parameters
    ----------
    path : Path
        Its folder is made; the file appears whole or not at all.
    book : Book
        As `Builder.book` or `Viewer.book` returns it for the rows of this one day.
    label : Label
    edges : Edges, optional
        Of a book of views (snapshots, quotes): needed to join days.
    """
    out = Writer()
    first = book.messages["first"]
    base, opening = int(first[0]), int(first[min(1, len(book))])
    for a, b in pairwise(cuts(first, CHUNK)):
        low, high = max(int(first[a]), opening), int(first[b])
        out.put(f"{len(out.pieces)}.count", narrow(np.diff(first[a : b + 1])))
        out.put(f"{len(out.pieces)}.keys", book.keys[low:high])
        out.put(f"{len(out.pieces)}.lots", narrow_lots(book.lots[low:high]))
        out.times(book.messages[a:b], high - low, b - a)
    out.put("opening.keys", book.keys[base:opening])
    out.put("opening.lots", narrow_lots(book.lots[base:opening]))
    levels, lots = book.state_before(len(book))
    out.put("levels", levels)
    out.put("closing", narrow_lots(lots))
    out.save(path, label, {"edges": edges and [*map(list, edges)]})


def cuts(first: Rows, most: int) -> list[int]:
    """Return the messages at which chunks of about `most` rows begin, and the end."""
    edges = [0]
    while edges[-1] < len(first) - 1:
        at = edges[-1]
        end = int(np.searchsorted(first, first[at] + most, side="right")) - 1
        edges.append(min(max(at + 1, end), at + most))
    return edges


def write_deals(path: Path, rows: Rows, label: Label, head: Rows, tail: Rows) -> None:
    """Write a day's trades or liquidations as a pack.

    Parameters
    ----------
    path : Path
    rows : TRADE array
        What `Deals.finished` returns for the rows of this one day.
    label : Label
    head, tail : NAMED array
        The first and the last 500 rows with an id, kept or not: ids repeat across midnight.
    """
    out = Writer()
    for at in range(0, len(rows), CHUNK):
        part, n = rows[at : at + CHUNK], len(out.pieces)
        out.put(f"{n}.raw", narrow(part["ts"] - part["raw_ts"]))
        out.put(f"{n}.lots", narrow_lots(part["lots"]))
        out.put(f"{n}.tick", part["tick"])
        out.put(f"{n}.side", part["side"].astype("i1"))
        out.times(part, len(part), 0)
    for name, named in (("head", head), ("tail", tail)):
        out.put(name, np.ascontiguousarray(named).view("u1"))
    out.save(path, label, {})


class Pack:
    """A pack that was opened: its header is checked, each section when it is read.

    Attributes
    ----------
    path : Path
    label : Label
    pieces : list of Piece
    edges : Edges or None
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with open(path, "rb") as file:
                head, self.base = read_header(path, file)
            self.label = Label(**{name: head[name] for name in Label.__dataclass_fields__})
            self.pieces = [Piece(*piece) for piece in head["chunks"]]
            self.units: list[list[int]] = head["units"]
            self.sections: dict[str, list[Any]] = head["sections"]
            edges = head.get("edges")
        except OSError as error:
            raise Damaged(path, f"cannot be read ({error.strerror})") from None
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(path, f"its header is damaged ({error})") from None
        self.edges = Edges(*edges) if edges else None
        self.good: set[str] = set()  # sections that were read

    def read(self, name: str, into: Rows | None = None) -> Rows:
        """Return a section, checked; in memory that is given where its type is the section's."""
        at, size, dtype, digest = self.sections[name]
        if into is None or into.dtype.newbyteorder("<").str != dtype:
            into = np.empty(size // np.dtype(dtype).itemsize, dtype)
        if into.nbytes != size:
            raise Damaged(self.path, f"section {name} has another length")
        view = memoryview(into.view("u1"))  # type: ignore[arg-type]
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self.base + at)
            got = 0
            while got < size and (count := file.readinto(view[got:])):
                got += count
        if got < size or hashlib.sha256(view).hexdigest() != digest:
            raise Damaged(self.path, f"section {name} is damaged")
        self.good.add(name)
        return into

    def check(self) -> None:
        """Read every section that was not read yet."""
        for name in [name for name in self.sections if name not in self.good]:
            self.read(name)

    def count(self, name: str) -> int:
        """Return how many values a section has."""
        _, size, dtype, _ = self.sections[name]
        return int(size // np.dtype(dtype).itemsize)

    def times(self, n: int, heads: Rows) -> None:
        """Write `ts` and `local_ts` of a chunk."""
        unit, late_unit = self.units[n]
        local = np.multiply(self.read(f"{n}.local"), unit, dtype=np.int64)
        np.cumsum(local, out=local)
        local += self.pieces[n].first_local
        heads["local_ts"] = local
        local -= np.multiply(self.read(f"{n}.late"), late_unit, dtype=np.int64)
        heads["ts"] = local

    def heads(self, n: int, heads: Rows, first: int) -> None:
        """Write the messages of a chunk into MESSAGE rows; its first row is number `first`."""
        self.times(n, heads)
        counts = self.read(f"{n}.count")
        heads["first"][:1] = first
        np.cumsum(counts[:-1], dtype=np.int64, out=(ends := np.empty(max(len(counts) - 1, 0), np.int64)))
        heads["first"][1:] = ends + first

    def deals(self, n: int, rows: Rows) -> None:
        """Write a chunk of trades into TRADE rows."""
        self.times(n, rows)
        rows["raw_ts"] = rows["ts"] - self.read(f"{n}.raw")
        for name in ("lots", "tick", "side"):
            rows[name] = self.read(f"{n}.{name}")

    def named(self, name: str) -> Rows:
        """Return the first ("head") or last ("tail") rows with an id."""
        return self.read(name).view(NAMED)


def read_header(path: Path, file: BinaryIO) -> tuple[dict[str, Any], int]:
    """Return the header of a pack and where its sections begin."""
    first = file.read(FIRST_LINE)
    if not first.startswith(MARK) or len(first) < FIRST_LINE:
        raise Damaged(path, "is no pack of this version")
    length, _, digest = first[len(MARK) :].decode("latin-1").strip().partition(" ")
    text = file.read(min(int(length), LONGEST_HEADER))
    if hashlib.sha256(text).hexdigest() != digest:
        raise Damaged(path, "its header is damaged")
    return json.loads(text), FIRST_LINE + len(text)
