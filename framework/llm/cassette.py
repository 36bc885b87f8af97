"""The cassette: a run's decisions as canonical JSON lines, sorted by key, the same bytes on every machine.

It travels with the run, is read back strictly, and never holds the key that paid for it.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from framework.errors import ConfigError, DataError
from framework.llm.record import Record, canonical, check
from framework.llm.redact import secret_in

MAX_LINE = 16 * 2**20  # characters; a gzip bomb ends here


def write_cassette(path: str | os.PathLike[str], records: Iterable[Record]) -> Path:
    """Write records sorted by key; `.gz` is compressed with no time and no name in it. Atomic.

    Raises
    ------
    DataError
        Two records of one key differ, or a record is not the answer to its own request.
    ConfigError
        The text holds the key of HOLYSHEEP_API_KEY: nothing is written.
    """
    target = Path(path)
    data = encode(records, str(target))
    _replace(target, _compressed(data) if target.suffix == ".gz" else data)
    return target


def encode(records: Iterable[Record], name: str = "cassette") -> bytes:
    """Return the bytes of a plain cassette, checked as `write_cassette` does; `name` is for its errors."""
    rows = merge(records)
    for row in rows:
        check(row, f"{name}: record {str(row.get('key'))[:16]}")
    data = "".join(canonical(row) + "\n" for row in rows).encode("ascii")
    scan(data, name)
    return data


def read_cassette(path: str | os.PathLike[str]) -> list[Record]:
    """Return the records of a cassette, each verified against its own key.

    Raises
    ------
    DataError
        A line is not a record, its key is not that of its request, or the lines are not sorted and unique;
        names file and line.
    """
    source, rows, last = Path(path), [], ""
    try:
        for number, line in enumerate(_lines(source), 1):
            row = _row(line, f"{source}, line {number}")
            if row["key"] <= last:
                raise DataError(f"{source}, line {number}: keys are not sorted and unique; write it again")
            last = row["key"]
            rows.append(row)
    except (EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{source}: the file is damaged ({error}); copy it again") from None
    except OSError as error:
        raise DataError(f"{source}: {error.strerror or error}; give the path of a cassette") from None
    return rows


def verify(path: str | os.PathLike[str]) -> int:
    """Return the number of records; raise DataError at the first one that is altered, unsorted or doubled."""
    return len(read_cassette(path))


def merge(*groups: Iterable[Record]) -> list[Record]:
    """Return the union of records, sorted by key.

    Raises
    ------
    DataError
        One key has two different records: neither can be chosen without changing somebody's result.
    """
    union: dict[str, Record] = {}
    for group in groups:
        for row in group:
            known = union.setdefault(row["key"], row)
            if known is not row and canonical(known) != canonical(row):
                fields = sorted(n for n in {*known, *row} if known.get(n) != row.get(n) and n != "digest")
                names = ", ".join(fields)
                raise DataError(f"key {row['key'][:16]} has two different records ({names}); keep one")
    return [union[key] for key in sorted(union)]


def scan(data: bytes, name: str) -> None:
    """Raise ConfigError when `data` holds an API key of the environment, plain or in a common encoding."""
    variable = secret_in(data.decode("ascii", "replace"))
    if variable is not None:
        raise ConfigError(
            f"{name}: the text holds the secret of {variable}; nothing was written; ask again (--refresh)"
        )


def _lines(source: Path) -> Iterable[str]:
    opener = gzip.open if source.suffix == ".gz" else open
    with opener(source, "rt", encoding="ascii", newline="\n") as file:
        while line := file.readline(MAX_LINE):
            if not line.endswith("\n"):
                raise ValueError("a line is cut off or too long")
            yield line


def _row(line: str, where: str) -> Record:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise DataError(f"{where}: not JSON; copy the cassette again") from None
    check(row, where)
    return dict(row)


def _compressed(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=buffer, mtime=0) as file:
        file.write(data)
    return buffer.getvalue()


def _replace(target: Path, data: bytes) -> None:
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
