"""Funding, mark, feature and signal rows: from columns to validated records; merging of streams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.errors import ConfigError, DataError, near
from framework.market_columns import Columns, shown_time
from framework.records import DIRECTIONS, FEATURE, FUNDING, MARK, REGIMES, SIGNAL, SIGNAL_STATUS
from framework.times import SECOND, Times

Rows = NDArray[Any]

FUNDING_TIMES = ("ts", "time", "timestamp", "date", "funding_time", "funding_timestamp", "calc_time")
RATES = ("rate", "funding_rate", "last_funding_rate")
MARK_TIMES = ("ts", "time", "timestamp", "open_time", "local_ts")
MARKS = ("price", "mark_price", "mark")
LATER_PRICES = ("high", "low", "close")  # of a candle: not known at its open
CODES: dict[str, dict[str, int]] = {
    "direction": DIRECTIONS,
    "regime": {name: i for i, name in enumerate(REGIMES)},
    "status": {name: i for i, name in enumerate(SIGNAL_STATUS)},
}
SIGNAL_NEEDS = ("ts", "arrival_ts", "direction", "confidence", "size")
SIGNAL_DEFAULTS: dict[str, float] = {
    "instrument": 0, "regime": REGIMES.index("uncertain"), "entry": np.nan, "stop": np.nan, "target": np.nan,
    "cost": 0.0, "in_sample": 0, "status": 0,
}  # fmt: skip


def check_ascending(columns: Columns, name: str, ts: Times, strict: bool) -> None:
    """Refuse times that go back, and repeated ones where `strict`."""
    bad = np.flatnonzero(ts[1:] <= ts[:-1] if strict else ts[1:] < ts[:-1])
    if bad.size:
        row = int(bad[0]) + 1
        same = ts[row] == ts[row - 1]
        what = (
            "repeats the row above; remove the duplicate"
            if same
            else "is before the row above; sort the rows by time"
        )
        raise columns.error(row, name, shown_time(int(ts[row])), what)


def check_values(columns: Columns, name: str, values: Rows, good: Rows, what: str) -> None:
    """Refuse the first value that is not good."""
    bad = np.flatnonzero(~good)
    if bad.size:
        row = int(bad[0])
        raise columns.error(row, name, values[row], what)


def build_funding(frame: Any, time: str | None, rate: str | None, unit: str | None, source: str) -> Rows:
    """Return FUNDING rows at their nominal boundaries (real stamps jitter by ms: floored to the second)."""
    columns = Columns(frame, source)
    time_name = columns.find(time or columns.index, FUNDING_TIMES, "time")
    rate_name = columns.find(rate, RATES, "rate")
    rows = np.empty(len(columns), dtype=FUNDING)
    rows["ts"] = columns.times(time_name, unit) // SECOND * SECOND
    rows["rate"] = columns.floats(rate_name)
    check_ascending(columns, time_name, rows["ts"], strict=True)
    fit = np.isfinite(rows["rate"]) & (np.abs(rows["rate"]) < 1.0)
    check_values(
        columns, rate_name, rows["rate"], fit, "is no fraction of notional between -1 and 1; mend the row"
    )
    return frozen(rows)


def build_mark(frame: Any, time: str | None, price: str | None, unit: str | None, source: str) -> Rows:
    """Return MARK rows; of mark candles stamped by their open only the open price is known at the stamp."""
    columns = Columns(frame, source)
    time_name = columns.find(time or columns.index, MARK_TIMES, "time")
    by_open = time_name.lower().startswith("open")
    candles = price is None and by_open and {"open", "close"} <= set(columns.names)
    price_name = columns.find("open" if candles else price, MARKS, "price")
    if by_open and price_name in LATER_PRICES:
        raise ConfigError(
            f"{source}: price={price_name!r} is not known at {time_name}; "
            'say price="open", or give its own time column'
        )
    rows = np.empty(len(columns), dtype=MARK)
    rows["ts"] = columns.times(time_name, unit)
    rows["price"] = columns.floats(price_name)
    check_ascending(columns, time_name, rows["ts"], strict=True)
    fit = np.isfinite(rows["price"]) & (rows["price"] > 0.0)
    check_values(columns, price_name, rows["price"], fit, "is no price above zero; remove or mend the row")
    return frozen(rows)


def build_features(frame: Any, available: str, unit: str | None, source: str) -> dict[str, Rows]:
    """Return one FEATURE stream for each column but the time column; NaN = not known."""
    columns = Columns(frame, source)
    time_name = available if available == columns.index else columns.find(available, (), "available")
    ts = columns.times(time_name, unit, own=True)
    check_ascending(columns, time_name, ts, strict=False)
    streams = {}
    for name in columns.names:
        if name == time_name:
            continue
        rows = np.empty(len(columns), dtype=FEATURE)
        rows["ts"], rows["value"] = ts, columns.floats(name)
        check_values(
            columns, name, rows["value"], ~np.isinf(rows["value"]), "is infinite; use NaN for not known"
        )
        rows["value"][np.isnan(rows["value"])] = np.nan  # one NaN, so that equal content has equal bytes
        rows["value"] += 0.0
        streams[name] = frozen(rows)
    if not streams:
        raise DataError(f"{source}: there is no column beside {time_name!r}; give at least one feature")
    return streams


def build_signals(frame: Any, ids: Sequence[str], unit: str | None, source: str) -> Rows:
    """Return SIGNAL rows sorted by arrival (stable); words stand for their codes.

    Needs ts, arrival_ts, direction, confidence, size; instrument (index or id) is 0 by default, levels NaN,
    cost 0, status ok, regime uncertain, id the row number. risk_reward is always |target - entry| / |entry -
    stop|.
    """
    columns = Columns(frame, source)
    rows = np.zeros(len(columns), dtype=SIGNAL)
    for name in SIGNAL_NEEDS:
        if name not in columns.names:
            raise columns.missing(name, fix=f" (a signal needs {', '.join(SIGNAL_NEEDS)})")
    for name in ("ts", "arrival_ts"):
        rows[name] = columns.times(name, unit, own=True)
    codes = {**CODES, "instrument": {id: k for k, id in enumerate(ids)}}
    for name in ("direction", "confidence", "size", *SIGNAL_DEFAULTS):
        if name in columns.names:
            rows[name] = coded(columns, name, codes[name]) if name in codes else columns.floats(name)
        else:
            rows[name] = SIGNAL_DEFAULTS[name]
    rows["id"] = columns.floats("id") if "id" in columns.names else np.arange(len(rows))
    with np.errstate(divide="ignore", invalid="ignore"):
        rows["risk_reward"] = np.abs(rows["target"] - rows["entry"]) / np.abs(rows["entry"] - rows["stop"])
    check_signals(columns, rows, len(ids))
    return frozen(rows[np.argsort(rows["arrival_ts"], kind="stable")])


def coded(columns: Columns, name: str, codes: dict[str, int]) -> Rows:
    """Return a column of codes; words are looked up, numbers must be known codes."""
    values = columns.cells(name).values
    result = np.empty(len(values), dtype=np.int64)
    known = set(codes.values())
    for i, value in enumerate(values.tolist()):
        code = codes.get(value) if isinstance(value, str) else value
        if code not in known or code != int(code):
            raise columns.error(i, name, value, f"is unknown; {near(str(value), codes)}")
        result[i] = int(code)
    return result


def check_signals(columns: Columns, rows: Rows, count: int) -> None:
    """Refuse replies that arrive before their question, and fractions outside [0, 1]."""
    check_values(
        columns,
        "arrival_ts",
        rows["arrival_ts"],
        rows["arrival_ts"] >= rows["ts"],
        "is before ts; mend the row",
    )
    check_values(
        columns,
        "instrument",
        rows["instrument"],
        rows["instrument"] < count,
        "is no instrument of this market",
    )
    ok = rows["status"] == 0
    for name in ("confidence", "size"):
        fit = ~ok | ((rows[name] >= 0.0) & (rows[name] <= 1.0))
        check_values(columns, name, rows[name], fit, "is no fraction between 0 and 1; mend the row")


def frozen(rows: Rows) -> Rows:
    """Return the rows, read-only."""
    rows.setflags(write=False)
    return rows


def merge_bars(parts: Sequence[Rows], source: str) -> Rows:
    """Return the bars of several pieces of one stream in time order; bars that overlap are refused."""
    rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if len(parts) > 1:
        rows = rows[np.argsort(rows["open_ts"], kind="stable")]
        bad = np.flatnonzero(rows["open_ts"][1:] < rows["close_ts"][:-1])
        if bad.size:
            moment = shown_time(int(rows["open_ts"][bad[0] + 1]))
            raise DataError(
                f"{source}: two markets both have the bar of {moment}; slice one of them before it"
            )
    return frozen(rows)


def merge_events(parts: Sequence[Rows], source: str) -> Rows:
    """Return rows of several pieces of one stream in time order; equal times are refused."""
    rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if len(parts) > 1:
        rows = rows[np.argsort(rows["ts"], kind="stable")]
        bad = np.flatnonzero(rows["ts"][1:] == rows["ts"][:-1])
        if bad.size:
            moment = shown_time(int(rows["ts"][bad[0]]))
            raise DataError(f"{source}: two streams both have a row at {moment}; give each row once")
    return frozen(rows)


def merge_features(parts: Sequence[Rows]) -> Rows:
    """Return feature rows of several pieces in time order; an exact repeat is left out."""
    rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if len(parts) > 1:
        rows = rows[np.argsort(rows["ts"], kind="stable")]
        same = np.zeros(len(rows), dtype=bool)
        bits = (
            rows["value"].view(np.int64)
            if rows["value"].flags.c_contiguous
            else rows["value"].copy().view(np.int64)
        )
        same[1:] = (rows["ts"][1:] == rows["ts"][:-1]) & (bits[1:] == bits[:-1])
        rows = rows[~same]
    return frozen(rows)
