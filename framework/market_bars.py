"""Bars: from columns to validated rows, their gaps, higher timeframes, the composite finest stream."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.errors import ConfigError, DataError, near
from framework.market_columns import Columns, Floats, shown_time
from framework.records import BAR
from framework.times import (
    DAY,
    MILLISECOND,
    MONTH,
    SECOND,
    Times,
    add_interval,
    floor_time,
    format_interval,
    month_index,
    months_in,
    parse_interval,
)

Rows = NDArray[Any]

SMALLEST = 5e-324  # the least float above zero
STAMPS = ("open", "close")
PRICES = ("open", "high", "low", "close")
STAMP_NAMES = ("ts", "time", "timestamp", "date", "datetime")
OPEN_NAMES = ("open_time", "open_ts", "start", "begin", "open_timestamp")
CLOSE_NAMES = ("close_time", "close_ts", "end", "close_timestamp")
MISMATCH = "give the interval the stamps really have, or own open_ts and close_ts columns"


class Gap(NamedTuple):
    """Bars that are not there in one stream."""

    instrument: int
    interval: int  # ns
    places: int  # how many times the stream breaks off
    missing: int  # how many bars are missing in all
    first_ts: int  # ns; where the first missing bar would open


def build_bars(
    frame: Any, interval: str | int | None, stamp: str | None, time: str | None, unit: str | None, source: str
) -> tuple[Rows, int]:
    """Return validated BAR rows (read-only) and their interval in ns.

    Raises
    ------
    DataError
        Naming source, row (1 = first data row), field, value and the fix.
    ConfigError
        `stamp` or `interval` unknown, missing or contradicted by the columns.
    """
    columns = Columns(frame, source)
    if stamp is not None and stamp not in STAMPS:
        raise ConfigError(f"stamp: unknown {stamp!r}; {near(str(stamp), STAMPS)}")
    if len(columns) == 0:
        raise DataError(f"{source}: there is no row; give at least one bar")
    own = stamp is None and time is None and {"open_ts", "close_ts"} <= set(columns.names)
    if own:
        open_ts, close_ts = (columns.times(name, unit, own=True) for name in ("open_ts", "close_ts"))
        length = check_own(columns, open_ts, close_ts, interval)
    else:
        open_ts, close_ts, length = stamped(columns, interval, stamp, time, unit)
    values = {name: columns.floats(columns.named(name)) for name in (*PRICES, "volume")}
    check_prices(columns, values)
    check_range(columns, values)
    bars = np.empty(len(open_ts), dtype=BAR)
    bars["open_ts"], bars["close_ts"] = open_ts, close_ts
    for name in PRICES:
        bars[name] = values[name]
    bars["volume"] = values["volume"] + 0.0  # -0.0 becomes 0.0, so that equal content has equal bytes
    bars.setflags(write=False)
    return bars, length


def stamped(
    columns: Columns, interval: str | int | None, stamp: str | None, time: str | None, unit: str | None
) -> tuple[Times, Times, int]:
    """Return open and close times and the interval of bars that carry one stamp each."""
    if stamp is None:
        raise ConfigError(
            f'{columns.source}: is a stamp the bar\'s open or its close? say stamp="open" or stamp="close"'
        )
    name = stamp_column(columns, stamp, time)
    ts = columns.times(name, unit)
    check_order(columns, name, ts)
    if interval is None:
        step = format_interval(int(np.diff(ts).min())) if len(ts) > 1 else "1h"
        raise ConfigError(f'{columns.source}: how long is a bar? say interval="{step}" or the like')
    length = parse_interval(interval)
    check_fit(columns, name, ts, length)
    if stamp == "open":
        return ts, add_interval(ts, length), length
    check_inclusive(columns, name, ts)
    return add_interval(ts, length, -1), ts, length


def stamp_column(columns: Columns, stamp: str, time: str | None) -> str:
    """Return the column that holds the stamps; a name that says the other stamp is refused."""
    if time is None and columns.index is not None:
        time = columns.index
    if time is None:
        lower = {name.lower() for name in columns.names}
        exact = OPEN_NAMES if stamp == "open" else CLOSE_NAMES
        both = any(n.startswith("open_t") for n in lower) and any(n.startswith("close_t") for n in lower)
        name = columns.find(None, exact if both else STAMP_NAMES + OPEN_NAMES + CLOSE_NAMES, "time")
    else:
        name = columns.find(time, (), "time")
    other = "close" if stamp == "open" else "open"
    if name.lower().startswith(f"{other}_t"):
        raise ConfigError(
            f'{columns.source}: stamp="{stamp}" contradicts the column {name!r}; say stamp="{other}"'
        )
    return name


def check_order(columns: Columns, name: str, ts: Times) -> None:
    """Refuse times that repeat or go back."""
    bad = np.flatnonzero(ts[1:] <= ts[:-1])
    if bad.size:
        row = int(bad[0]) + 1
        same = ts[row] == ts[row - 1]
        what = (
            "repeats the row before; remove the duplicate"
            if same
            else "is before the row above; sort the rows by time"
        )
        raise columns.error(row, name, shown_time(int(ts[row])), what)


def check_fit(columns: Columns, name: str, ts: Times, interval: int) -> None:
    """Refuse stamps that cannot belong to bars of this interval."""
    words = format_interval(interval)
    if months_in(interval):
        bad = np.flatnonzero(floor_time(ts, MONTH) != ts)
        if bad.size:
            row = int(bad[0])
            raise columns.error(
                row,
                name,
                shown_time(int(ts[row])),
                f"is no start of a month (UTC) in {words} bars; {MISMATCH}",
            )
        steps = np.diff(month_index(ts)) * MONTH
    else:
        steps = np.diff(ts)
    bad = np.flatnonzero(steps % interval != 0)
    if bad.size:
        row = int(bad[0]) + 1
        far = format_interval(int(steps[row - 1]))
        what = f"is {far} after the row above, no multiple of {words}; {MISMATCH}"
        raise columns.error(row, name, shown_time(int(ts[row])), what)
    if len(steps) > 1 and steps.min() > interval:
        step = format_interval(int(steps.min()))
        raise DataError(
            f"{columns.source}: no two rows are {words} apart, the nearest are {step}; say interval={step!r}"
        )


def check_inclusive(columns: Columns, name: str, ts: Times) -> None:
    """Refuse inclusive close times such as 12:59:59.999: a bar may not be seen before its end."""
    if np.all(ts % SECOND >= SECOND - MILLISECOND):
        what = "is an inclusive end, 1 ms or less before the close; use the open times, or add the rest"
        raise columns.error(0, name, shown_time(int(ts[0])), what)


def check_own(columns: Columns, open_ts: Times, close_ts: Times, interval: str | int | None) -> int:
    """Validate own open and close times; return the interval, of differing lengths the longest."""
    check_order(columns, "open_ts", open_ts)
    bad = np.flatnonzero(close_ts <= open_ts)
    if bad.size:
        row = int(bad[0])
        raise columns.error(
            row, "close_ts", shown_time(int(close_ts[row])), "is not after open_ts; mend the row"
        )
    bad = np.flatnonzero(open_ts[1:] < close_ts[:-1])
    if bad.size:
        row = int(bad[0]) + 1
        what = "is before the close of the row above: bars overlap; remove one of them"
        raise columns.error(row, "open_ts", shown_time(int(open_ts[row])), what)
    check_inclusive(columns, "close_ts", close_ts)
    length = own_interval(open_ts, close_ts) if interval is None else parse_interval(interval)
    if interval is not None:
        bad = np.flatnonzero(add_interval(open_ts, length) != close_ts)
        if bad.size:
            row = int(bad[0])
            what = f"is not {format_interval(length)} after open_ts; leave interval= out, or mend the row"
            raise columns.error(row, "close_ts", shown_time(int(close_ts[row])), what)
    return length


def own_interval(open_ts: Times, close_ts: Times) -> int:
    """Return the common length of bars, n calendar months as such; else the longest length."""
    lengths = close_ts - open_ts
    if np.min(lengths) == np.max(lengths) and lengths[0] < 28 * DAY:
        return int(lengths[0])
    if np.all(floor_time(open_ts, MONTH) == open_ts) and np.all(floor_time(close_ts, MONTH) == close_ts):
        months = month_index(close_ts) - month_index(open_ts)
        if np.min(months) == np.max(months):
            return int(months[0]) * MONTH
    return int(np.max(lengths))


def check_prices(columns: Columns, values: dict[str, Floats]) -> None:
    """Refuse prices that are not finite and above zero, and volumes that are not finite or below zero."""
    for name, cells in values.items():
        least = 0.0 if name == "volume" else SMALLEST
        if np.min(cells) >= least and np.max(cells) < np.inf:  # false for NaN
            continue
        row = int(np.flatnonzero(~((cells >= least) & (cells < np.inf)))[0])
        value = cells[row]
        wrong = (
            "is no finite number" if not np.isfinite(value) else "is below zero" if value < 0.0 else "is zero"
        )
        raise columns.error(row, columns.named(name), value, f"{wrong}; remove or mend the row")


def check_range(columns: Columns, values: dict[str, Floats]) -> None:
    """Refuse high < low, and open or close outside [low, high]."""
    high, low = values["high"], values["low"]
    bad = np.flatnonzero(high < low)
    if bad.size:
        row = int(bad[0])
        raise columns.error(row, columns.named("high"), high[row], f"is below low {low[row]}; mend the row")
    for name in ("open", "close"):
        cells = values[name]
        bad = np.flatnonzero((cells < low) | (cells > high))
        if bad.size:
            row = int(bad[0])
            what = f"is outside low {low[row]} .. high {high[row]}; mend the row"
            raise columns.error(row, columns.named(name), cells[row], what)


def count_gaps(bars: Rows, instrument: int, interval: int) -> Gap | None:
    """Return what is missing in one stream, None when each bar opens where the one before closed."""
    close_ts, open_ts = bars["close_ts"][:-1], bars["open_ts"][1:]
    rows = np.flatnonzero(open_ts != close_ts)
    if not rows.size:
        return None
    start, end = close_ts[rows], open_ts[rows]
    if months := months_in(interval):
        missing = (month_index(end) - month_index(start)) // months
    else:
        missing = np.maximum((end - start) // interval, 1)
    return Gap(instrument, interval, len(rows), int(missing.sum()), int(start[0]))


def resample(bars: Rows, finest: int, interval: int, source: str) -> tuple[Rows, int]:
    """Return bars of a higher interval built from finer ones, and how many of them lack some finer bar.

    A bar spans its whole bucket, so it is seen only at the bucket's end, even if its last finer bars are
    missing. The last bucket is left out unless the data reaches its end. Volumes are summed by
    `numpy.add.reduceat`.

    Raises
    ------
    ConfigError
        The interval is not longer than the finest, or its borders cut finer bars.
    """
    words, fine = format_interval(interval), format_interval(finest)
    if interval <= finest:
        raise ConfigError(
            f"{source}: resample to {words} needs bars shorter than that; the finest here are {fine}"
        )
    if not len(bars):
        return bars, 0
    bucket = floor_time(bars["open_ts"], interval)
    end = add_interval(bucket, interval)
    cut = np.flatnonzero(bars["close_ts"] > end)
    if cut.size:
        moment = shown_time(int(bars["open_ts"][cut[0]]))
        raise ConfigError(
            f"{source}: a {words} bar would end inside the {fine} bar of {moment}; "
            f"choose a multiple of {fine}"
        )
    first = np.flatnonzero(np.concatenate(([True], bucket[1:] != bucket[:-1])))
    result = np.empty(len(first), dtype=BAR)
    last = np.append(first[1:], len(bars)) - 1
    result["open_ts"], result["close_ts"] = bucket[first], end[first]
    result["open"], result["close"] = bars["open"][first], bars["close"][last]
    result["high"] = np.maximum.reduceat(bars["high"], first)
    result["low"] = np.minimum.reduceat(bars["low"], first)
    result["volume"] = np.add.reduceat(bars["volume"], first)
    covered = np.add.reduceat(bars["close_ts"] - bars["open_ts"], first)
    if bars["close_ts"][-1] < result["close_ts"][-1]:
        result, covered = result[:-1], covered[:-1]
    partial = int(np.count_nonzero(covered != result["close_ts"] - result["open_ts"]))
    result.setflags(write=False)
    return result, partial


def compose(streams: list[Rows]) -> Rows:
    """Return the finest rows of `streams` (fine to coarse): coarse bars where no finer ones cover."""
    finest = streams[0]
    for coarse in streams[1:]:
        if not len(finest):
            finest = coarse
            continue
        first = np.searchsorted(finest["open_ts"], coarse["open_ts"])
        last = np.searchsorted(finest["close_ts"], coarse["close_ts"], side="right")
        last = np.maximum(first, last)
        length = np.concatenate(([0], np.cumsum(finest["close_ts"] - finest["open_ts"])))
        bare = length[last] - length[first] != coarse["close_ts"] - coarse["open_ts"]
        # a finer bar across a border of the coarse bar stays, and the coarse bar gives way
        free_before = (first == 0) | (finest["close_ts"][np.maximum(first, 1) - 1] <= coarse["open_ts"])
        after = np.minimum(last, len(finest) - 1)
        free_after = (last == len(finest)) | (finest["open_ts"][after] >= coarse["close_ts"])
        take = bare & free_before & free_after
        if not take.any():
            continue
        edges = np.zeros(len(finest) + 1, dtype=np.int64)
        np.add.at(edges, first[take], 1)
        np.add.at(edges, last[take], -1)
        kept = finest[np.cumsum(edges[:-1]) == 0]
        rows = np.concatenate((kept, coarse[take]))
        finest = rows[np.argsort(rows["open_ts"], kind="stable")]
        finest.setflags(write=False)
    return finest
