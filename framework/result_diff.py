"""Where two results differ, in words: settings by their dotted names, tables by row and column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import polars as pl

from framework.result_store import plain


def flat(value: Any, name: str) -> dict[str, Any]:
    """Return nested mappings as {"a.b": value} in JSON's terms."""
    if not isinstance(value, Mapping):
        return {name: plain(value)}
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= flat(item, f"{name}.{key}")
    return found


def different(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """Return one line for each name whose values differ."""
    names = dict.fromkeys((*here, *there))
    return [
        f"{name}: {here.get(name, 'absent')!r} here, {there.get(name, 'absent')!r} there"
        for name in names
        if here.get(name, "absent") != there.get(name, "absent")
    ]


def table_difference(name: str, here: pl.DataFrame, there: pl.DataFrame) -> list[str]:
    """Return at most one line: the first row, and in it the first column, that differs."""
    if here.schema != there.schema:
        return [f"{name}: columns {_columns(here)} here, {_columns(there)} there"]
    rows = min(here.height, there.height)
    found: list[tuple[int, str]] = []
    for column in here.columns:
        unequal = _unequal(here[column][:rows], there[column][:rows])
        if unequal.any():
            found.append((int(np.argmax(unequal)), column))
    if found:
        row, column = min(found, key=lambda pair: pair[0])
        return [
            f"{name}: row {row}, column {column}: {here[column][row]!r} here, {there[column][row]!r} there"
        ]
    if here.height != there.height:
        return [f"{name}: {here.height} rows here, {there.height} there; the first {rows} are equal"]
    return []


def _columns(frame: pl.DataFrame) -> str:
    return " ".join(f"{name}:{kind}" for name, kind in frame.schema.items())


def _unequal(one: pl.Series, other: pl.Series) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which rows differ; NaN equals NaN, 0.0 is not -0.0, null equals null."""
    unequal = one.ne_missing(other).to_numpy()
    if one.dtype == pl.Float64:
        signs = np.signbit(one.to_numpy()) != np.signbit(other.to_numpy())
        unequal = unequal | signs & (one == 0.0).fill_null(False).to_numpy()
    return cast("np.ndarray[Any, np.dtype[np.bool_]]", unequal)
