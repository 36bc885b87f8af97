"""Rows of Tardis files as they are: polars frames of a file's columns, checked by the reader of markets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from framework.data.careful import Finer, Grid, Place
from framework.data.parse import EMPTY
from framework.data.reader import Counts, Reader, read_header
from framework.data.schema import COLUMNS, TickFile, check_path, described
from framework.data.streams import Both
from framework.data.tardis_csv import describe, first_row, with_grids
from framework.errors import DataError
from framework.instruments import Instrument, price_of
from framework.times import MICROSECOND

if TYPE_CHECKING:
    import polars as pl

Rows = NDArray[Any]
GROUP = 1 << 18  # rows of a frame, and of a row group in the store
DEALS = ("trades", "liquidations")
TIMES = ("timestamp", "local_timestamp", "funding_timestamp")
BOOK_SIDES, TAKER_SIDES = ("bid", "ask"), ("unknown", "buy", "sell")


def dtypes(kind: str) -> dict[str, Any]:
    """Return the raw columns of a kind: names as in Tardis files, without exchange and symbol."""
    import polars as pl

    own: dict[str, Any] = {"id": pl.String, "is_snapshot": pl.Boolean}
    own |= dict.fromkeys(TIMES, pl.Datetime("us", "UTC"))
    own["side"] = pl.Enum(TAKER_SIDES if kind in DEALS else BOOK_SIDES)
    return {name: own.get(name, pl.Float64) for name in COLUMNS[kind][2:]}


class Columns:
    """Rows of a feed, kept until there are enough for a frame; a `Taker`.

    Parameters
    ----------
    reader : Reader
    what : Instrument
        With the grids the file is read with.
    """

    def __init__(self, reader: Reader, what: Instrument) -> None:
        self.reader, self.kind, self.what = reader, reader.kind, what
        self.names = COLUMNS[self.kind][2:]
        self.parts: dict[str, list[Any]] = {name: [] for name in self.names}
        self.count = 0

    def begin_file(self) -> None:
        """Nothing."""

    def end_file(self, place: Place) -> None:
        """Nothing."""

    def take(self, count: int) -> None:
        """Keep the first `count` rows of the block."""
        feed = self.reader.feed
        rows = feed.changes if self.kind == "incremental_book_L2" else feed.moments
        rows = (feed.deals if self.kind in DEALS else rows)[:count]
        self.put("timestamp", rows["raw_ts"] // MICROSECOND)
        self.put("local_timestamp", rows["local_ts"] // MICROSECOND)
        if self.kind == "incremental_book_L2":
            self.put("is_snapshot", rows["snapshot"] == 1)
            self.put("side", (rows["key"] & 1).astype(np.uint8))
            self.levels(rows["key"] >> 1, rows["lots"])
        elif self.kind in DEALS:
            self.put("id", bytes(feed.ids[: int(feed.state[0]["id_end"])]))
            self.put("side", np.where(rows["side"] < 0, 2, rows["side"]).astype(np.uint8))
            self.levels(rows["tick"], rows["lots"])
        else:
            self.cells(count)
        self.count += count

    def put(self, name: str, values: Any) -> None:
        """Keep values of a column."""
        self.parts[name].append(values)

    def levels(self, ticks: Rows, lots: Rows) -> None:
        """Keep prices and amounts."""
        self.put("price", price_of(ticks, self.what.tick_size) + 0.0)
        self.put("amount", price_of(lots, self.what.lot_size) + 0.0)

    def cells(self, count: int) -> None:
        """Keep the own columns of kinds that hold nothing but numbers."""
        feed, names = self.reader.feed, self.names[2:]
        width = len(names)
        if self.kind == "derivative_ticker":
            table = feed.reals[: count * width].reshape(count, width)
            for j, name in enumerate(names):
                self.put(name, table[:, j].copy())
            return
        whole = feed.cells[: count * width].reshape(count, width)
        for name, place in zip(names, feed.places.tolist(), strict=True):
            cells = whole[:, place]
            step = self.what.lot_size if place % 2 else self.what.tick_size
            self.put(name, np.where(cells == EMPTY, np.nan, price_of(cells, step)))

    def frame(self) -> pl.DataFrame:
        """Return what is kept as a frame, and keep nothing."""
        import polars as pl

        made = {name: self.series(name, self.parts[name], kind) for name, kind in dtypes(self.kind).items()}
        self.parts = {name: [] for name in self.names}
        self.count = 0
        return pl.DataFrame(made)

    def series(self, name: str, parts: list[Any], kind: Any) -> pl.Series:
        """Return the parts of a column as a series of its type."""
        import polars as pl

        if name == "id":
            text = b"".join(parts).decode("ascii").removesuffix("\n")
            made = pl.Series(name, [text]).str.split("\n").explode()
            return made.replace("", None) if "\n\n" in f"\n{text}\n" else made
        values = np.concatenate(parts) if parts else np.zeros(0)
        if name == "side":
            return pl.Series(name, kind.categories.to_list(), kind).gather(values.astype(np.uint32))
        if name == "funding_timestamp":
            return pl.Series(name, values, nan_to_null=True).cast(pl.Int64).cast(kind)
        if name in TIMES:
            return pl.Series(name, values.astype(np.int64), pl.Int64).cast(kind)
        if name == "is_snapshot":
            return pl.Series(name, values, pl.Boolean)
        return pl.Series(name, values, pl.Float64, nan_to_null=True)


class Reading:
    """One pass over a file: frames of its rows, and another taker of the same rows beside.

    A grid that turns out too coarse is made finer and the file is read again from its begin; the frames that
    were given already hold: their decimals are the same on both grids.

    Parameters
    ----------
    file : TickFile
    instrument : Instrument or str, optional
        By default exchange and symbol of the first row.
    day : int, optional
        ns; the UTC day every row must lie in, by default that of the file's name.
    beside : callable, optional
        Makes the other taker for a reader, anew when the reading begins again.

    Attributes
    ----------
    what : Instrument or None
        With the grids that hold every row once all frames were taken; None for a file without a row.
    counts : Counts
    top : int
        us; the latest exchange time.
    sha256 : str
        Of the file's bytes, once all were read.
    taker
        What `beside` made last.
    """

    def __init__(
        self,
        file: TickFile,
        instrument: Instrument | str | None = None,
        day: int | None = None,
        beside: Callable[[Reader], Any] | None = None,
    ) -> None:
        self.file, self.beside = file, beside
        self.day = day
        self.taker: Any = None
        self.counts = Counts()
        self.top = 0  # us; the latest exchange time
        self.what: Instrument | None = None
        self.sha256 = ""
        self.given: dict[str, Grid] = {}
        if first_row(file) is not None:
            self.what, self.given = describe(instrument, {file.kind: [file]}, self.day)

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield the rows as frames of about `GROUP` rows.

        Raises
        ------
        DataError
            As `from_tardis`; frames before the row were yielded.
        """
        given, before = 0, stamp(self.file.path)
        if self.what is None:
            self.nothing()
        while not self.sha256:
            try:
                for frame in self.once(given):
                    given += len(frame)
                    yield frame
            except Finer as finer:
                self.given = {**self.given, finer.name: finer.grid}
        if stamp(self.file.path) != before:
            raise DataError(f"{self.file.path}: was changed while it was read; do it again")

    def nothing(self) -> None:
        """Refuse a file without a first row that is not empty behind its header."""
        digest = hashlib.sha256()
        for block in read_header(self.file, digest).blocks:
            if block:
                place = Place(self.file.path, self.file.kind, "", "", row=1)
                raise place.error("is an empty line; the file is damaged, download it again")
        self.sha256 = digest.hexdigest()

    def once(self, skip: int) -> Iterator[pl.DataFrame]:
        """Yield the frames behind the first `skip` rows, with the grids as they are."""
        assert self.what is not None
        self.what = with_grids(self.what, self.given)
        digest = hashlib.sha256()
        reader = Reader(self.file.kind, self.what, self.given["tick_size"], self.given["lot_size"], self.day)
        columns = Columns(reader, self.what)
        taker: Any = columns
        if self.beside is not None:
            self.taker = self.beside(reader)
            taker = Both(columns, self.taker)
        for _ in reader.blocks_of(self.file, taker, digest):
            if columns.count >= GROUP + skip:
                frame = columns.frame()
                yield frame[skip:] if skip else frame
                skip = 0
        if columns.count > skip:
            yield columns.frame()[skip:]
        self.counts = reader.finished()
        self.top = int(reader.state[0]["top"])
        self.sha256 = digest.hexdigest()

    @property
    def first(self) -> int:
        """Arrival of the first row, ns; -1 without a row."""
        return self.counts.spans[0][1] * MICROSECOND if self.counts.spans else -1

    @property
    def last(self) -> int:
        """Arrival of the last row, ns; -1 without a row."""
        return self.counts.spans[-1][2] * MICROSECOND if self.counts.spans else -1


