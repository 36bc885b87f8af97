"""Files of one stream through the kernels: blocks, lines, the careful look at odd rows, counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from framework.arena import register
from framework.data import parse
from framework.data.blocks import BLOCK, blocks
from framework.data.careful import LONGEST, Grid, Place, plain_row, ticker_row
from framework.data.parse import EARLIEST, LATEST
from framework.data.parse_book import read_changes, read_levels
from framework.data.parse_deals import read_deals
from framework.data.parse_ticker import read_ticks
from framework.data.schema import COLUMNS, TickFile, check_header
from framework.errors import DataError
from framework.instruments import Instrument
from framework.times import DAY, MICROSECOND, SECOND, format_time

Rows = NDArray[Any]
SILENCE = 60 * SECOND  # a longer time without a row is counted
SPARE = 128  # bytes kernels may look at behind a line
SHORTEST = 36  # bytes of a row beside its own cells: two stamps alone have 34
READERS: dict[str, Callable[[int], int]] = {
    "incremental_book_L2": read_changes,
    "trades": read_deals,
    "liquidations": read_deals,
    "derivative_ticker": read_ticks,
    **dict.fromkeys(("quotes", "book_ticker", "book_snapshot_5", "book_snapshot_25"), read_levels),
}


class Taker(Protocol):
    """What becomes of the rows of a block."""

    def begin_file(self) -> None: ...

    def take(self, count: int) -> None: ...

    def end_file(self, place: Place) -> None: ...


@dataclass
class Counts:
    """What was seen in the files of one stream."""

    rows: int = 0
    changed: int = 0
    ahead: int = 0  # us
    back: int = 0
    gaps: int = 0
    gap: int = 0
    gap_at: int = 0
    empty: list[TickFile] = field(default_factory=list)
    spans: list[tuple[TickFile, int, int]] = field(default_factory=list)  # first, last local_ts in us


class Reader:
    """The files of one kind, row by row in file order.

    Parameters
    ----------
    kind : str
    what : Instrument
    price, amount : Grid
    day : int or None
        ns; every local_timestamp must lie in this day, else in the day of its file name.
    """

    def __init__(self, kind: str, what: Instrument, price: Grid, amount: Grid, day: int | None) -> None:
        self.kind, self.what, self.price, self.amount, self.day = kind, what, price, amount, day
        self.symbol = what.symbol.upper()
        self.kernel = READERS[kind]
        self.counts = Counts()
        width = len(COLUMNS[kind]) - 4
        room = BLOCK // (SHORTEST + width)
        prefix = np.frombuffer(f"{what.venue},{self.symbol},".encode(), np.uint8).copy()
        self.text = np.zeros(BLOCK + 2 * LONGEST + 4 * SPARE, np.uint8)
        self.scratch = BLOCK + LONGEST + SPARE
        self.state = np.zeros(1, parse.STATE)
        mine = {name: room if READERS[kind] is READERS[name] else 1 for name in READERS}
        self.feed = parse.Feed(
            self.text, prefix, self.state, np.empty(mine["incremental_book_L2"], parse.CHANGE),
            np.empty(mine["trades"], parse.DEAL), np.empty(room, parse.MOMENT),
            np.empty(mine["quotes"] * width, np.int64), np.empty(mine["derivative_ticker"] * width),
            places(kind), np.empty(mine["trades"] * (parse.LONGEST_ID + 1), np.uint8),
        )  # fmt: skip
        self.addresses = np.array([a.ctypes.data for a in self.feed], dtype=np.int64)
        self.address, self.held = register(self.addresses.ctypes.data, self.feed)
        for name, value in {
            "room": room, "prefix": len(prefix), "width": width, "limit": SILENCE // MICROSECOND,
            "price_scale": price.scale, "price_unit": price.unit,
            "lot_scale": amount.scale, "lot_unit": amount.unit,
        }.items():  # fmt: skip
            self.state[name] = value

    def read(self, files: Sequence[TickFile], taker: Taker) -> Counts:
        """Read the files; `taker` gets the rows block by block."""
        for file in files:
            for _ in self.blocks_of(file, taker):
                pass
        return self.finished()

    def finished(self) -> Counts:
        """Return what was seen so far."""
        c, counts = self.state[0], self.counts
        for name in ("changed", "ahead", "back", "gaps", "gap", "gap_at"):
            setattr(counts, name, int(c[name]))
        return counts

    def blocks_of(self, file: TickFile, taker: Taker, digest: Any = None) -> Iterator[None]:
        """Read one file; yield after each block that `taker` got. `digest` takes the file's bytes."""
        place = self.begin(file)
        taker.begin_file()
        c = self.state[0]
        before = int(c["local"])
        self.first = 0
        rest = read_header(file, digest)
        with closing(rest.blocks) as pieces:  # its thread ends with it
            for block in pieces:
                kept, cut = len(rest.kept), block.rfind(b"\n") + 1  # the line that was kept has no end yet
                self.text[:kept] = np.frombuffer(rest.kept, np.uint8)
                self.text[kept : kept + len(block)] = np.frombuffer(block, np.uint8)
                rest.kept = block[cut:] if cut else rest.kept + block
                c["pos"], c["end"], c["last"] = 0, kept + cut if cut else 0, -1
                self.run(place, taker)
                yield
                if len(rest.kept) > LONGEST:
                    break
        if rest.kept:
            place.row += 1
            if len(rest.kept) > LONGEST:
                raise place.error(f"is longer than {LONGEST} bytes; the file is damaged, download it again")
            raise place.error("has no line end: the file is cut off here; download it again")
        taker.end_file(place)
        self.counts.rows += place.row
        if place.row == 0:
            self.counts.empty.append(file)
            c["local"] = before
        else:
            self.counts.spans.append((file, self.first, int(c["local"])))

    def begin(self, file: TickFile) -> Place:
        """Return where reading stands at the first row of a file."""
        c = self.state[0]
        start = self.day if self.day is not None else file.day
        place = Place(file.path, self.kind, self.what.venue, self.symbol, local=int(c["local"]))
        if start is not None:
            place.low, place.high = start // MICROSECOND, (start + DAY) // MICROSECOND
            why = "the day that was asked for" if self.day is not None else "the day of the file name"
            place.span = f"{format_time(start)[:10]}, {why}"
        else:
            place.low, place.high, place.span = EARLIEST, LATEST, "2001 to 2255"
        c["low"], c["high"] = place.low, place.high
        return place

    def run(self, place: Place, taker: Taker) -> None:
        """Read the lines of the buffer."""
        c = self.state[0]
        while True:
            code = self.kernel(self.address)
            if code == parse.ODD:
                self.odd_row(place)
                continue
            count = int(c["count"])
            if count:
                if not self.first:
                    self.first = self.first_local()
                taker.take(count)
                place.row += count
                c["count"] = c["id_end"] = 0
            if code == parse.DONE:
                return

    def first_local(self) -> int:
        """Return the local_timestamp of the first row of the block."""
        feed = self.feed
        rows = {read_changes: feed.changes, read_deals: feed.deals}.get(self.kernel, feed.moments)
        return int(rows["local_ts"][0]) // MICROSECOND

    def odd_row(self, place: Place) -> None:
        """Refuse the row a kernel stopped at, or have it read in plain form."""
        c = self.state[0]
        pos, end, count = int(c["pos"]), int(c["end"]), int(c["count"])
        line = self.text[pos : min(end, pos + LONGEST + 2)].tobytes().split(b"\n", 1)[0]
        here = place.row
        place.row, place.local = here + count + 1, int(c["local"])
        values: list[float] = []
        if self.kind == "derivative_ticker":
            plain, values = ticker_row(place, line)
        else:
            plain = plain_row(place, line, self.price, self.amount)
        self.text[self.scratch : self.scratch + len(plain)] = np.frombuffer(plain, np.uint8)
        c["pos"], c["end"], c["last"] = self.scratch, self.scratch + len(plain), -1
        if self.kernel(self.address) != parse.DONE:
            raise place.error("cannot be read; the file is damaged, download it again")
        self.feed.reals[count * len(values) : (count + 1) * len(values)] = values
        c["pos"], c["end"], c["last"] = pos + len(line) + 1, end, -1
        place.row = here


