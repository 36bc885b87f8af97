"""What the loopback Tardis serves: dataset files by name, the metadata they imply, raw minutes."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from framework.data.schema import SUFFIXES, described
from framework.errors import ConfigError, DataError
from framework.times import DAY, format_time, parse_time

FEED = re.compile(r"([a-z0-9-]+)_(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)\.ndjson(?:\.gz)?")
EXAMPLE = "binance-futures_trades_2023-04-05_BTCUSDT.csv.gz"
Feeds = dict[tuple[str, str], Path]


@dataclass(frozen=True, slots=True)
class Fault:
    """What a request meets instead of a healthy answer.

    Parameters
    ----------
    match : pattern (`*`, `?`) of the path below /v1, such as `*/trades/2024/08/09/*`
    times : requests it meets; -1 = every one
    status, headers, message : of an error; headers also of a good answer
    body : these bytes instead of the file
    length : announce so many bytes, whatever is sent
    cut : close the connection after so many bytes of the body
    hang : answer nothing until the server closes
    endless : go on after the body for ever, without a length
    slow : bytes a write, a hundred writes a second: a body that takes its time
    """

    match: str = "*"
    times: int = 1
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str | None = None
    body: bytes | None = None
    length: int | None = None
    cut: int | None = None
    hang: bool = False
    endless: bool = False
    slow: int = 0


class Request(NamedTuple):
    """One request as it arrived; `key` says whether there was one, and never which."""

    method: str
    path: str
    key: bool


class Entry(NamedTuple):
    """One dataset file."""

    venue: str
    kind: str
    symbol: str
    day: str  # 2024-08-08


def find_files(files: Any) -> dict[Entry, bytes | Path]:
    """Return what there is to serve, by exchange, kind, symbol and day."""
    if isinstance(files, Mapping):
        return {of_path(str(name)): value for name, value in files.items()}
    found: dict[Entry, bytes | Path] = dict(entries(paths_of(files)))
    if not found:
        raise DataError(f"{files}: holds no file to serve; names are like {EXAMPLE}")
    return found


def of_path(name: str) -> Entry:
    """Return the entry of `binance/trades/2024/08/08/BTCUSDT`."""
    parts = name.split("/")
    if len(parts) != 6:
        raise ConfigError(f"files: {name!r} is no dataset; write it like binance/trades/2024/08/08/BTCUSDT")
    return Entry(parts[0], parts[1], parts[5], "-".join(parts[2:5]))


def paths_of(files: Any) -> Iterable[Path]:
    """Return the files of a folder, or those given."""
    if not isinstance(files, str | Path):
        return [Path(one) for one in files]
    folder = Path(files)
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; check the path")
    return sorted(path for path in folder.rglob("*") if path.name.endswith(SUFFIXES))


def entries(paths: Iterable[Path]) -> Iterable[tuple[Entry, Path]]:
    """Yield the files whose names say exchange, kind, day and symbol."""
    for path in paths:
        try:
            file = described(path)
        except ConfigError:
            continue
        if file.day is not None and file.instrument is not None:
            venue, symbol = file.instrument
            yield Entry(venue, file.kind, symbol, format_time(file.day)[:10]), path


def exchange_details(
    files: Iterable[Entry], others: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return `/exchanges/:exchange` of each exchange, as the files imply it, with fields replaced."""
    venues: dict[str, list[Entry]] = {}
    for entry in files:
        venues.setdefault(entry.venue, []).append(entry)
    return {venue: {**implied(venue, of), **others.get(venue, {})} for venue, of in venues.items()}


def implied(venue: str, files: list[Entry]) -> dict[str, Any]:
    """Return the metadata of one exchange's files."""
    days = [entry.day for entry in files]
    symbols: dict[str, list[Entry]] = {}
    for entry in files:
        symbols.setdefault(entry.symbol, []).append(entry)
    listed = [
        {
            "id": symbol, "type": "perpetual" if "PERP" in symbol else "spot",
            "availableSince": iso(min(entry.day for entry in of)),
            "dataTypes": sorted({entry.kind for entry in of}),
        }
        for symbol, of in sorted(symbols.items())
    ]  # fmt: skip
    return {
        "id": venue, "name": venue, "enabled": True, "availableSince": iso(min(days)),
        "availableChannels": [],
        "availableSymbols": [{k: v for k, v in one.items() if k != "dataTypes"} for one in listed],
        "incidentReports": [],
        "datasets": {
            "formats": ["csv"], "exportedFrom": iso(min(days)), "exportedUntil": iso(max(days), 1),
            "symbols": listed,
        },
    }  # fmt: skip


def iso(day: str, later: int = 0) -> str:
    """Return the midnight of a day, or of a later one, as the service writes it."""
    return format_time(parse_time(day) + later * DAY).replace("Z", ".000Z")


def find_feeds(folder: str | Path | None) -> Feeds:
    """Return the raw minutes of a folder by exchange and minute."""
    if folder is None:
        return {}
    named = ((FEED.fullmatch(path.name), path) for path in sorted(Path(folder).iterdir()))
    return {(m[1], f"{m[2]}T{m[3]}:{m[4]}"): path for m, path in named if m}


def sliced(feeds: Feeds, venue: str, query: dict[str, list[str]]) -> tuple[int, bytes, int]:
    """Return the day of the month, the lines, and the number of minutes of a request for raw messages."""
    start = datetime.fromisoformat(query["from"][0].replace("Z", "+00:00"))
    count = min(max(int(query.get("sliceSize", ["1"])[0]), 1), 60)
    filters = json.loads(query.get("filters", ["[]"])[0])
    first = start + timedelta(minutes=int(query.get("offset", ["0"])[0]))
    minutes = [f"{first + timedelta(minutes=n):%Y-%m-%dT%H:%M}" for n in range(count)]
    return first.day, b"".join(minute(feeds.get((venue, one)), filters) for one in minutes), count


def minute(path: Path | None, filters: list[dict[str, Any]]) -> bytes:
    """Return one minute's lines that a filter lets through; empty lines, the disconnects, always pass."""
    if path is None:
        return b""
    data = path.read_bytes()
    data = gzip.decompress(data) if path.name.endswith(".gz") else data
    return b"".join(line for line in data.splitlines(keepends=True) if passes(line, filters))


def passes(line: bytes, filters: list[dict[str, Any]]) -> bool:
    """True when a line belongs to a channel and symbol; told by streams named `symbol@channel` (Binance)."""
    if not filters or not line.strip():
        return True
    message = json.loads(line.split(b" ", 1)[1])
    stream = message.get("stream") if isinstance(message, dict) else None
    if not isinstance(stream, str):
        return True
    symbol, channel = stream.split("@")[:2]
    return any(
        one["channel"] == channel and (not one.get("symbols") or symbol in one["symbols"]) for one in filters
    )