def stamp(path: Path) -> tuple[int, ...]:
    """Return what tells a file from another one, or from itself before a change."""
    try:
        stat = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file") from None
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def frames(
    file: TickFile | str | Path, instrument: Instrument | str | None = None, day: int | None = None
) -> Iterator[pl.DataFrame]:
    """Yield the rows of a csv or csv.gz file of Tardis, as they are, in frames of some 100,000 rows.

    Arguments and errors as of `Reading`.
    """
    found = file if isinstance(file, TickFile) else described(check_path(file))
    yield from Reading(found, instrument, day).frames()


class ContentHash:
    """sha256 over the values of frames, whatever file format or frame size they came in."""

    def __init__(self, kind: str) -> None:
        self.names = COLUMNS[kind][2:]
        self.hashes = {name: hashlib.sha256() for name in self.names}
        self.rows = 0

    def add(self, frame: pl.DataFrame) -> None:
        """Take the next rows."""
        self.rows += len(frame)
        for name, one in self.hashes.items():
            one.update(values_of(frame[name]))

    def hexdigest(self) -> str:
        """Return the digest of all columns."""
        whole = hashlib.sha256(f"sheepfold rows 1 {self.rows}\n".encode())
        for name, one in self.hashes.items():
            whole.update(f"{name}\n".encode() + one.digest())
        return whole.hexdigest()


def values_of(column: pl.Series) -> Any:
    """Return a column's values as bytes: NaN or the least integer where there is none."""
    import polars as pl

    if column.dtype == pl.String:
        return str(column.fill_null("").str.join("\n").item()).encode() + b"\n"
    if isinstance(column.dtype, pl.Enum):
        return np.ascontiguousarray(column.to_physical().to_numpy().astype("u1")).data
    if column.dtype == pl.Boolean:
        return np.ascontiguousarray(column.to_numpy().astype("u1")).data
    if column.dtype == pl.Float64:
        return np.ascontiguousarray(column.fill_null(np.nan).to_numpy().astype("<f8")).data
    return np.ascontiguousarray(column.to_physical().fill_null(-(2**63)).to_numpy().astype("<i8")).data


def hashed(frames: Iterable[pl.DataFrame], hashes: ContentHash) -> Iterator[pl.DataFrame]:
    """Yield frames and hash their values on the way."""
    for frame in frames:
        hashes.add(frame)
        yield frame


__all__ = ["GROUP", "ContentHash", "Reading", "dtypes", "frames", "hashed"]
