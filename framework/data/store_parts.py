"""A day of the store and its manifest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from framework.data.store_files import day_name, symbol_of
from framework.errors import ConfigError, DataError
from framework.times import DAY, format_time, parse_time

Key = tuple[str, str, str, int]  # venue, kind, symbol, day
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


def read_part(path: Path, day: int) -> Part:
    """Return the part a manifest tells of."""
    found = read_json(path)
    venue, kind, symbol = path.parts[-4], path.parts[-3], symbol_of(path.parts[-2])
    wrong = [name for name, kind_ in FIELDS.items() if not is_a(found.get(name), kind_)]
    same = (found.get("venue"), found.get("kind"), found.get("symbol"), found.get("day"))
    if not wrong and found.get("check") != check_of(found):
        wrong = ["check (the sha256 of the rest)"]
    if wrong or same != (venue, kind, symbol, day_name(day)):
        what = f"its {wrong[0]} is missing or wrong" if wrong else "it is of another day or symbol"
        raise DataError(f"{path}: {what}; the file is damaged, remove it and import again")
    fields = {name: kind_(found[name]) for name, kind_ in FIELDS.items()}
    remarks = tuple(str(line) for line in found.get("remarks", ()))
    counts = {str(name): int(count) for name, count in found.get("counts", {}).items()}
    return Part(
        venue, kind, symbol, day, path.with_suffix(".parquet"), **fields, remarks=remarks, counts=counts
    )


def damaged(part: Part, what: str) -> DataError:
    """Return the error for a file of the store that cannot be used."""
    return DataError(
        f"{part.path}: {what}; import it again: sheepfold data rm {part.id} --kinds {part.kind} "
        f"--from {day_name(part.day)} --to {day_name(part.day + DAY)}, then sheepfold data import"
    )


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
    return json.dumps({**found, "check": check_of(found)}, indent=1, sort_keys=True) + "\n"


def check_of(found: dict[str, Any]) -> str:
    """Return the sha256 of what a manifest says."""
    told = {name: value for name, value in found.items() if name != "check"}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def old_path(path: Path) -> Path:
    """Return where the rows of a day are kept while others take their place."""
    return path.with_suffix(".old")


__all__ = [
    "FORMAT", "Key", "Part", "damaged", "day_of_name", "manifest_text", "old_path", "read_json", "read_part"
]  # fmt: skip
