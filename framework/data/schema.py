"""The kinds of Tardis csv files: their columns, and what the name of a file says.

Columns: https://docs.tardis.dev/downloadable-csv-files (order as in real files). Several kinds share one
header, so a kind is read from the name and never from the columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from framework.errors import ConfigError, DataError, near
from framework.times import DAY, format_time, parse_time

HEAD = ("exchange", "symbol", "timestamp", "local_timestamp")
DEALS = (*HEAD, "id", "side", "price", "amount")
TOP = (*HEAD, "ask_amount", "ask_price", "bid_price", "bid_amount")


def level_columns(levels: int) -> tuple[str, ...]:
    """Return the columns of book_snapshot files of so many levels a side."""
    parts = ("asks[{}].price", "asks[{}].amount", "bids[{}].price", "bids[{}].amount")
    return (*HEAD, *(part.format(i) for i in range(levels) for part in parts))


COLUMNS: dict[str, tuple[str, ...]] = {
    "incremental_book_L2": (*HEAD, "is_snapshot", "side", "price", "amount"),
    "book_snapshot_25": level_columns(25),
    "book_snapshot_5": level_columns(5),
    "trades": DEALS,
    "quotes": TOP,
    "book_ticker": TOP,
    "derivative_ticker": (
        *HEAD, "funding_timestamp", "funding_rate", "predicted_funding_rate", "open_interest", "last_price",
        "index_price", "mark_price",
    ),
    "liquidations": DEALS,
}  # fmt: skip
KINDS = tuple(COLUMNS)
BOOK_KINDS = ("incremental_book_L2", "book_snapshot_25", "book_snapshot_5", "quotes", "book_ticker")
"""Which kind makes the book when several are given, the best first."""
QUOTE_KINDS = ("quotes", "book_ticker")
SUFFIXES = (".csv", ".csv.gz")

KNOWN = "|".join((*KINDS, "options_chain"))
NAMED = re.compile(rf"([a-z0-9-]+)_({KNOWN})_(?:(\d{{4}}-\d\d-\d\d)_)?(.+?)\.csv(?:\.gz)?")
KIND_IN_NAME = re.compile(rf"(?<![A-Za-z0-9])({KNOWN})(?![A-Za-z0-9])")  # between _ - . or the ends
DAY_IN_NAME = re.compile(r"(?<!\d)(\d{4}-\d\d-\d\d)(?!\d)")


class TickFile(NamedTuple):
    """One file and what its name says of it."""

    path: Path
    kind: str
    day: int | None  # ns, UTC midnight
    instrument: tuple[str, str] | None  # exchange, symbol as file names have it


def check_kind(kind: Any, source: str = "files") -> str:
    """Return a kind that can be read; refuse others with near names."""
    if kind == "options_chain":
        raise ConfigError(f"{source}: options_chain files are not read; choose from {', '.join(KINDS)}")
    if kind not in COLUMNS:
        raise ConfigError(f"{source}: unknown kind {kind!r}; {near(str(kind), KINDS)}")
    return str(kind)


def day_of(text: str | None) -> int | None:
    """Return the midnight (ns) of a day in a file name, None where there is no such day."""
    if text is None:
        return None
    try:
        return parse_time(date.fromisoformat(text))
    except ValueError:
        return None


def described(path: Path, kind: str | None = None) -> TickFile:
    """Return what a file's name or folders say; the kind is taken as given where it is."""
    parts = path.parts
    stem = path.name.removesuffix(".gz").removesuffix(".csv")
    if len(parts) > 5 and parts[-5] in (*KINDS, "options_chain") and (day := folder_day(parts[-4:-1])):
        return TickFile(path, agreed(path, kind, parts[-5]), day, (parts[-6], stem))
    if match := NAMED.fullmatch(path.name):
        exchange, found, day_text, symbol = match.groups()
        return TickFile(path, agreed(path, kind, found), day_of(day_text), (exchange, symbol))
    days = DAY_IN_NAME.findall(path.name)
    day = day_of(days[0]) if len(days) == 1 else None
    if kind is None:
        kind = kind_in(path, set(KIND_IN_NAME.findall(path.name)))
    return TickFile(path, kind, day, None)


