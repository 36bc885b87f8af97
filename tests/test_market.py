"""Market: reading frames, and refusing rows that cannot be trusted."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import ConfigError, DataError
from framework.instruments import Instrument
from framework.market import Market
from framework.records import BAR
from framework.times import DAY, HOUR, MINUTE, MONTH
from tests.market_frames import ID, T0, candles, market


def text_of(error):
    """Message of a caught error, checked to be one line."""
    message = str(error.value)
    assert "\n" not in message
    return message


def test_columns_become_bars():
    m = market(3)
    rows = m.bars[0, MINUTE]
    assert rows.dtype == BAR
    assert rows["open_ts"].tolist() == [T0, T0 + MINUTE, T0 + 2 * MINUTE]
    assert (rows["close_ts"] - rows["open_ts"] == MINUTE).all()
    assert (m.start, m.stop, m.intervals(0)) == (T0, T0 + 3 * MINUTE, (MINUTE,))
    assert m.instruments[0].tick_size == 0.01
    assert m.gaps == ()
    assert not rows.flags.writeable
    with pytest.raises(AttributeError):
        m.name = "other"


def test_every_way_to_load_gives_the_same_content():
    frame = candles(500)
    stamps = pd.to_datetime(frame["open_time_ms"].to_numpy(), unit="ms", utc=True)
    table = pd.DataFrame({name: frame[name].to_numpy() for name in frame.columns[1:]})
    polars_time = frame.with_columns(
        ts=pl.from_epoch("open_time_ms", "ms").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo")
    ).drop("open_time_ms")
    columns = {name: frame[name].to_numpy() for name in frame.columns}
    close_ms = frame.with_columns(pl.col("open_time_ms") + 60_000).rename({"open_time_ms": "close_time_ms"})
    texts = pl.from_epoch("open_time_ms", "ms").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    base = Market.from_candles(frame, ID, "1m", "open")
    others = [
        Market.from_candles(frame.lazy(), ID, "1m", "open"),
        Market.from_candles(frame.rename({"open_time_ms": "t"}), ID, "1m", "open", time="t", unit="ms"),
        Market.from_candles(table.set_index(stamps), ID, "1m", "open", name="another name"),
        Market.from_candles(table.assign(time=stamps.as_unit("ms")), Instrument("a:B"), MINUTE, "open"),
        Market.from_candles(polars_time, ID, "1m", "open"),
        Market.from_candles(columns, ID, "1m", "open"),
        Market.from_candles(close_ms, ID, "1m", "close"),
        Market.from_candles(base.bars[0, MINUTE], ID),
        Market.from_candles(base.bars[0, MINUTE], ID, "1m", "open", time="open_ts", unit="ns"),
        Market.from_candles(frame.rename({"close": "Close", "open": "OPEN"}), ID, "1m", "open"),
        Market.from_candles(frame.with_columns(ts=texts).drop("open_time_ms"), ID, "1m", "open"),
    ]  # fmt: skip
    assert {m.content_hash() for m in others} == {base.content_hash()}
    assert base.slice(None, T0 + HOUR).content_hash() != base.content_hash()


def test_each_value_changes_the_hash():
    rows = market(50).bars[0, MINUTE]
    seen = {Market.from_candles(rows, ID).content_hash()}
    for name, change in (("high", 0.01), ("low", -0.01), ("volume", 0.001)):
        other = rows.copy()
        other[name][7] += change
        seen.add(Market.from_candles(other, ID).content_hash())
    seen.add(Market.from_candles(rows[:-1], ID).content_hash())
    seen.add(Market.from_candles(rows, ID).resample("5m").content_hash())
    assert len(seen) == 6


def test_calendar_months():
    stamps = [datetime(2024, month, 1, tzinfo=UTC) for month in (1, 2, 3, 5)]
    frame = candles(4).drop("open_time_ms").with_columns(ts=pl.Series(stamps))
    m = Market.from_candles(frame, ID, "1mo", "open")
    days = (m.bars[0, MONTH]["close_ts"] - m.bars[0, MONTH]["open_ts"]) // DAY
    assert days.tolist() == [31, 29, 31, 31]
    assert (m.gaps[0].places, m.gaps[0].missing) == (1, 1)
    shut = Market.from_candles(frame, ID, "1mo", "close")
    assert ((shut.bars[0, MONTH]["close_ts"] - shut.bars[0, MONTH]["open_ts"]) // DAY).tolist() == [
        31,
        31,
        29,
        30,
    ]
    with pytest.raises(DataError, match="no start of a month"):
        Market.from_candles(candles(4, DAY), ID, "1mo", "open")
    assert Market.from_candles(m.bars[0, MONTH], ID).intervals(0) == (MONTH,)


def test_own_open_and_close_times():
    rows = market(10).bars[0, MINUTE]
    assert (
        Market.from_candles(pl.DataFrame(rows), ID, unit="ns").content_hash()
        == Market.from_candles(rows, ID).content_hash()
    )
    uneven = rows.copy()
    uneven["close_ts"][3] -= MINUTE // 2
    m = Market.from_candles(uneven, ID)
    assert m.intervals(0) == (MINUTE,)
    assert m.gaps[0].places == 1
    with pytest.raises(DataError, match=r"row 4: close_ts = .* is not 1m after open_ts"):
        Market.from_candles(uneven, ID, "1m")
    uneven["close_ts"][3] += MINUTE
    with pytest.raises(DataError, match=r"row 5: open_ts = .*overlap"):
        Market.from_candles(uneven, ID)
    uneven["close_ts"][3] = uneven["open_ts"][3]
    with pytest.raises(DataError, match="row 4: close_ts"):
        Market.from_candles(uneven, ID)


def set_cell(name, value, row=3):
    return lambda f: f.with_columns(
        pl.when(pl.int_range(pl.len()) == row).then(value).otherwise(pl.col(name)).alias(name)
    )


REFUSED = [
    (set_cell("close", float("nan")), r"row 4: close = nan: is no finite number"),
    (set_cell("volume", None), r"row 4: volume = null: is no finite number"),
    (set_cell("high", float("inf")), r"row 4: high = inf: is no finite number"),
    (set_cell("low", 0.0), r"row 4: low = 0.0: is zero"),
    (set_cell("open", -1.0), r"row 4: open = -1.0: is below zero"),
    (set_cell("volume", -0.5), r"row 4: volume = -0.5: is below zero"),
    (set_cell("high", 1.0), r"row 4: high = 1.0: is below low"),
    (set_cell("close", 1.0), r"row 4: close = 1.0: is outside low"),
    (set_cell("open", 9e9), r"row 4: open = 9000000000.0: is outside low"),
    (lambda f: f[::-1], r"row 2: open_time_ms = 2024-01-01T00:58:00Z: is before the row above; sort"),
    (
        lambda f: pl.concat([f[:5], f[4:]]),
        r"row 6: open_time_ms = 2024-01-01T00:04:00Z: repeats the row .* duplicate",
    ),
    (lambda f: f.rename({"close": "clos"}), r"no column 'close'; did you mean clos"),
    (lambda f: f.drop("volume"), r"no column 'volume'"),
    (lambda f: f.rename({"open_time_ms": "ts"}), r"ts holds whole numbers; say unit="),
    (lambda f: f.rename({"open_time_ms": "when"}), r"which column is the time\? say time= one of when, open"),
    (lambda f: f.with_columns(ts=pl.col("open_time_ms")), r"open_time_ms, ts may all be the time; say time="),
    (lambda f: f.with_columns(pl.from_epoch("open_time_ms", "ms")), r"has no time zone; say which it is"),
    (
        lambda f: f.with_columns(pl.lit("2024-01-01 00:00").alias("open_time_ms")),
        r"row 1: .*has no time zone",
    ),
    (
        lambda f: f.with_columns(pl.lit("soon").alias("open_time_ms")),
        r"row 1: open_time_ms = soon: is no ISO date",
    ),
    (lambda f: f.with_columns(pl.col("close").cast(pl.String)), r"row 1: close = .*is no number"),
    (lambda f: f.with_columns(pl.lit("x").alias("close")), r"row 1: close = x: is no number"),
    (lambda f: f[:0], r"there is no row"),
    (lambda f: f[::5], r"no two rows are 1m apart, the nearest are 5m; say interval='5m'"),
    (
        lambda f: f.with_columns(pl.col("open_time_ms") * 1000),
        r"row 1: .*no time between 1970 and 2255 in ms; check unit",
    ),
    (lambda f: f.with_columns(pl.col("open_time_ms") + 0.5), r"is no whole number of ms"),
    (
        set_cell("open_time_ms", 1704067200000 + 179_000),
        r"row 4: .* is 59s after the row above, no multiple of 1m",
    ),
]


@pytest.mark.parametrize(("spoil", "words"), REFUSED)
def test_bad_rows_are_refused_with_place_and_fix(spoil, words):
    with pytest.raises(DataError, match=words) as caught:
        Market.from_candles(spoil(candles(60)), ID, "1m", "open", source="my file")
    assert text_of(caught).startswith("my file: ")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stamp": None}, 'say stamp="open" or stamp="close"'),
        ({"stamp": "opened"}, "did you mean open"),
        ({"stamp": "close"}, "contradicts the column 'open_time_ms'"),
        ({"interval": None}, 'how long is a bar\\? say interval="1m"'),
        ({"interval": "1min"}, "is not a bar interval"),
        ({"unit": "m"}, "unit: unknown 'm'"),
        ({"unit": "s"}, "the name 'open_time_ms' says ms"),
        ({"gaps": "ignore"}, "gaps: unknown"),
        ({"instrument": "BTCUSDT"}, "is no id"),
        ({"frame": [1, 2]}, "is no table"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        Market.from_candles(
            **{"frame": candles(9), "instrument": ID, "interval": "1m", "stamp": "open", **options}
        )


def test_missing_options_name_columns():
    with pytest.raises(DataError, match="no column 'opened'; did you mean open"):
        Market.from_candles(candles(9), ID, "1m", "open", time="opened")
    late = candles(9).with_columns(close_time_ms=pl.col("open_time_ms") + 59_999)
    assert len(Market.from_candles(late, ID, "1m", "open").match_bars(0)) == 9
    with pytest.raises(DataError, match="inclusive end"):
        Market.from_candles(late, ID, "1m", "close")


def test_naive_pandas_is_refused():
    table = candles(9).to_pandas()
    table.index = pd.to_datetime(table.pop("open_time_ms"), unit="ms")
    with pytest.raises(DataError, match="no time zone"):
        Market.from_candles(table, ID, "1m", "open")
    table.index = table.index.tz_localize("UTC")
    assert Market.from_candles(table, ID, "1m", "open").content_hash() == market(9).content_hash()


def test_zero_volume_is_fine():
    assert Market.from_candles(candles(9).with_columns(volume=0.0), ID, "1m", "open").stop == T0 + 9 * MINUTE


def test_gaps_are_counted_or_refused():
    frame = candles(60, keep=[*range(10), *range(13, 40), *range(41, 60)])
    m = Market.from_candles(frame, ID, "1m", "open")
    gap = m.gaps[0]
    assert (gap.instrument, gap.interval, gap.places, gap.missing, gap.first_ts) == (
        0,
        MINUTE,
        2,
        4,
        T0 + 10 * MINUTE,
    )
    assert m.notes == ("binance:BTCUSDT 1m: 2 gaps, 4 bars missing, the first at 2024-01-01T00:10:00Z",)
    with pytest.raises(DataError, match="2 gaps, 4 bars missing"):
        Market.from_candles(frame, ID, "1m", "open", gaps="refuse")
    Market.from_candles(candles(60), ID, "1m", "open", gaps="refuse")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_spoiled_cell_is_refused(data):
    rows = market(40).bars[0, MINUTE].copy()
    name = data.draw(st.sampled_from(["open", "high", "low", "close", "volume"]))
    rows[name][data.draw(st.integers(0, 39))] = data.draw(
        st.sampled_from([np.nan, np.inf, -np.inf, -1.0, -1e-9])
    )
    with pytest.raises(DataError, match=f" {name} = "):
        Market.from_candles(rows, ID)
