"""Times, durations and intervals in words and numbers."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framework import times
from framework.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1m", 60_000_000_000),
        ("15m", 900_000_000_000),
        ("4h", 4 * times.HOUR),
        ("1d", times.DAY),
        ("1w", times.WEEK),
        ("1mo", times.MONTH),
        (60_000_000_000, times.MINUTE),
        (np.int64(5), 5),
    ],
)
def test_interval_words(text, value):
    assert times.parse_interval(text) == value


@pytest.mark.parametrize(
    "text", ["", "1", "m", "0m", "-1m", "1.5h", "1M", "1y", "1 fortnight", 0, -5, True, None, 1.0]
)
def test_interval_refused(text):
    with pytest.raises(ConfigError, match="interval"):
        times.parse_interval(text)


@given(st.integers(1, 10_000), st.sampled_from(["ms", "s", "m", "h", "d", "w", "mo"]))
def test_interval_round_trip(count, unit):
    value = times.parse_interval(f"{count}{unit}")
    assert times.parse_interval(times.format_interval(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20ms", 20_000_000),
        ("1.5s", 1_500_000_000),
        ("250us", 250_000),
        ("0", 0),
        ("0ms", 0),
        (0, 0),
        (7, 7),
        (timedelta(milliseconds=3), 3_000_000),
    ],
)
def test_duration_words(text, value):
    assert times.parse_duration(text) == value


@pytest.mark.parametrize("text", ["20", "20 parsec", -1, "-1ms", 0.02, True, None, timedelta(seconds=-1)])
def test_duration_refused(text):
    with pytest.raises(ConfigError, match="duration"):
        times.parse_duration(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2025-05-04", "2025-05-04T00:00:00Z"),
        ("2025-05-04 12:30", "2025-05-04T12:30:00Z"),
        ("2025-05-04T12:30:00+02:00", "2025-05-04T10:30:00Z"),
        ("2025-05-04T12:30:00.123456789Z", "2025-05-04T12:30:00.123456789Z"),
        (date(2025, 5, 4), "2025-05-04T00:00:00Z"),
        (datetime(2025, 5, 4, 2, tzinfo=timezone(timedelta(hours=2))), "2025-05-04T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
    ],
)
def test_time_words(value, text):
    assert times.format_time(times.parse_time(value)) == text


@pytest.mark.parametrize("value", [datetime(2025, 5, 4), "yesterday", 1.5, None, True])  # noqa: DTZ001
def test_time_refused(value):
    with pytest.raises(ConfigError, match="time"):
        times.parse_time(value)


@given(st.integers(0, times.LATEST))
def test_time_round_trip(ts):
    assert times.parse_time(times.format_time(ts)) == ts


def test_weeks_begin_on_monday_and_months_on_the_first():
    ts = np.array([times.parse_time(t) for t in ("2024-02-29T23:59:59", "2024-03-01", "2023-12-31")])
    weeks = [times.format_time(t)[:10] for t in times.floor_time(ts, times.WEEK)]
    assert weeks == ["2024-02-26", "2024-02-26", "2023-12-25"]
    months = [times.format_time(t)[:10] for t in times.floor_time(ts, times.MONTH)]
    assert months == ["2024-02-01", "2024-03-01", "2023-12-01"]
    ends = [
        times.format_time(t)[:10] for t in times.add_interval(times.floor_time(ts, times.MONTH), times.MONTH)
    ]
    assert ends == ["2024-03-01", "2024-04-01", "2024-01-01"]
    quarters = [times.format_time(t)[:10] for t in times.floor_time(ts, 3 * times.MONTH)]
    assert quarters == ["2024-01-01", "2024-01-01", "2023-10-01"]


def test_months_against_the_calendar(seed):
    rng = np.random.default_rng(seed)
    for ts in rng.integers(0, 4_000_000_000, 500) * times.SECOND:
        moment = datetime.fromtimestamp(int(ts) // times.SECOND, tz=UTC)
        first = datetime(moment.year, moment.month, 1, tzinfo=UTC)
        assert int(times.floor_time(np.array([ts]), times.MONTH)[0]) == times.parse_time(first)
