"""Times, durations and bar intervals as int64 nanoseconds UTC, in words and in numbers.

A calendar month has no fixed length: `MONTH` is only the number that stands for it (the mean Gregorian month,
30.436875 days); bars of n months carry their true `open_ts` and `close_ts` and the interval n * MONTH.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.errors import ConfigError

Times = NDArray[np.int64]

MICROSECOND, MILLISECOND, SECOND = 1_000, 1_000_000, 1_000_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
WEEK = 7 * DAY
MONTH = 2_629_746 * SECOND
LATEST = 9_000_000_000 * SECOND  # 2255-03-14; a later stamp comes from a wrong unit

UNITS = {"s": SECOND, "ms": MILLISECOND, "us": MICROSECOND, "ns": 1}
INTERVAL_UNITS = {"ms": MILLISECOND, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK, "mo": MONTH}
DURATION_UNITS = {
    "ns": 1,
    "us": MICROSECOND,
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
    "d": DAY,
}

MONDAY = 4 * DAY  # 1970-01-05, the first Monday of the epoch: weeks begin there
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+)\s*")


def parse_interval(text: str | int) -> int:
    """Return a bar interval in ns.

    Parameters
    ----------
    text : str or int
        A whole number and a unit (`"1m" "15m" "4h" "1d" "1w" "1mo"`; m = minutes, mo = calendar months), or
        ns.

    Raises
    ------
    ConfigError
        Unknown unit, zero, a fraction, or a value that is neither text nor int.
    """
    if isinstance(text, int | np.integer) and not isinstance(text, bool):
        value = int(text)
    else:
        match = AMOUNT.fullmatch(text) if isinstance(text, str) else None
        unit = match and (match[2] if match[2] in INTERVAL_UNITS else match[2].lower())
        if match is None or unit not in INTERVAL_UNITS or not match[1].isdigit() or match[2] == "M":
            raise ConfigError(
                f"interval: {text!r} is not a bar interval; write it like 1m, 15m, 1h, 1d, 1w or 1mo"
            )
        value = int(match[1]) * INTERVAL_UNITS[unit]
    if value <= 0:
        raise ConfigError(f"interval: {text!r} is not longer than zero; write it like 1m, 1h or 1d")
    return value


def months_in(interval: int) -> int:
    """Return the number of calendar months an interval stands for; 0 for an interval of fixed length."""
    return interval // MONTH if interval % MONTH == 0 else 0


def format_interval(interval: int) -> str:
    """Return an interval in words that `parse_interval` reads back, `"1h"`; odd lengths as `"90000000ns"`."""
    for unit in ("mo", "w", "d", "h", "m", "s", "ms"):
        if interval >= INTERVAL_UNITS[unit] and interval % INTERVAL_UNITS[unit] == 0:
            return f"{interval // INTERVAL_UNITS[unit]}{unit}"
    return f"{interval}ns"


def parse_duration(text: str | int | timedelta) -> int:
    """Return a length of time in ns.

    Parameters
    ----------
    text : str, int or timedelta
        `"20ms"`, `"1.5s"`, `"250us"`, `"2h"`, `"0"`; an int is ns.

    Raises
    ------
    ConfigError
        No unit, an unknown unit, or a negative length.
    """
    value: int | None = None
    if isinstance(text, timedelta):
        value = text // timedelta(microseconds=1) * MICROSECOND
    elif isinstance(text, int | np.integer) and not isinstance(text, bool):
        value = int(text)
    elif isinstance(text, str) and text.strip() == "0":
        value = 0
    elif isinstance(text, str) and (match := AMOUNT.fullmatch(text)) and match[2] in DURATION_UNITS:
        value = round(float(match[1]) * DURATION_UNITS[match[2]])
    if value is None:
        raise ConfigError(
            f"duration: {text!r} is not a length of time; write it like 20ms, 1.5s or 2h (ints are ns)"
        )
    if value < 0:
        raise ConfigError(f"duration: {text!r} is negative; give 0 or more")
    return value


def parse_time(value: Any) -> int:
    """Return an instant in ns since 1970-01-01 UTC.

    Parameters
    ----------
    value : int, str, date or datetime
        ns, an ISO 8601 date or time (`2025-05-04`, `2025-05-04 12:30`, `2025-05-04T12:30:00+02:00`; without
        an offset the text is UTC, like everything here), a `date` (UTC midnight) or a `datetime` with a time
        zone.

    Raises
    ------
    ConfigError
        A naive `datetime`, a float, or text that is no ISO time.
    """
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        return parse_text(value, naive_is_utc=True)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ConfigError(f"time: {value} has no time zone; add tzinfo=datetime.UTC")
        return nanoseconds(value) + int(getattr(value, "nanosecond", 0))
    if isinstance(value, date):
        return (value - EPOCH.date()).days * DAY
    raise ConfigError(
        f"time: {value!r} is no instant; give an ISO date or time such as 2025-05-04, or ns as an int"
    )


def parse_text(text: str, naive_is_utc: bool) -> int:
    """Return the instant of an ISO 8601 text in ns; a bare date is UTC midnight."""
    body, extra = cut_nanoseconds(text.strip())
    try:
        moment = datetime.fromisoformat(body)
    except ValueError:
        raise ConfigError(
            f"time: {text!r} is no ISO date or time; write it like 2025-05-04 or 2025-05-04T12:30Z"
        ) from None
    if moment.tzinfo is None:
        if not naive_is_utc and len(body) > 10:
            raise ConfigError(f"time: {text!r} has no time zone; add Z (UTC) or an offset such as +00:00")
        moment = moment.replace(tzinfo=UTC)
    return nanoseconds(moment) + extra


def cut_nanoseconds(text: str) -> tuple[str, int]:
    """Split off what lies below a microsecond, which `datetime` cannot hold."""
    match = re.fullmatch(r"(.*\.\d{6})(\d{1,3})(.*)", text)
    if match is None:
        return text, 0
    return match[1] + match[3], int(match[2].ljust(3, "0"))


def nanoseconds(moment: datetime) -> int:
    """Return the ns since the epoch of a datetime with a time zone, exactly."""
    return (moment - EPOCH) // timedelta(microseconds=1) * MICROSECOND


def format_time(ts: int) -> str:
    """Return an instant in ISO 8601 with Z, with no more digits than it needs: `2025-05-04T12:30:00Z`."""
    seconds, rest = divmod(int(ts), SECOND)
    text = (EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{rest:09d}".rstrip("0") if rest else "") + "Z"


def month_index(ts: Times) -> Times:
    """Return for each instant the number of its UTC month, 0 = January 1970."""
    return ts.astype("M8[ns]").astype("M8[M]").astype(np.int64)


def month_start(index: Times) -> Times:
    """Return the first instant (ns) of each month number."""
    return index.astype("M8[M]").astype("M8[ns]").astype(np.int64)


def floor_time(ts: Times, interval: int) -> Times:
    """Return the start of the interval each instant lies in (UTC; weeks begin on Monday)."""
    if months := months_in(interval):
        return month_start(month_index(ts) // months * months)
    anchor = MONDAY if interval % WEEK == 0 else 0
    return (ts - anchor) // interval * interval + anchor


def add_interval(ts: Times, interval: int, count: int | Times = 1) -> Times:
    """Return the instants `count` intervals later (one count for all or one each); months keep the first of
    the month they start on.
    """
    if months := months_in(interval):
        index = month_index(ts)
        return month_start(index + months * count) + (ts - month_start(index))
    return ts + interval * count
