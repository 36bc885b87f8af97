"""What the doctor is to look at: csv files and folders, or parts of a store."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework import symbols
from framework.data.careful import Place
from framework.data.doctor_exam import Source
from framework.data.schema import KINDS, SUFFIXES, TickFile, check_kind, check_path, described, wanted_name
from framework.errors import ConfigError, DataError, FrameworkError, near
from framework.instruments import Instrument
from framework.instruments import instrument as known_instrument
from framework.times import DAY, MICROSECOND, format_time, parse_time

if TYPE_CHECKING:
    import polars as pl

FOREVER = 2**62  # us: an incident that is not over
GROUPS = ("PERPETUALS", "FUTURES", "OPTIONS", "SPOT")


def sources_of(
    what: Any, start: Any, stop: Any, kinds: Any, store: Any, instrument: Any
) -> tuple[list[Source], list[str], Any]:
    """Return what is to be read, the files that are no tick files, and the store (None for csv files)."""
    low, high = bounds(start, stop)
    wanted = None if kinds is None else words(kinds)
    for kind in wanted or ():
        check_kind(kind, "kinds")
    named = words(what) if what is not None else []
    ids = [name for name in named if isinstance(name, str) and is_id(name)]
    if named and len(ids) < len(named):
        if ids:
            raise ConfigError(
                f"check: {ids[0]} is of a store and the others are files; check them in two calls"
            )
        files, others = tick_files(named)
        some = [f for f in files if (wanted is None or f.kind in wanted) and inside(f.day, low, high)]
        if not some:
            raise DataError(f"{named[0]}: holds no tick file of what was asked for; check kinds and dates")
        return [csv_source(file, instrument) for file in some], others, None
    return *store_sources(ids, low, high, wanted, store), store_of(store)


def words(value: Any) -> list[Any]:
    """Return one or several; text may hold several with commas between."""
    if isinstance(value, Path):
        return [value]
    if isinstance(value, str):
        return (
            [value] if Path(value).exists() else [part.strip() for part in value.split(",") if part.strip()]
        )
    return [one for part in value for one in words(part)]


def is_id(name: str) -> bool:
    """True for `venue:SYMBOL`, where no file has that name."""
    venue, colon, symbol = name.partition(":")
    return bool(colon and symbol and venue) and "/" not in venue and not Path(name).exists()


def bounds(start: Any, stop: Any) -> tuple[int | None, int | None]:
    """Return [start, stop) in ns."""
    low = None if start is None else parse_time(start)
    high = None if stop is None else parse_time(stop)
    if low is not None and high is not None and low >= high:
        raise ConfigError(f"from: {format_time(low)} is not before to {format_time(high)}; swap them")
    return low, high


def inside(day: int | None, low: int | None, high: int | None) -> bool:
    """True when a day overlaps [low, high), or is not known."""
    if day is None:
        return True
    return (low is None or day + DAY > low) and (high is None or day < high)


def tick_files(paths: Sequence[Any]) -> tuple[list[TickFile], list[str]]:
    """Return the tick files of paths and folders, each once, and the names in folders that are none."""
    found: dict[Path, TickFile] = {}
    others: list[str] = []
    for given in paths:
        path = Path(given)
        if not path.is_dir():
            file = described(check_path(path))
            check_kind(file.kind, str(path))
            found.setdefault(path.resolve(), file)
            continue
        for one in sorted(p for p in path.rglob("*") if p.name.endswith(SUFFIXES) and p.is_file()):
            try:
                file = described(one)
                check_kind(file.kind, str(one))
                found.setdefault(one.resolve(), file)
            except ConfigError:
                others.append(one.relative_to(path).as_posix())
    return list(found.values()), others


def csv_source(file: TickFile, instrument: Any) -> Source:
    """Return a csv file as something to read."""
    what = known_instrument(instrument) if isinstance(instrument, str) else instrument
    named = file.instrument or ((what.venue, what.symbol) if what else None)
    venue, symbol = named or first_names(file)
    venue, symbol = shown(venue), shown(symbol)
    tick = rule_tick(what, venue, symbol, file.day)
    return Source(
        file.path.name,
        venue,
        symbol,
        file.kind,
        file.day,
        lambda: csv_frames(file, what),
        tick,
        None,
        file.path,
    )


def shown(name: str) -> str:
    """Return a name as it can be printed, ? for none."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in name[:60]) or "?"


