"""One file of Tardis into the store."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.data.rebuild import PACKED, DayPack
from framework.data.rows import Reading
from framework.data.schema import TickFile
from framework.data.store_commit import Facts, Staged, commit, day_path, stage, stage_pack, writer
from framework.data.store_files import file_hash, staging
from framework.data.store_parts import Key, Part, old_path
from framework.data.tardis_csv import first_row
from framework.errors import DataError
from framework.instruments import Instrument
from framework.times import DAY, MICROSECOND

if TYPE_CHECKING:
    from framework.data.store import Store


@dataclass(frozen=True)
class Added:
    """What became of one file: its part, and "added", "same" (it was there) or "replaced"."""

    part: Part
    how: str


def add_file(store: Store, file: TickFile, replace: bool, instrument: Instrument | str | None) -> Added:
    """Put one file of one symbol into the store."""
    reading = reading_of(file, instrument)
    key = key_of(reading)
    sha = cache(lambda: file_hash(file.path))
    path = day_path(store, key)
    if (found := standing(store, key, file, sha, replace)) is not None:
        return found
    with writer(store, path.parent):
        if (found := standing(store, key, file, sha, replace)) is not None:  # another writer was faster
            return found
        before = store.part(*key)
        with staging(path) as folder:
            part = commit(store, stage_file(store, key, folder, reading, file.path.name))
        return Added(part, "replaced" if before else "added")


def reading_of(file: TickFile, instrument: Instrument | str | None) -> Reading:
    """Return the reading of a file, which makes the engine's form where the kind has one."""
    if file.kind not in PACKED:
        return Reading(file, instrument)
    return Reading(file, instrument, beside=lambda reader: DayPack(file.kind, reader.feed))


def standing(store: Store, key: Key, file: TickFile, sha: Any, replace: bool) -> Added | None:
    """Return what a file needs no more: it is in the store; refuse it where another file is."""
    before = store.part(*key)
    if before is None:
        return None
    if before.source_sha256 == sha():
        whole = before.path.exists() and before.path.stat().st_size == before.bytes
        whole = whole and not old_path(before.path).exists()
        return Added(before, "same") if whole else None
    if not replace:
        raise DataError(
            f"{file.path}: {before} is in the store from another file ({before.source}); say --replace "
            "to take this one instead"
        )
    return None


def stage_file(
    store: Store, key: Key, folder: Path, reading: Reading, source: str, sha: str | None = None
) -> Staged:
    """Read a file into a folder: rows, manifest and engine form."""

    def facts() -> Facts:
        what = reading.what
        has_steps = what is not None and key[1] in PACKED
        steps = (what.tick_size, what.lot_size) if what is not None and has_steps else (0.0, 0.0)
        counts = {name: v for name, v in vars(reading.counts).items() if isinstance(v, int)}
        return Facts((reading.first, reading.last), steps, sha or reading.sha256, counts)

    staged = stage(store, key, folder, reading.frames(), source, facts)
    if isinstance(reading.taker, DayPack) and staged.part.rows:
        stage_pack(staged, reading.taker, reading.top)
    return staged


def key_of(reading: Reading) -> Key:
    """Return where a file belongs: by its first row, or where it has none by its name."""
    file = reading.file
    if reading.what is not None:
        venue, symbol = reading.what.venue, reading.what.symbol.upper()
    elif file.instrument is not None:
        venue, symbol = file.instrument
    else:
        raise DataError(f"{file.path}: holds no row, and its name no instrument; name it as Tardis does")
    if file.day is not None:
        return venue, file.kind, symbol, file.day
    if reading.what is None:
        raise DataError(f"{file.path}: holds no row, and its name no day; name it as Tardis does")
    reading.day = first_day(file)
    return venue, file.kind, symbol, reading.day


def first_day(file: TickFile) -> int:
    """Return the day of the first row of a file whose name tells none."""
    row = first_row(file)
    assert row is not None
    place, cells = row
    if not (cells[3].isdigit() and len(cells[3]) == 16):
        raise place.cell_error("local_timestamp", cells[3], "is no time of 16 digits in us; mend the row")
    return int(cells[3]) * MICROSECOND // DAY * DAY


__all__ = ["Added", "add_file", "key_of", "reading_of", "stage_file", "standing"]