def agreed(path: Path, kind: str | None, named: str) -> str:
    """Return the kind of a file; one that was given must not contradict the file's name."""
    if kind not in (None, named):
        raise ConfigError(f"{path}: was given as {kind}, and its name says {named}; give it as {named}")
    return named


def folder_day(parts: Sequence[str]) -> int | None:
    """Return the day of the folders YYYY/MM/DD."""
    return day_of("-".join(parts)) if all(part.isdigit() for part in parts) else None


def kind_in(path: Path, kinds: Iterable[str]) -> str:
    """Return the one kind a file name tells."""
    found = sorted(kinds)
    if len(found) == 1:
        return found[0]
    what = f"tells {len(found)} kinds ({', '.join(found)})" if found else "does not tell the kind"
    raise ConfigError(
        f"{path}: the file name {what}; give files={{kind: path}}, kind one of {', '.join(KINDS)}"
    )


def check_path(path: Any) -> Path:
    """Return the path of a file that exists, else name the near ones of its folder."""
    if not isinstance(path, str | Path):
        raise ConfigError(f"files: {path!r} is no path; give a path, a list of paths, or {{kind: path}}")
    file = Path(path)
    if not file.is_file():
        if file.is_dir():
            raise DataError(f"{file}: is a folder; give a file")
        if not file.parent.is_dir():
            raise DataError(f"{file}: there is no folder {file.parent}; check the path")
        others = sorted(p.name for p in file.parent.iterdir() if p.name.endswith(SUFFIXES))
        raise DataError(f"{file}: there is no such file; {near(file.name, others[:99])}")
    return file


def gather(files: Any, wanted: str | None, day: int | None) -> tuple[dict[str, list[TickFile]], list[str]]:
    """Return the files by kind, day files in time order, and the names in a folder that are no tick files.

    Parameters
    ----------
    files : dict of kind to path(s), list of paths, or folder
    wanted : str or None
        Instrument id; of a folder only its files are taken.
    day : int or None
        ns; of a folder only files of this day (or of none) are taken.
    """
    if isinstance(files, Mapping):
        found = [described(check_path(p), check_kind(kind)) for kind, v in files.items() for p in as_list(v)]
        return by_kind(found), []
    if isinstance(files, str | Path) and Path(files).is_dir():
        return from_folder(Path(files), wanted, day)
    found = [described(check_path(path)) for path in as_list(files)]
    for file in found:
        check_kind(file.kind, str(file.path))
    one_instrument(found, "files", "give the files of one")
    return by_kind(found), []


def as_list(value: Any) -> list[Any]:
    """Return one path or several as a list; refuse none."""
    several = [value] if isinstance(value, str | Path) else list(value)
    if not several:
        raise ConfigError("files: there is none; give a path, a list of paths, a folder, or {kind: path}")
    return several


def from_folder(
    folder: Path, wanted: str | None, day: int | None
) -> tuple[dict[str, list[TickFile]], list[str]]:
    """Return the tick files below a folder by kind; of several instruments only the wanted one's."""
    paths = sorted(p for p in folder.rglob("*") if p.name.endswith(SUFFIXES) and p.is_file())
    found, other = [], []
    for path in paths:
        try:
            file = described(path)
            check_kind(file.kind, str(path))
            found.append(file)
        except ConfigError:
            other.append(path.relative_to(folder).as_posix())
    if wanted is not None:
        pair = wanted_name(wanted)
        found = [f for f in found if f.instrument in (None, pair)]
    if day is not None:
        found = [f for f in found if f.day in (None, day)]
    if not found:
        raise DataError(
            f"{folder}: holds no tick file{f' of {wanted}' if wanted else ''}; names are like "
            "binance-futures_trades_2023-04-05_BTCUSDT.csv.gz"
        )
    one_instrument(found, str(folder), "say instrument= one of them")
    return by_kind(found), other


