"""Candles of a range from day files: midnight, gaps, days that lack, what is said of them."""

from __future__ import annotations

import polars as pl
import pytest

from framework.data import candles, day_bars, trade_bars
from framework.errors import ConfigError, DataError
from framework.times import DAY, HOUR, MINUTE, SECOND, parse_time
from tests.tick_files import csv_text, save, trade

D5 = parse_time("2023-04-05") // 1000
US_DAY, S = DAY // 1000, 1_000_000
DATES = ("2023-04-04", "2023-04-05", "2023-04-06", "2023-04-07")


def write(folder, days):
    """Trades files of some days; rows (time, local, id, price, amount), times in us since 2023-04-05."""
    for date, rows in days.items():
        cells = [trade(D5 + t, D5 + local, id, "buy", price, amount) for t, local, id, price, amount in rows]
        save(folder, "trades", csv_text("trades", cells) if cells else b"", day=date)
    return folder


def whole_day(n, price=10.0):
    """A trade in the first and the last second of the n-th day after 2023-04-05."""
    first, last = n * US_DAY + S // 2, (n + 1) * US_DAY - S // 2
    return [(first, first + 5, f"a{n}", price, 1), (last, last + 5, f"b{n}", price + 1, 1)]


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path, {DATES[1]: whole_day(0), DATES[2]: whole_day(1), DATES[3]: whole_day(2)})


def ask(files, start="2023-04-05", stop="2023-04-06", interval="1h", **options):
    return day_bars("made", "AAABBB", start, stop, interval, files=files, **options)


def test_a_trade_that_arrives_after_midnight_is_in_the_bar_of_its_day(tmp_path):
    late = (US_DAY - 2, US_DAY + 3 * S, "late", 99.5, 7)
    rows = [(US_DAY + 1, US_DAY + 9, "first", 12.0, 1), late, late, *whole_day(1)[1:]]
    files = write(tmp_path, {DATES[1]: whole_day(0), DATES[2]: rows})
    made = ask(files)
    assert made.rows[["high", "close", "volume", "trades"]].tolist()[-1] == (99.5, 99.5, 8.0, 2)
    assert made.complete.all()
    assert made.remarks == (
        "bars of 1h: 1 trade with a repeated id left out",
        "bars of 1h: 1 trade of an earlier bar than the newest, put into their own",
    )
    (files / "made_trades_2023-04-06_AAABBB.csv.gz").unlink()
    without = ask(files)
    assert without.rows["close"].tolist() == [10.0, 11.0]
    assert without.complete.tolist() == [True, False]
    assert without.remarks == (
        "trades: there is no file of 2023-04-06: trades of 2023-04-05 that arrived after midnight are not in "
        "the bars",
    )


def test_of_the_next_day_only_the_first_ten_minutes_are_read(tmp_path):
    rows = [(US_DAY, US_DAY, "x", 1, 1), (US_DAY - 1, US_DAY + 600 * S, "in", 50, 1),
            (US_DAY - 1, US_DAY + 600 * S + 1, "out", 60, 1)]  # fmt: skip
    files = write(tmp_path, {DATES[1]: whole_day(0), DATES[2]: rows})
    assert ask(files).rows["high"].max() == 50.0
    broken = (
        csv_text("trades", [trade(D5 + US_DAY + 601 * S + i, id=i) for i in range(20_000)]) + b"damaged\n"
    )
    save(files, "trades", broken, day=DATES[2], packed=False)
    (files / "made_trades_2023-04-06_AAABBB.csv.gz").unlink()
    assert len(ask(files)) == 2  # the damage lies far behind what is read
    with pytest.raises(DataError, match=r"made_trades_2023-04-06_AAABBB\.csv: row 20001"):
        ask(files, stop="2023-04-07")


