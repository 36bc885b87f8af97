"""The cassette: a run's decisions as canonical JSON lines, sorted by key, the same bytes on every machine.

It travels with the run, is read back strictly, and never holds the key that paid for it. Its identity is the
sha256 of the plain text: a compressed copy (`.gz`, no time and no name in it) is the same cassette.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from orjson import loads

from framework.errors import ConfigError, DataError
from framework.llm.record import FIELDS, Record, canonical, check
from framework.llm.redact import secret_in

MAX_LINE = 16 * 2**20  # bytes; a gzip bomb ends here
NAMES = ("cassette.jsonl.gz", "cassette.jsonl")  # in a run's folder; the second is how older runs have it
BLOCK = 2**20  # bytes read at once

_ORDER = tuple(sorted(FIELDS))
_SHORT = tuple(name for name in _ORDER if name not in ("problems", "repairs", "reply", "request"))
_DIGEST = len(',"digest":""') + 32


class Difference(NamedTuple):
    """One key in which two cassettes differ."""

    key: str
    symbol: str
    ts: int  # ns; the question
    model: str
    what: str  # "only here", "only there", or the fields that differ


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
    _replace(target, compress(data) if target.suffix == ".gz" else data)
    return target


def encode(records: Iterable[Record], name: str = "cassette") -> bytes:
    """Return the bytes of a plain cassette, checked as `write_cassette` does; `name` is for its errors."""
    lines = []
    for row in merge(records):
        check(row, f"{name}: record {str(row.get('key'))[:16]}")
        lines.append(canonical(row) + "\n")
    data = "".join(lines).encode("ascii")
    scan(data, name)
    return data


def read_cassette(path: str | os.PathLike[str]) -> list[Record]:
    """Return the records of a cassette (a file, or the one in a run's folder), each verified.

    Raises
    ------
    DataError
        A line is not a record, its key is not that of its request, a byte of it was altered, or the lines
        are not sorted and unique; names file and line.
    """
    lines = Lines(locate(path))
    return [whole(line, lines.where) for line in lines]


def verify(path: str | os.PathLike[str]) -> int:
    """Return the number of records; raise DataError at the first one that is altered, unsorted or doubled."""
    lines = Lines(locate(path))
    for line in lines:
        if short(line) is None:
            whole(line, lines.where)
    return lines.number


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
            if known is not row and (names := _differing(known, row)):
                raise DataError(
                    f"key {row['key'][:16]} has two different records ({', '.join(names)}); keep one"
                )
    return [union[key] for key in sorted(union)]


def diff(here: Iterable[Record], there: Iterable[Record]) -> list[Difference]:
    """Return where two cassettes differ, sorted by key; nothing when they are the same."""
    a, b = ({row["key"]: row for row in group} for group in (here, there))
    found = []
    for key in sorted(a.keys() | b.keys()):
        row = a.get(key) or b[key]
        if key in a and key in b:
            what = ", ".join(_differing(a[key], b[key]))
        else:
            what = "only here" if key in a else "only there"
        if what:
            model = str(row["request"]["body"]["model"])
            found.append(Difference(key, row["symbol"], row["ts"], model, what))
    return found


def prune(records: Iterable[Record], *, keys: Iterable[str] | None = None, model: str | None = None,
          start: Any = None, stop: Any = None) -> list[Record]:
    """Return only the records that match everything given, sorted by key.

    Parameters
    ----------
    keys : keep these; 8 or more first digits are enough
    model : keep what this model was asked
    start, stop : keep questions of start <= time < stop; anything `parse_time` reads

    Raises
    ------
    ConfigError
        A key matches nothing, is too short, or a time cannot be read.
    """
    from framework.times import parse_time

    rows = list(records)
    first = None if start is None else parse_time(start)
    last = None if stop is None else parse_time(stop)
    chosen = None if keys is None else _chosen(sorted(set(keys)), rows)
    return sorted(
        (
            row for row in rows
            if (chosen is None or row["key"] in chosen)
            and model in (None, row["request"]["body"]["model"])
            and (first is None or row["ts"] >= first)
            and (last is None or row["ts"] < last)
        ),
        key=lambda row: str(row["key"]),
    )  # fmt: skip


def scan(data: bytes, name: str) -> None:
    """Raise ConfigError when `data` holds an API key of the environment, plain or in a common encoding."""
    variable = secret_in(data.decode("ascii", "replace"))
    if variable is not None:
        raise ConfigError(
            f"{name}: the text holds the secret of {variable}; nothing was written; ask again (--refresh)"
        )


def identity(data: bytes) -> dict[str, Any]:
    """Return what a manifest says of a plain cassette: sha256, bytes, records."""
    return {"sha256": sha256(data).hexdigest(), "bytes": len(data), "records": data.count(b"\n")}


# ---------------------------------------------------------------------------------------------- one line


def short(line: bytes) -> tuple[Record, bytes] | None:
    """Return (record without its long parts, its request) of a verified line; None = read it whole.

    The long parts are problems, repairs, reply and request. The line is canonical JSON, so its checksum and
    its key are those of bytes as they stand: no quote of a text in it is bare, so a mark like `,"request":`
    is never inside one. Where a mark was found in the wrong place after all (a relay may use any name), the
    sums differ, and `whole` decides.
    """
    digest = line.find(b',"digest":"')
    problems = line.find(b',"problems":[', digest)
    signal = line.rfind(b',"signal":')
    request = line.rfind(b',"request":{', 0, signal)
    if not 0 < digest < problems < request or line.find(b',"tries":[],', signal) < 0:
        return None
    asked, rest = line[request + 11 : signal], sha256(line[:digest])
    rest.update(line[digest + _DIGEST :])
    try:
        row = loads(line[:problems] + line[signal:])
    except ValueError:
        return None
    if tuple(row) != _SHORT or rest.hexdigest()[:32] != row["digest"]:
        return None
    return (row, asked) if sha256(asked).hexdigest() == row["key"] else None


def whole(line: bytes, where: str) -> Record:
    """Return the verified record of a line; DataError names `where` and what is wrong."""
    try:
        row = json.loads(line.decode("ascii"))
    except UnicodeDecodeError:
        raise DataError(f"{where}: damaged, not ASCII; copy the cassette again") from None
    except (ValueError, RecursionError):
        raise DataError(f"{where}: not JSON; copy the cassette again") from None
    if short(line) is None:
        check(row, where)
    return dict(row)


# ---------------------------------------------------------------------------------------------- the file


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


def _differing(one: Record, other: Record) -> list[str]:
    """Return the names of the fields in which two records differ; the checksum says nothing more."""
    if canonical(one) == canonical(other):
        return []
    names = sorted(n for n in {*one, *other} if one.get(n) != other.get(n))
    return [name for name in names if name != "digest"] or ["digest"]


def _chosen(keys: Sequence[str], rows: Sequence[Record]) -> set[str]:
    chosen: set[str] = set()
    for key in keys:
        if len(key) < 8:
            raise ConfigError(f"key {key!r}: give at least its first 8 digits")
        found = {row["key"] for row in rows if row["key"].startswith(key)}
        if not found:
            raise ConfigError(f"key {key!r}: no record has it; `cassette show` lists models and times")
        chosen |= found
    return chosen


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