class Rest:
    """What follows the header of a file."""

    def __init__(self, kept: bytes, blocks: Any) -> None:
        self.kept, self.blocks = kept, blocks


def read_header(file: TickFile, digest: Any = None) -> Rest:
    """Check the first line; an empty file is a day without data."""
    pieces = blocks(file.path, digest)
    start = b""
    for piece in pieces:
        start += piece
        if b"\n" in start or len(start) > LONGEST:
            break
    line, newline, rest = start.partition(b"\n")
    if not start:
        return Rest(b"", chained(b"", ()))
    check_header(line[: LONGEST // 16], file.kind, file.path)
    if not newline:
        raise DataError(f"{file.path}: the header has no line end: the file is cut off; download it again")
    return Rest(b"", chained(rest, pieces))


def chained(first: bytes, others: Any) -> Any:
    """Yield the first block, in pieces of at most `BLOCK`, and the others."""
    for at in range(0, len(first), BLOCK):
        yield first[at : at + BLOCK]
    yield from others


def places(kind: str) -> Rows:
    """Return for each own column its cell in the form ask price, ask amount, bid price, bid amount, ..."""
    if kind in ("quotes", "book_ticker"):
        return np.array([1, 0, 2, 3], np.int64)
    return np.arange(len(COLUMNS[kind]) - 4, dtype=np.int64)
