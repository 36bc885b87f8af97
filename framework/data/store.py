"""The store of market data: one Parquet file of raw rows for each exchange, kind, symbol and UTC day.

STORE/<venue>/<kind>/<symbol>/<YYYY-MM-DD>.parquet     the rows, in the order they arrived
STORE/<venue>/<kind>/<symbol>/<YYYY-MM-DD>.json        its manifest, written last: the day is there
STORE/_replay/...                                      the engine's form of a day, made from the rows
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.data.schema import KINDS, check_kind
from framework.data.store_files import (
    alone,
    check_venue,
    day_name,
    file_hash,
    make_folder,
    store_folder,
    symbol_folder,
    symbol_of,
    write_text,
)
from framework.errors import ConfigError, DataError, near
from framework.times import DAY, format_time, parse_time

if TYPE_CHECKING:
    import polars as pl

    from framework.data.store_write import Added
    from framework.instruments import Instrument

FORMAT = 1
FIELDS = {  # of a manifest, and what each must be
    "rows": int, "first": int, "last": int, "tick_size": float, "lot_size": float, "source": str,
    "source_sha256": str, "file_sha256": str, "content_sha256": str, "bytes": int,
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """One day of one kind of one symbol in a store.

    Attributes
    ----------
    venue, kind, symbol : str
    day : int
        ns, UTC midnight.
    path : Path
    rows, bytes : int
        Of the Parquet file; 0 rows is a day known to be without data.
    first, last : int
        ns; arrival of the first and last row, -1 without one.
    tick_size, lot_size : float
        Grids every price and amount is on; 0.0 where there is none.
    source : str
        Name of what it was made from.
    source_sha256, file_sha256, content_sha256 : str
        Of the source file, of the Parquet file, and of the values whatever file they are in.
    remarks : tuple of str
        What its maker says of it.
    counts : dict of str to int
        What the reader counted.
    """

    venue: str
    kind: str
    symbol: str
    day: int
    path: Path
    rows: int
    first: int
    last: int
    tick_size: float
    lot_size: float
    source: str
    source_sha256: str
    file_sha256: str
    content_sha256: str
    bytes: int
    remarks: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Instrument id."""
        return f"{self.venue}:{self.symbol}"

    def __str__(self) -> str:
        return f"{self.id} {self.kind} {day_name(self.day)}"


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
        self.known: dict[Path, tuple[int, int]] = {}  # files whose hash was right: their size and time then
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
                    found.append(self.read_part(path, day))
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
        return self.read_part(path, start) if path.exists() else None

    def read_part(self, path: Path, day: int) -> Part:
        """Return the part a manifest tells of."""
        found = read_json(path)
        venue, kind, symbol = path.parts[-4], path.parts[-3], symbol_of(path.parts[-2])
        wrong = [name for name, kind_ in FIELDS.items() if not is_a(found.get(name), kind_)]
        same = (found.get("venue"), found.get("kind"), found.get("symbol"), found.get("day"))
        if wrong or same != (venue, kind, symbol, day_name(day)):
            what = f"its {wrong[0]} is missing or wrong" if wrong else "it is of another day or symbol"
            raise DataError(f"{path}: {what}; the store is damaged here: sheepfold data rm, and import again")
        fields = {name: kind_(found[name]) for name, kind_ in FIELDS.items()}
        remarks = tuple(str(line) for line in found.get("remarks", ()))
        counts = {str(name): int(count) for name, count in found.get("counts", {}).items()}
        return Part(
            venue, kind, symbol, day, path.with_suffix(".parquet"), **fields, remarks=remarks, counts=counts
        )

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
        import polars as pl

        from framework.data.rows import GROUP

        self.check_file(part)
        scan = pl.scan_parquet(part.path, glob=False)
        if columns is not None:
            scan = scan.select(list(columns))
        for at in range(0, part.rows, GROUP):
            frame = scan.slice(at, GROUP).collect()
            yield frame

    def check_file(self, part: Part) -> None:
        """Refuse a Parquet file that is not the one the manifest tells of; looked at once a change."""
        try:
            now = part.path.stat()
        except OSError:
            raise damaged(part, "is missing") from None
        key = (now.st_size, now.st_mtime_ns)
        if self.known.get(part.path) == key:
            return
        if now.st_size != part.bytes:
            raise damaged(part, f"has {now.st_size} bytes instead of {part.bytes}")
        if file_hash(part.path) != part.file_sha256:
            raise damaged(part, "is not as it was written (its sha256 differs)")
        self.known[part.path] = key

    def write_csv(self, part: Part, path: str | Path) -> int:
        """Write a day as Tardis csv, gzip where the name ends in .gz; return the rows."""
        from framework.data.store_write import write_csv

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
        from framework.data.store_write import add_csv

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
        from framework.data.store_write import add_frame

        return add_frame(
            self, (venue, kind, symbol, parse_time(day)), frames, source, replace, tuple(remarks), instrument
        )

    def remove(self, parts: Iterable[Part]) -> int:
        """Remove days with everything made from them; return how many."""
        count = 0
        for part in parts:
            with alone(part.path.parent):
                for path in (part.path.with_suffix(".json"), part.path, *self.made_from(part)):
                    path.unlink(missing_ok=True)
                self.known.pop(part.path, None)
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
        from framework.data.store_write import verify

        return verify(self, parts)


def damaged(part: Part, what: str) -> DataError:
    """Return the error for a file of the store that cannot be used."""
    return DataError(
        f"{part.path}: {what}; import it again: sheepfold data rm {part.id} --kind {part.kind} "
        f"--from {day_name(part.day)} --to {day_name(part.day + DAY)}, then sheepfold data import"
    )


def names_in(folder: Path) -> list[str]:
    """Return the names of the folders in a folder that hold data."""
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] not in "_.")


def day_of_name(name: str) -> int | None:
    """Return the midnight (ns) of a file's name, None where it is no day."""
    try:
        day = parse_time(name)
    except ConfigError:
        return None
    return day if day % DAY == 0 and format_time(day)[:10] == name else None


def is_a(value: Any, kind: type) -> bool:
    """True for a value of a manifest's type; a whole number is a float too, a bool is no number."""
    return isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)


def read_json(path: Path) -> dict[str, Any]:
    """Return a small json file as a dict."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file") from None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise DataError(f"{path}: is no json of the store; the file is damaged, remove it and import again")
    return found


def manifest_text(part: Part) -> str:
    """Return a part as the text of its manifest."""
    found = {**asdict(part), "day": day_name(part.day), "format": FORMAT}
    del found["path"]
    return json.dumps(found, indent=1, sort_keys=True) + "\n"


__all__ = ["Part", "Store"]
