"""The store of market data: one Parquet file of raw rows for each exchange, kind, symbol and UTC day.

STORE/<venue>/<kind>/<symbol>/<YYYY-MM-DD>.parquet     the rows, in the order they arrived
STORE/<venue>/<kind>/<symbol>/<YYYY-MM-DD>.json        its manifest, written last: the day is there
STORE/_replay/...                                      the engine's form of a day, made from the rows
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.data.schema import KINDS, check_kind
from framework.data.store_files import (
    check_venue,
    day_name,
    make_folder,
    store_folder,
    symbol_folder,
    write_text,
)
from framework.data.store_parts import FORMAT, Part, day_of_name, read_json, read_part
from framework.errors import DataError, near
from framework.times import DAY, parse_time

if TYPE_CHECKING:
    import polars as pl

    from framework.data.store_import import Added
    from framework.instruments import Instrument


class Store:
    """Market data in a folder.

    Parameters
    ----------
    folder : path, optional
        Default SHEEPFOLD_STORE, else `~/.local/share/sheepfold/data`. It is made when something is written.

    Raises
    ------
    DataError
        The folder is a store of another format, or no folder.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = store_folder(folder)
        self.known: dict[tuple[int, ...], str] = {}  # files that were hashed, as the system tells them apart
        if self.folder.exists() and not self.folder.is_dir():
            raise DataError(f"{self.folder}: is a file; give the folder of a store")
        sign = self.folder / "store.json"
        if sign.exists():
            found = read_json(sign)
            if found.get("format") != FORMAT:
                raise DataError(
                    f"{sign}: is of format {found.get('format')!r}, this version reads {FORMAT}; give "
                    "another folder, or the version that wrote it"
                )

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r})"

    def prepare(self) -> None:
        """Make the folder, and say in it what it is."""
        make_folder(self.folder)
        sign = self.folder / "store.json"
        if not sign.exists():
            write_text(sign, json.dumps({"format": FORMAT}) + "\n")

    # --- what is there
    def place(self, venue: str, kind: str, symbol: str) -> Path:
        """Return the folder of a kind of a symbol."""
        return self.folder / check_venue(venue) / check_kind(kind, "kind") / symbol_folder(symbol)

    def parts(
        self,
        venue: str | None = None,
        kind: str | None = None,
        symbol: str | None = None,
        start: Any = None,
        stop: Any = None,
    ) -> list[Part]:
        """Return the days of the store, by venue, kind, symbol and day; those that match where asked.

        `start` (included) and `stop` (excluded) are dates or times: a day counts when it has a moment inside.
        """
        low = -(2**63) if start is None else parse_time(start)
        high = 2**63 if stop is None else parse_time(stop)
        found = []
        for folder in self.folders(venue, kind, symbol):
            for path in sorted(folder.glob("*.json")):
                day = day_of_name(path.stem)
                if day is not None and day + DAY > low and day < high:
                    found.append(read_part(path, day))
        return found

    def folders(self, venue: str | None, kind: str | None, symbol: str | None) -> Iterator[Path]:
        """Yield the folders of symbols that match."""
        venues = [check_venue(venue)] if venue else names_in(self.folder)
        for one in venues:
            for own in [check_kind(kind, "kind")] if kind else KINDS:
                place = self.folder / one / own
                for name in [symbol_folder(symbol)] if symbol else names_in(place):
                    yield place / name

    def part(self, venue: str, kind: str, symbol: str, day: Any) -> Part | None:
        """Return one day, None where the store does not have it."""
        start = parse_time(day)
        path = self.place(venue, kind, symbol) / f"{day_name(start)}.json"
        return read_part(path, start) if path.exists() else None

    def named(self, venue: str, symbol: str) -> list[Part]:
        """Return the days of an instrument; refuse where there are none, with near names."""
        found = self.parts(venue, None, symbol)
        if not found:
            ids = sorted({part.id for part in self.parts()})
            there = near(f"{venue}:{symbol}", ids) if ids else "it is empty: sheepfold data import FILES"
            raise DataError(f"{self.folder}: holds nothing of {venue}:{symbol}; {there}")
        return found

    # --- rows
    def frames(self, part: Part, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """Yield the rows of a day in frames of some 100,000, in file order.

        Raises
        ------
        DataError
            The file is missing or not the one that was written.
        """
        from framework.data.store_rows import part_frames

        return part_frames(self, part, columns)

    def write_csv(self, part: Part, path: str | Path) -> int:
        """Write a day as Tardis csv, gzip where the name ends in .gz; return the rows."""
        from framework.data.store_verify import write_csv

        return write_csv(self, part, Path(path))

    # --- changes
    def add_csv(
        self,
        files: Any,
        *,
        replace: bool = False,
        instrument: Instrument | str | None = None,
    ) -> list[Added]:
        """Put csv or csv.gz files of Tardis into the store; a file that is in it already costs nothing.

        Parameters
        ----------
        files : path, folder, or list of them
            Names as `from_tardis` reads them. Files of many symbols (PERPETUALS ...) are split by symbol.
        replace : bool
            Take the place of days that were made from other files; else those are refused.
        instrument : Instrument or str, optional
            Grids to read with; by default the built-in rules, or those the decimals of a file tell.

        Raises
        ------
        DataError
            A file or row that cannot be trusted, a day that is there from another file, a full disk: nothing
            of that file is stored; files before it are.
        """
        from framework.data.store_csv import add_csv

        return add_csv(self, files, replace, instrument)

    def add_frame(
        self,
        venue: str,
        kind: str,
        symbol: str,
        day: Any,
        frames: Iterable[pl.DataFrame],
        *,
        source: str,
        replace: bool = False,
        remarks: Sequence[str] = (),
        instrument: Instrument | None = None,
    ) -> Part:
        """Put rows from elsewhere into the store as one day.

        Parameters
        ----------
        frames : polars frames with the raw columns of the kind (`framework.data.rows.dtypes`), by arrival
        source : str
            What they came from, for the manifest.
        """
        from framework.data.store_frames import add_frame

        return add_frame(
            self, (venue, kind, symbol, parse_time(day)), frames, source, replace, tuple(remarks), instrument
        )

    def remove(self, parts: Iterable[Part]) -> int:
        """Remove days with everything made from them; return how many."""
        from framework.data.store_commit import remove_part

        count = 0
        for part in parts:
            remove_part(self, part)
            count += 1
        return count

    def made_from(self, part: Part) -> list[Path]:
        """Return the files made from a day: its engine form and its check."""
        here = part.path.relative_to(self.folder)
        return [
            (self.folder / "_replay" / here).with_suffix(".book"),
            (self.folder / "_checks" / here).with_suffix(".json"),
        ]

    def verify(self, parts: Iterable[Part] | None = None) -> list[str]:
        """Read every byte and value again; return what is wrong, one line each."""
        from framework.data.store_verify import verify

        return verify(self, parts)


def names_in(folder: Path) -> list[str]:
    """Return the names of the folders in a folder that hold data."""
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] not in "_.")


__all__ = ["Part", "Store"]