def test_ids_repeat_across_midnight(tmp_path):
    again = (US_DAY - S // 2, US_DAY + 5, "b0", 11.0, 1)
    files = write(tmp_path, {DATES[1]: whole_day(0), DATES[2]: [again, *whole_day(1)]})
    assert ask(files).rows["trades"].tolist() == [1, 1]


def test_a_repeated_id_in_another_bar_makes_no_bar(tmp_path):
    again = (5 * HOUR // 1000, 5 * HOUR // 1000, "a0", 10.0, 1)
    files = write(tmp_path, {DATES[1]: [whole_day(0)[0], again, whole_day(0)[1]], DATES[2]: whole_day(1)})
    assert (ask(files).rows["open_ts"] // HOUR % 24).tolist() == [0, 23]


def test_fill_goes_on_over_days_and_not_over_days_without_a_file(folder):
    made = ask(folder, stop="2023-04-08", empty="fill")
    assert len(made) == 72
    assert made.rows["trades"].sum() == 6
    assert (made.rows["open_ts"][1:] == made.rows["close_ts"][:-1]).all()
    assert made.rows["close"][23:26].tolist() == [11.0, 10.0, 10.0]
    assert made.rows["close"][1] == made.rows["high"][1] == 10.0
    (folder / "made_trades_2023-04-06_AAABBB.csv.gz").unlink()
    holey = ask(folder, stop="2023-04-08", empty="fill")
    assert len(holey) == 48
    assert "trades: there is no file of 2023-04-06" in holey.remarks
    assert holey.complete.tolist() == [*[True] * 23, False, *[True] * 23, False]
    frame = holey.frame()
    assert frame["first_ts"].null_count() == 44
    market = holey.market("made:AAABBB")
    assert any("24 bars missing" in note for note in market.notes), market.notes


def test_fill_reaches_back_to_the_close_before_the_range(folder):
    made = ask(folder, "2023-04-05T12:00Z", "2023-04-05T15:00Z", empty="fill")
    assert made.rows["close"].tolist() == [10.0] * 3
    assert made.rows["trades"].tolist() == [0] * 3
    assert len(ask(folder, "2023-04-05T12:00Z", "2023-04-05T15:00Z")) == 0


def test_an_empty_day_is_a_day_without_trades(tmp_path):
    files = write(tmp_path, {DATES[1]: whole_day(0), DATES[2]: [], DATES[3]: whole_day(2)})
    made = ask(files, stop="2023-04-07", empty="fill")
    assert len(made) == 48
    assert made.complete.all()
    only = (
        write(tmp_path / "one", {}) if (tmp_path / "one").mkdir() else write(tmp_path / "one", {DATES[1]: []})
    )
    assert ask(only).frame().height == 0


def test_days_of_utc_weeks_from_monday_and_months(folder):
    days = ask(folder, stop="2023-04-08", interval="1d")
    assert days.rows["open_ts"].tolist() == [(D5 + n * US_DAY) * 1000 for n in range(3)]
    assert days.complete.tolist() == [True, True, False]  # nothing says what arrived after the last midnight
    week = ask(folder, "2023-04-03", "2023-04-04", "1w")
    assert week.rows[["open_ts", "trades"]].tolist() == [(parse_time("2023-04-03"), 6)]
    assert not week.complete.any()  # its first two days and the last two have no file
    month = ask(folder, "2023-04-01", "2023-05-01", "1mo")
    assert month.rows["close_ts"].tolist() == [parse_time("2023-05-01")]


def test_a_bar_of_the_range_ends_after_it(folder):
    made = ask(folder, "2023-04-05T22:10Z", "2023-04-05T23:10Z")
    assert made.rows["trades"].tolist() == [1]
    assert made.rows["close_ts"][0] == (D5 + US_DAY) * 1000
    assert ask(folder, "2023-04-05T00:00:01Z", "2023-04-05T01:00Z").rows["trades"].tolist() == []


def test_bars_of_trades_begin_with_the_range(folder):
    made = ask(folder, "2023-04-05T12:00Z", "2023-04-07T12:00Z", "2ticks")
    assert made.rows["trades"].tolist() == [2, 2]
    assert made.rows["open_ts"][0] == (D5 + US_DAY - S // 2) * 1000
    with pytest.raises(ConfigError, match="'2ticks' is no time"):
        candles("made", "AAABBB", "2023-04-05", "2023-04-06", "2ticks", files=folder)


def test_until_shows_nothing_that_arrives_later(folder):
    at = (D5 + US_DAY - S // 2) * 1000 + 4999
    assert ask(folder, until=at).rows["trades"].tolist() == [1]
    made = ask(folder, until=at + 1)
    assert made.rows["trades"].tolist() == [1, 1]
    assert made.complete.tolist() == [True, False]


def test_late_starts_and_early_ends_are_told(tmp_path):
    t = 7 * HOUR // 1000
    files = write(tmp_path, {DATES[1]: [(t, t + 9, "1", 10, 1), (t * 2, t * 2 + 9, "2", 10, 1)]})
    made = ask(files, interval="15m", empty="fill")
    assert made.remarks[-1].endswith("has rows from 07:00:00.000009Z to 14:00:00.000009Z only")
    assert made.complete.tolist() == [*[True] * 28, False]
    assert made.rows["close_ts"][-1] == (D5 + t * 2) * 1000 + 15 * MINUTE


def test_a_clock_that_is_behind_is_told(tmp_path):
    files = write(tmp_path, {DATES[1]: [(9000, 1000, "1", 10, 1), *whole_day(0)[1:]], DATES[2]: whole_day(1)})
    line = ask(files).remarks[-1]
    assert line.startswith("trades: exchange times lie up to 8 ms after their arrival; trades of the first")
    assert "the file of 2023-04-04" in line
    assert ask(files, "2023-04-05T01:00Z").remarks == ()


def test_finer_decimals_than_known_begin_again(tmp_path):
    rows = [(i * S, i * S + 5, str(i), price, amount)
            for i, (price, amount) in enumerate([(10, 1), (10.25, 0.5), (10.125, 0.001)])]  # fmt: skip
    made = ask(write(tmp_path, {DATES[1]: rows}), interval="1d")
    assert made.rows[["high", "close", "volume", "trades"]].tolist() == [(10.25, 10.125, 1.501, 3)]


def test_bars_of_files_are_those_of_the_frame(folder):
    frame = pl.concat([pl.read_csv(f, schema_overrides={"id": pl.String}) for f in sorted(folder.iterdir())])
    for size in ("15m", "1d"):
        ours = ask(folder, stop="2023-04-08", interval=size).rows
        assert (trade_bars(frame, size).rows == ours).all()


def test_wrong_arguments(folder, tmp_path):
    with pytest.raises(ConfigError, match="stop: 2023-04-05T00:00:00Z is not after start 2023-04-06T00"):
        ask(folder, "2023-04-06", "2023-04-05")
    with pytest.raises(ConfigError, match=r"stop: .* is not after start"):
        ask(folder, "2023-04-06", "2023-04-06")
    with pytest.raises(ConfigError, match="'yesterday' is no ISO date"):
        ask(folder, "yesterday")
    with pytest.raises(ConfigError, match=r"'5min' has an unknown unit; .*written like 5m"):
        ask(folder, interval="5min")
    with pytest.raises(ConfigError, match="not both"):
        ask(folder, store=tmp_path)
    with pytest.raises(DataError, match=r"binanc:BTCUSDT; .*did you mean binance"):
        day_bars("binanc", "BTCUSDT", "2023-04-05", "2023-04-06", "1h", files=folder)
    with pytest.raises(ConfigError, match="Tardis calls it okex"):
        day_bars("okx", "BTC-USDT", "2023-04-05", "2023-04-06", "1h", files=folder)
    with pytest.raises(ConfigError, match="symbol: 'BTC USDT' is no symbol"):
        day_bars("binance", "BTC USDT", "2023-04-05", "2023-04-06", "1h", files=folder)
    quotes = save(tmp_path, "quotes", csv_text("quotes", []))
    with pytest.raises(DataError, match="no trades file of made:AAABBB"):
        ask([quotes])


def test_a_range_no_file_is_of(folder):
    made = ask(folder, "2023-03-01", "2023-03-03")
    assert made.frame().height == 0
    assert made.remarks[:2] == (
        "trades: there is no file of 2023-03-01",
        "trades: there is no file of 2023-03-02",
    )


def test_a_damaged_row_is_named(tmp_path):
    rows = csv_text("trades", [trade(D5, id=1), trade(D5 + 10, id=2, price="ten")])
    save(tmp_path, "trades", rows)
    with pytest.raises(
        DataError, match=r"made_trades_2023-04-05_AAABBB\.csv\.gz: row 2: price = ten: is no finite number"
    ):
        ask(tmp_path)


def test_seconds(folder):
    made = ask(folder, "2023-04-05", "2023-04-05T00:00:03Z", "1s", empty="fill")
    assert len(made) == 3
    assert made.rows["close_ts"][0] - made.rows["open_ts"][0] == SECOND
