"""The file of a cassette: its lines, in order and whole, plain or compressed; written in one step."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from framework.errors import DataError

NAMES = ("cassette.jsonl.gz", "cassette.jsonl")  # in a run's folder; the second is how older runs have it
MAX_LINE = 16 * 2**20  # bytes; a gzip bomb ends here
BLOCK = 2**20  # bytes read at once


def locate(path: str | os.PathLike[str]) -> Path:
    """Return the file of a cassette: the path itself, or the cassette in a run's folder."""
    place = Path(path)
    if not place.is_dir():
        return place
    for name in NAMES:
        if (place / name).is_file():
            return place / name
    raise DataError(f"{place}: this folder has no {NAMES[0]}; give a run's folder, or the file itself")


class Lines:
    """The lines of a cassette, in order; unsorted or doubled keys, cuts and damage are refused.

    Whether a line is what it was is for `short` and `whole`; `where` names the line at hand.
    """

    def __init__(self, source: Path | bytes) -> None:
        self.source, self.number = source, 0
        self.name = "cassette" if isinstance(source, bytes) else str(source)

    @property
    def where(self) -> str:
        """File and line."""
        return f"{self.name}, line {self.number}"

    def __iter__(self) -> Iterator[bytes]:
        last = b""
        try:
            for lines in _split(self.source):
                for line in lines:
                    self.number += 1
                    yield line
                    start = line.find(b',"key":"')
                    if (key := line[start : start + 72]) <= last:
                        raise DataError(f"{self.where}: keys are not sorted and unique; write it again")
                    last = key
        except (EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(
                f"{self.name}: the file is damaged after line {self.number} ({error}); copy it again"
            ) from None
        except OSError as error:
            raise DataError(f"{self.name}: {error.strerror or error}; give the path of a cassette") from None


def compress(data: bytes) -> bytes:
    """Return gzip with no time and no name in it."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=buffer, mtime=0) as file:
        file.write(data)
    return buffer.getvalue()


def expand(data: bytes, size: int, name: str) -> bytes:
    """Return the plain text of a compressed cassette of `size` bytes; more or fewer are refused."""
    try:
        with gzip.open(io.BytesIO(data)) as file:
            plain = file.read(size + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{name}: the file is damaged ({error}); copy it again") from None
    if len(plain) != size:
        raise DataError(f"{name}: does not hold {size:,} bytes as the manifest says; copy it again")
    return plain


def _split(source: Path | bytes) -> Iterator[list[bytes]]:
    """Yield the whole lines of each block."""
    rest = b""
    for block in _blocks(source):
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        if len(rest) > MAX_LINE:
            break
        yield lines
    if rest:
        raise ValueError("a line is cut off or too long")


def _blocks(source: Path | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield from (source[place : place + BLOCK] for place in range(0, len(source), BLOCK))
        return
    if source.suffix == ".gz":
        yield from _expanded(source)
        return
    with source.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


def _expanded(source: Path) -> Iterator[bytes]:
    import isal.igzip  # three times as fast as the standard library's

    library: Any = isal
    try:
        with library.igzip.GzipFile(source) as file:
            while block := file.read(BLOCK):
                yield block
    except library.igzip_lib.IsalError as error:
        raise ValueError(str(error)) from None


def replace(target: Path, data: bytes) -> None:
    """Write a temporary file beside the target, flush it to the disk, then rename it."""
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise DataError(f"{target}: cannot be written ({error.strerror}); check folder and space") from None
