"""Columns: one way to read a polars frame, a pandas frame, a dict of arrays or a structured array, by column.

Neither polars nor pandas is imported here: a frame is known by its own methods, so only its owner pays for
the library.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.errors import ConfigError, DataError, FrameworkError, near
from framework.times import DAY, LATEST, UNITS, Times, format_time, parse_text

Floats = NDArray[np.float64]

SUFFIX = re.compile(r"_(s|ms|us|ns)$")
OWN_NS = 10**17  # 1973; smaller integers in the framework's own ns columns are more likely another unit


class Cells(NamedTuple):
    """Raw values of one column and how its times are to be read."""

    values: NDArray[Any]  # numbers, ns (when `zone` says so) or objects (text)
    zone: str  # "utc": ns since the epoch; "naive": a datetime without a zone; "": numbers or text


class Columns:
    """Named columns of one table; `source` is the name errors give it."""

    def __init__(self, frame: Any, source: str) -> None:
        self.source = source
        self.kind = frame_kind(frame)
        self.frame = frame.collect() if self.kind == "lazy" else frame
        self.kind = "polars" if self.kind == "lazy" else self.kind
        if self.kind == "":
            raise ConfigError(
                f"{source}: a {type(frame).__name__} is no table; give a polars or pandas frame"
            )
        self.index = index_name(frame) if self.kind == "pandas" else None
        self.names = column_names(self.frame, self.kind)
        self.check_lengths()
        if len(set(self.names)) != len(self.names):
            twice = next(n for n in self.names if self.names.count(n) > 1)
            raise DataError(f"{source}: column {twice!r} occurs twice; rename or drop one of them")

    def __len__(self) -> int:
        return len(next(iter(self.frame.values()))) if self.kind == "dict" and self.names else len(self.frame)

    def check_lengths(self) -> None:
        """Refuse a dict whose columns are not equally long."""
        if self.kind == "dict":
            sizes = {str(name): np.size(values) for name, values in self.frame.items()}
            for name, size in sizes.items():
                if size != len(self):
                    raise DataError(
                        f"{self.source}: column {name!r} has {size} rows, others {len(self)}; mend it"
                    )

    def cells(self, name: str) -> Cells:
        """Return the values of one column."""
        if self.kind == "polars":
            return polars_cells(self, name)
        if self.kind == "pandas":
            return pandas_cells(self, name)
        return array_cells(np.asarray(self.frame[name]))

    def error(self, row: int, field: str, value: Any, what: str) -> DataError:
        """Return the error for one cell; `row` counts from 0 here and from 1 (data rows) in the message."""
        shown = value.item() if isinstance(value, np.generic) else value
        if shown != shown and self.kind == "polars" and field in self.names:
            shown = "null" if self.frame.get_column(field)[row] is None else shown
        return DataError(f"{self.source}: row {row + 1}: {field} = {shown}: {what}")

    def missing(self, field: str, fix: str = "") -> DataError:
        """Return the error for a column that is not there."""
        hint = near(field, self.names)
        if not hint.startswith("did you mean"):
            hint = f"its columns are {', '.join(self.names)}; add it, or rename one"
        return DataError(f"{self.source}: there is no column {field!r}; {hint}{fix}")

    def named(self, field: str) -> str:
        """Return the name of a column, found in any case (`Close`, `close`)."""
        if field in self.names:
            return field
        found = [name for name in self.names if name.lower() == field.lower()]
        if len(found) != 1:
            raise self.missing(field)
        return found[0]

    def find(self, given: str | None, known: Iterable[str], option: str) -> str:
        """Return the column an option names, or the only one with a known name; none or many are refused."""
        if given is not None:
            if given not in self.names and given != self.index:
                raise self.missing(given)
            return given
        wanted = set(known)
        found = [name for name in self.names if SUFFIX.sub("", name.lower()) in wanted]
        if len(found) == 1:
            return found[0]
        if not found:
            raise DataError(
                f"{self.source}: which column is the {option}? say {option}= one of {', '.join(self.names)}"
            )
        raise DataError(
            f"{self.source}: {', '.join(found)} may all be the {option}; say {option}= one of them"
        )

    def floats(self, name: str) -> Floats:
        """Return a column of numbers as float64; a missing value is NaN, text is refused."""
        values, zone = self.cells(name)
        if zone or values.dtype.kind not in "fiub":
            bad = next((i for i, value in enumerate(values.tolist()) if not is_number(value)), 0)
            value = values[bad] if len(values) else values.dtype
            raise self.error(bad, name, value, "is no number; mend the row, or cast the column to float")
        return np.ascontiguousarray(values, dtype=np.float64)

    def times(self, name: str, unit: str | None, own: bool = False) -> Times:
        """Return a column of times in ns; integers need a unit, naive datetimes are refused."""
        values, zone = self.cells(name)
        if zone == "naive":
            first = values[0] if len(values) else ""
            fix = 'tz_localize("UTC")' if self.kind == "pandas" else 'dt.replace_time_zone("UTC")'
            raise self.error(0, name, first, f"has no time zone; say which it is, such as {fix}")
        if zone == "utc":
            return np.ascontiguousarray(values, dtype=np.int64)
        if values.dtype.kind in "iuf":
            return self.scale(name, values, self.unit_of(name, unit, values, own))
        return self.text_times(name, values)

    def unit_of(self, name: str, unit: str | None, values: NDArray[Any], own: bool) -> str:
        """Return the unit of an integer time column: the option, its name's end, or ns for own columns."""
        match = SUFFIX.search(name)
        if unit is not None:
            if unit not in UNITS:
                raise ConfigError(f"unit: unknown {unit!r}; choose from {', '.join(UNITS)}")
            if match and match[1] != unit:
                raise ConfigError(
                    f"unit: {unit!r}, but the name {name!r} says {match[1]}; rename the column if it errs"
                )
            return unit
        if match:
            return match[1]
        if own and (self.kind == "array" or (len(values) and values.min() >= OWN_NS)):
            return "ns"
        raise DataError(f"{self.source}: {name} holds whole numbers; say unit= s, ms, us or ns")

    def scale(self, name: str, values: NDArray[Any], unit: str) -> Times:
        """Return whole numbers of a unit in ns; refuse fractions, missing values and stamps beyond 2255."""
        if values.dtype.kind == "f":
            bad = np.flatnonzero(~(np.isfinite(values) & (np.floor(values) == values)))
            if bad.size:
                raise self.error(
                    int(bad[0]), name, values[bad[0]], f"is no whole number of {unit}; remove or mend the row"
                )
        bad = np.flatnonzero((values < 0) | (values > LATEST // UNITS[unit]))
        if bad.size:
            raise self.error(
                int(bad[0]), name, values[bad[0]], f"is no time between 1970 and 2255 in {unit}; check unit="
            )
        return values.astype(np.int64) * UNITS[unit]

    def text_times(self, name: str, values: NDArray[Any]) -> Times:
        """Return ISO texts in ns; a date is UTC midnight, a time of day needs its offset."""
        result = np.empty(len(values), dtype=np.int64)
        for i, text in enumerate(values.tolist()):
            try:
                result[i] = parse_text(str(text), naive_is_utc=False)
            except FrameworkError as error:
                reason = str(error).partition(": ")[2].partition(" ")[2] or str(error)
                raise self.error(i, name, text, reason.removeprefix(f"{str(text)!r} ")) from None
        return result


def is_number(value: Any) -> bool:
    """Return whether a value of a column is a number, or reads as one; null counts as one, the text "nan"
    not.
    """
    try:
        number = 0.0 if value is None else float(value)
    except (TypeError, ValueError):
        return False
    return number == number or not isinstance(value, str)


def frame_kind(frame: Any) -> str:
    """Return polars, lazy, pandas, array, dict, or "" for what is no table."""
    home = type(frame).__module__.partition(".")[0]
    name = type(frame).__name__
    if home == "polars" and name in ("DataFrame", "LazyFrame"):
        return "lazy" if name == "LazyFrame" else "polars"
    if hasattr(frame, "iloc") and hasattr(frame, "columns"):
        return "pandas"
    if isinstance(frame, np.ndarray) and frame.dtype.names:
        return "array"
    return "dict" if isinstance(frame, Mapping) else ""


def column_names(frame: Any, kind: str) -> list[str]:
    """Return the column names of a table of a known kind."""
    if kind == "array":
        return list(frame.dtype.names)
    return [str(name) for name in (frame if kind == "dict" else frame.columns)]


def index_name(frame: Any) -> str | None:
    """Return the name of a pandas index of times, None for any other index."""
    return str(frame.index.name or "index") if frame.index.dtype.kind == "M" else None


def array_cells(values: NDArray[Any]) -> Cells:
    """Return a numpy column; datetime64 has no zone, so it is naive."""
    if values.dtype.kind == "M":
        return Cells(values, "naive")
    return Cells(values.astype(object) if values.dtype.kind in "US" else values, "")


def polars_cells(columns: Columns, name: str) -> Cells:
    """Return a polars column as numpy; no value is copied where polars can hand out its own memory."""
    series = columns.frame.get_column(name)
    dtype = str(series.dtype)
    if dtype.startswith(("Datetime", "Date")) and series.null_count():
        row = int(series.is_null().arg_true()[0])
        raise columns.error(row, name, "null", "has no time; remove or mend the row")
    if dtype.startswith("Datetime"):
        if series.dtype.time_zone is None:
            return Cells(np.array([str(v) for v in series[:1].to_list()], dtype=object), "naive")
        return Cells(series.dt.cast_time_unit("ns").to_physical().to_numpy(), "utc")
    if dtype == "Date":
        return Cells(series.to_physical().to_numpy().astype(np.int64) * DAY, "utc")
    if dtype.startswith("Decimal"):
        return Cells(np.array([np.nan if v is None else float(v) for v in series.to_list()]), "")
    return Cells(np.asarray(series.to_numpy()), "")


def pandas_cells(columns: Columns, name: str) -> Cells:
    """Return a pandas column, or its DatetimeIndex, as numpy."""
    frame = columns.frame
    column = frame.index.to_series() if name == columns.index and name not in columns.names else frame[name]
    if column.dtype.kind == "M":
        if column.isna().any():
            row = int(np.flatnonzero(column.isna().to_numpy())[0])
            raise columns.error(row, name, "NaT", "has no time; remove or mend the row")
        if getattr(getattr(column.dtype, "pyarrow_dtype", column.dtype), "tz", None) is None:
            return Cells(np.array([str(v) for v in column[:1]], dtype=object), "naive")
        return Cells(column.to_numpy(dtype="datetime64[ns]").astype(np.int64), "utc")
    if column.dtype.kind in "fiub" and not isinstance(column.dtype, np.dtype):
        whole = column.dtype.kind in "iu" and not column.isna().any()
        return Cells(
            column.to_numpy(dtype=np.int64) if whole else column.to_numpy(dtype=np.float64, na_value=np.nan),
            "",
        )
    return Cells(column.to_numpy(), "")


def shown_time(ts: int) -> str:
    """Return a time as errors show it; times outside the calendar as plain ns."""
    return format_time(ts) if 0 <= ts <= LATEST else f"{ts} ns"