def wanted_name(id: str) -> tuple[str, str]:
    """Return exchange and symbol of an id as Tardis writes them in file names."""
    venue, _, raw = id.partition(":")
    return venue, raw.upper().replace("/", "-").replace(":", "-")


def one_instrument(found: Sequence[TickFile], source: str, fix: str) -> None:
    """Refuse files whose names are of several instruments."""
    ids = sorted({":".join(file.instrument) for file in found if file.instrument})
    if len(ids) > 1:
        raise ConfigError(f"{source}: there are files of {len(ids)} instruments ({', '.join(ids)}); {fix}")


def by_kind(found: Sequence[TickFile]) -> dict[str, list[TickFile]]:
    """Return the files by kind; the same file twice and day files out of order are refused."""
    result: dict[str, list[TickFile]] = {kind: [] for kind in KINDS}
    for file in found:
        result[file.kind].append(file)
    for kind, files in result.items():
        if len({file.path.resolve() for file in files}) < len(files):
            raise ConfigError(f"files: a {kind} file is given twice; give each file once")
        days = [file.day for file in files if file.day is not None]
        if days != sorted(days):
            late = next(f for f, day in zip(files, sorted(days), strict=False) if f.day != day)
            raise ConfigError(f"{late.path}: the {kind} files are not in time order; sort the list by day")
    return {kind: files for kind, files in result.items() if files}


def parse_day(day: Any) -> int | None:
    """Return the midnight (ns) of a `day=` argument."""
    if day is None:
        return None
    start = parse_time(day)
    if start % DAY:
        raise ConfigError(f"day: {format_time(start)} is no UTC midnight; give a date such as 2023-04-05")
    return start


def missing_days(files: Sequence[TickFile], every: Sequence[TickFile]) -> list[int]:
    """Return the days without a file: between the first and the last, and those of which others have one."""
    days = sorted({file.day for file in files if file.day is not None})
    between = {d for a, b in pairwise(days) for d in range(a + DAY, b, DAY)}
    others = {file.day for file in every if file.day is not None} if days else set()
    return sorted(between | others - set(days))


def check_header(line: bytes, kind: str, path: Path) -> None:
    """Refuse a first line that is not exactly the columns of the kind."""
    wanted = ",".join(COLUMNS[kind])
    text = line.decode("latin-1")
    if text.removesuffix("\r") == wanted:
        return
    if line.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        what = "begins with a byte order mark: another program has rewritten it"
    elif b'"' in line:
        what = "has quoted column names: another program has rewritten it"
    elif not line.isascii() or b"\0" in line:
        what = "begins with binary data and no header"
    else:
        what = header_words(text.removesuffix("\r").split(","), list(COLUMNS[kind]))
    raise DataError(f"{path}: {what}; a {kind} file has the columns {short(wanted)}")


def header_words(names: list[str], wanted: list[str]) -> str:
    """Say in what a header differs."""
    missing = [name for name in wanted if name not in names]
    extra = [name for name in names if name not in wanted]
    if not missing and not extra and len(names) == len(wanted):
        return f"has its columns in another order ({short(','.join(names))})"
    if len(missing) == len(wanted):
        return f"has no header line (its first line is {short(','.join(names))!r})"
    parts = [f"lacks {short(', '.join(missing))}"] if missing else []
    parts += [f"has {short(', '.join(extra))} too"] if extra else []
    return "header " + " and ".join(parts or ["has a column twice"])


def short(text: str, most: int = 160) -> str:
    """Return a text on one line, cut where it is long."""
    plain = text.encode("unicode_escape").decode("ascii")
    return plain if len(plain) <= most else plain[: most - 3] + "..."