def rule_tick(what: Instrument | None, venue: str, symbol: str, day: int | None) -> float:
    """Return the tick size of the venue's rules on a day, 0.0 where it is not known."""
    if what is not None:
        return what.tick_size
    rules = symbols.RULES.get(f"{venue}:{symbol}", ())
    if not rules or day is None or rules[0].since > format_time(day):
        return 0.0
    return known_instrument(f"{venue}:{symbol}", as_of=day).tick_size


def first_names(file: TickFile) -> tuple[str, str]:
    """Return exchange and symbol of the first row of a file whose name tells none; "" where there is none."""
    from framework.data.tardis_csv import first_row

    try:
        found = first_row(file)
    except DataError:
        return "", ""
    return (found[1][0], found[1][1]) if found else ("", "")


def csv_frames(file: TickFile, what: Instrument | None) -> Iterator[pl.DataFrame]:
    """Yield the rows of a csv file through the careful reader; refuse one that is of another instrument."""
    from framework.data.reader import read_header
    from framework.data.rows import frames
    from framework.data.tardis_csv import first_row

    found = first_row(file)
    if found is None:
        place = Place(file.path, file.kind, "", "", row=1)
        if any(read_header(file).blocks):
            raise place.error("is an empty line; the file is damaged, download it again")
        return
    check_names(file, *found)
    yield from frames(file, instrument=what)


def check_names(file: TickFile, place: Place, cells: list[str]) -> None:
    """Refuse a file of many symbols, and one whose first row is not of the instrument in its name."""
    if file.instrument is None:
        return
    venue, symbol = file.instrument
    if symbol in GROUPS:
        raise DataError(
            f"{file.path}: is a file of many symbols and was not checked; sheepfold data import "
            "splits it, then "
            "check the store"
        )
    if cells[0] != venue:
        raise place.cell_error("exchange", cells[0], f"is not {venue}, as the file's name says; rename it")
    if wanted_name(":".join(cells[:2]))[1] != wanted_name(f"{venue}:{symbol}")[1]:
        raise place.cell_error("symbol", cells[1], f"is not {symbol}, as the file's name says; rename it")


def store_of(store: Any) -> Any:
    """Return the store: as given, of a folder, or the user's."""
    if hasattr(store, "parts"):
        return store
    from framework.data.store import Store

    return Store(store)


def store_sources(
    ids: Sequence[str], low: int | None, high: int | None, kinds: list[str] | None, store: Any
) -> tuple[list[Source], list[str]]:
    """Return the parts of a store that were asked for."""
    house = store_of(store)
    pairs = [tuple(id.partition(":")[::2]) for id in ids]
    parts = [
        part for part in house.parts()
        if (not pairs or (part.venue, part.symbol) in pairs) and inside(part.day, low, high)
        and part.kind in (kinds or KINDS)
    ]  # fmt: skip
    if not parts:
        there = sorted({f"{part.venue}:{part.symbol}" for part in house.parts()})
        named = ", ".join(ids) or "anything"
        hint = near(ids[0], there) if ids and ids[0] not in there else "look with: sheepfold data ls"
        raise DataError(f"{house.folder}: the store holds nothing of {named} in that range; {hint}")
    return [part_source(house, part) for part in parts], []


def part_source(house: Any, part: Any) -> Source:
    """Return a part of a store as something to read."""
    tick = rule_tick(None, part.venue, part.symbol, part.day)
    day = format_time(part.day)[:10]

    def frames() -> Iterator[pl.DataFrame]:
        yield from house.frames(part)

    return Source(day, part.venue, part.symbol, part.kind, part.day, frames, tick, part, part.path)


def incidents_of(house: Any, venue: str) -> list[tuple[int, int]]:
    """Return the times (us) of a venue's incident reports; none where its metadata was not fetched."""
    if house is None:
        return []
    path = Path(house.folder) / "_meta" / f"{venue}.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        reports = data.get("incidentReports") or []
        return [(moment(one["from"]), moment(one["to"]) if one.get("to") else FOREVER) for one in reports]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, FrameworkError):
        return []  # not fetched, or not readable: gaps stay without an explanation


def moment(text: str) -> int:
    """Return an ISO time in us."""
    return parse_time(text) // MICROSECOND
