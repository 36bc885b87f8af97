"""The cassette: a run's decisions as canonical JSON lines, sorted by key, the same bytes on every machine.

It travels with the run, is read back strictly, and never holds the key that paid for it. Its identity is the
sha256 of the plain text: a compressed copy (`.gz`, no time and no name in it) is the same cassette.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from orjson import loads

from framework.errors import ConfigError, DataError
from framework.llm.cassette_file import Lines, compress, locate, replace
from framework.llm.record import FIELDS, Record, canonical, check
from framework.llm.redact import secret_in

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
    replace(target, compress(data) if target.suffix == ".gz" else data)
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
    request = line.find(b',"request":{', problems)
    if not 0 < digest < problems < request < signal or line.find(b',"tries":[],', signal) < 0:
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
