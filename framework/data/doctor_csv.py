"""Rows of a csv file as they stand in it, exchange time as sent, once the careful reader took them all."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from framework.data.blocks import blocks
from framework.data.careful import Finer, Place
from framework.data.reader import Reader, read_header
from framework.data.schema import COLUMNS, TickFile
from framework.data.tardis_csv import describe, first_row

if TYPE_CHECKING:
    import polars as pl

PIECE = 1 << 24  # bytes of text in a frame
TIMES = ("timestamp", "local_timestamp", "funding_timestamp")
WORDS = ("exchange", "symbol", "id", "side")


class Nobody:
    """Takes rows and keeps none: they are only to be judged."""

    def begin_file(self) -> None:
        """Nothing."""

    def take(self, count: int) -> None:
        """Nothing."""

    def end_file(self, place: Place) -> None:
        """Nothing."""


def frames(file: TickFile, instrument: Any = None) -> Iterator[pl.DataFrame]:
    """Yield the raw rows of a csv file in frames of some 100,000 rows.

    Raises
    ------
    DataError
        What `from_tardis` refuses, before the first frame.
    """
    if first_row(file) is None:
        place = Place(file.path, file.kind, "", "", row=1)
        if any(read_header(file, place).blocks):
            raise place.error("is an empty line; the file is damaged, download it again")
        return
    judge(file, instrument)
    for text in pieces(file):
        yield frame(text, file.kind)


def pieces(file: TickFile) -> Iterator[bytes]:
    """Yield the lines below the header in pieces of about `PIECE` bytes."""
    parts: list[bytes] = []
    size, header = 0, True
    for block in blocks(file.path):
        parts.append(block)
        size += len(block)
        if header and b"\n" in block:
            parts, header = [b"".join(parts).partition(b"\n")[2]], False
        if size >= PIECE and b"\n" in block:
            text = b"".join(parts)
            cut = text.rfind(b"\n") + 1
            yield text[:cut]
            parts, size = [text[cut:]], len(text) - cut
    if text := b"".join(parts):
        yield text


def judge(file: TickFile, instrument: Any) -> None:
    """Read a file as `from_tardis` does, for its refusals."""
    what, grids = describe(instrument, {file.kind: [file]}, file.day)
    while True:
        try:
            Reader(file.kind, what, grids["tick_size"], grids["lot_size"], None).read([file], Nobody())
            return
        except Finer as finer:
            grids = {**grids, finer.name: finer.grid}


def frame(text: bytes, kind: str) -> pl.DataFrame:
    """Return lines as a frame, with times as times and without exchange and symbol."""
    import polars as pl

    def dtype(name: str) -> Any:
        if name in TIMES:
            return pl.Int64
        return pl.String if name in WORDS else pl.Boolean if name == "is_snapshot" else pl.Float64

    schema = {name: dtype(name) for name in COLUMNS[kind]}
    read = pl.read_csv(io.BytesIO(text), has_header=False, schema=schema).drop("exchange", "symbol")
    times = [name for name in TIMES if name in read.columns]
    return read.with_columns(pl.col(times).cast(pl.Datetime("us", "UTC"))).rechunk()
