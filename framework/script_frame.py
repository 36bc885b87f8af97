"""Any orders frame as polars, with nothing rounded on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from framework.errors import DataError


def pandas_cells(name: str, column: Any) -> pl.Series:
    """Return a pandas column, null for what is missing; times with a zone keep their ns."""
    missing = column.isna().tolist()
    if column.dtype.kind == "M" and getattr(column.dtype, "tz", None) is not None:
        stamps = column.to_numpy(dtype="datetime64[ns]").astype(np.int64).tolist()
        cells = [None if gone else ts for ts, gone in zip(stamps, missing, strict=True)]
        return pl.Series(name, cells, dtype=pl.Int64).cast(pl.Datetime("ns", "UTC"))
    values = [None if gone else cell for cell, gone in zip(column.tolist(), missing, strict=True)]
    try:
        return pl.Series(name, values)
    except (pl.exceptions.PolarsError, TypeError):
        raise DataError(f"orders, {name}: holds values of several types; cast the column to one") from None


def is_number(value: Any) -> bool:
    """True for what a number column may hold."""
    try:
        float(value if value is not None else 0.0)
    except (TypeError, ValueError):
        return False
    return True


def as_polars(frame: Any) -> pl.DataFrame:
    """Return any frame as polars."""
    if isinstance(frame, pl.DataFrame):
        return frame
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    if type(frame).__module__.startswith("pandas"):
        # column by column: polars' own way from pandas needs pyarrow, which is not ours to require
        return pl.DataFrame([pandas_cells(str(name), frame[name]) for name in frame.columns])
    try:
        return pl.DataFrame(frame)
    except (pl.exceptions.PolarsError, TypeError, ValueError):
        raise DataError(f"orders must be a polars or pandas frame, not {type(frame).__name__}") from None
