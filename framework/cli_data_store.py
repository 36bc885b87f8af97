"""`sheepfold data import, ls, rm, verify, export`: what is in the store, and how it gets there and out."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.errors import ConfigError, DataError, FrameworkError
from framework.times import format_time

if TYPE_CHECKING:
    from framework.data.store import Store
    from framework.data.store_parts import Part


def open_store(folder: str | None) -> Store:
    """Return the store of a command."""
    from framework.data.store import Store

    return Store(folder)


def instrument_of(text: str) -> tuple[str, str]:
    """Return venue and symbol of VENUE:SYMBOL."""
    venue, colon, symbol = text.partition(":")
    if not (venue and colon and symbol):
        raise ConfigError(f"{text!r} is no instrument; write VENUE:SYMBOL, like binance-futures:BTCUSDT")
    return venue, symbol


def chosen(
    store: Store, what: str | None, start: str | None, stop: str | None, kinds: str | None
) -> list[Part]:
    """Return the days a command is about."""
    from framework.data.schema import check_kind
    from framework.times import parse_time

    if start and stop and parse_time(start) >= parse_time(stop):
        raise ConfigError(f"--from {start} is not before --to {stop}; give the days in order")
    wanted = [check_kind(kind.strip(), "--kinds") for kind in kinds.split(",")] if kinds else None
    if what is None:
        found = store.parts(start=start, stop=stop)
    else:
        venue, symbol = instrument_of(what)
        store.named(venue, symbol)
        found = store.parts(venue, None, symbol, start, stop)
    return [part for part in found if wanted is None or part.kind in wanted]


def run_import(
    files: Sequence[Path], replace: bool, instrument: str | None, folder: str | None, as_json: bool
) -> int:
    """Import files, each by itself: one that is refused keeps no other from being stored."""
    store = open_store(folder)
    told: list[dict[str, Any]] = []
    code = 0
    for file in every(files):
        try:
            added = store.add_csv(file, replace=replace, instrument=instrument)
        except FrameworkError as error:
            code = max(code, error.exit_code)
            print(f"sheepfold: refused: {error}", file=sys.stderr)
            told.append({"file": str(file), "refused": str(error)})
            continue
        for one in added:
            told.append({"file": str(file), "how": one.how, "day": str(one.part), "rows": one.part.rows})
            if not as_json:
                print(f"{one.how:<9} {one.part}: {one.part.rows:,} rows")
    if as_json:
        print(json.dumps(told))
    return code


def every(files: Sequence[Path]) -> list[Path]:
    """Return the files named, and those below the folders named."""
    from framework.data.store_csv import files_below

    found: list[Path] = []
    for path in files:
        found += [file.path for file in files_below(path)] if path.is_dir() else [path]
    return found


def run_ls(
    what: str | None,
    start: str | None,
    stop: str | None,
    kinds: str | None,
    folder: str | None,
    as_json: bool,
) -> int:
    """Print a line for each instrument and kind: days, rows, bytes, and days missing between."""
    store = open_store(folder)
    parts = chosen(store, what, start, stop, kinds)
    if as_json:
        print(json.dumps([{**asdict(part), "path": str(part.path)} for part in parts]))
        return 0
    if not parts:
        print(f"{store.folder}: nothing there; put something in: sheepfold data import FILES")
        return 0
    for (name, kind), group in groupby(parts, key=lambda part: (part.id, part.kind)):
        days = list(group)
        first, last = format_time(days[0].day)[:10], format_time(days[-1].day)[:10]
        rows, size = sum(part.rows for part in days), sum(part.bytes for part in days) / 1e6
        missing = (days[-1].day - days[0].day) // 86_400_000_000_000 + 1 - len(days)
        lacks = f", {missing} between missing" if missing else ""
        span = first if first == last else f"{first} .. {last}"
        print(f"{name:<28} {kind:<20} {span:<24} {len(days):>4} days{lacks} {rows:>14,} rows {size:>9.1f} MB")
    return 0


def run_rm(what: str, start: str | None, stop: str | None, kinds: str | None, folder: str | None) -> int:
    """Remove the days that match."""
    store = open_store(folder)
    parts = chosen(store, what, start, stop, kinds)
    print(f"removed {store.remove(parts)} days of {what}")
    return 0


def run_verify(folder: str | None) -> int:
    """Print what is wrong, a line each; 3 when anything is."""
    store = open_store(folder)
    wrong = store.verify()
    for line in wrong:
        print(line)
    if wrong:
        raise DataError(f"{store.folder}: {len(wrong)} of its files are not as they were written")
    print(f"{store.folder}: {len(store.parts())} days, each as it was written")
    return 0


def run_export(
    what: str, to: Path, start: str | None, stop: str | None, kinds: str | None, folder: str | None
) -> int:
    """Write the days that match as csv.gz, named as Tardis names them."""
    from framework.data.store_files import symbol_folder

    store = open_store(folder)
    parts = chosen(store, what, start, stop, kinds)
    for part in parts:
        day, symbol = format_time(part.day)[:10], symbol_folder(part.symbol)
        path = to / f"{part.venue}_{part.kind}_{day}_{symbol}.csv.gz"
        print(f"{path}: {store.write_csv(part, path):,} rows")
    if not parts:
        raise DataError(f"{store.folder}: has no day of {what} in that range")
    return 0
