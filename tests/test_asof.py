"""Book, last trades and candles as they were known at a moment."""

from __future__ import annotations

import dataclasses
import random
import threading
import time

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from framework import book_at, from_tardis
from framework.data import BarMaker, market_data, order_book, recent_trades
from framework.data.ask import History, RecentTrades
from framework.data.bars import Trades
from framework.errors import ConfigError, DataError
from framework.times import MICROSECOND, format_time, parse_time
from tests.naive import bars as naive
from tests.tick_files import DAY, change_rows, csv_text, random_changes, random_views, save, trade, view_rows

US_DAY = 86_400_000_000


def trades_of_days(rng, days=2, count=900):
    """Random trades of some days: several a moment, repeated ids, also across midnight."""
    found, every = {}, []
    for n in range(days):
        local, rows = DAY + n * US_DAY + 500, []
        for i in range(count):
            local += rng.choice((0, 0, 1, 40_000, 90_000_000))
            side = rng.choice(("buy", "sell", ""))
            price, amount = str(rng.randint(900, 1100) / 10), str(rng.choice((0, 1, 5, 1250)) / 1000)
            rows.append(naive.Trade(local - rng.randint(0, 90_000), local, f"{n}-{i}", side, price, amount))
            if rng.random() < 0.2 and every + rows:
                again = rng.choice((every + rows)[-400:])
                rows.append(again._replace(local=local))
        found[n] = rows
        every += rows
    return found, every


def write(folder, days):
    for n, rows in days.items():
        cells = [trade(t.ts, t.local, t.id, t.side, t.price, t.amount) for t in rows]
        save(folder, "trades", csv_text("trades", cells), day=f"2023-04-0{5 + n}")
    return folder


def test_last_trades_are_those_that_had_arrived(tmp_path, seed):
    rng = random.Random(seed)
    days, every = trades_of_days(rng)
    files = write(tmp_path, days)
    for n in (1, 7, 100, 2000):
        for at in [rng.choice(every).local + rng.choice((-1, 0, 1)) for _ in range(4)]:
            known = naive.kept([t for t in every if t.local <= at])[-n:]
            made = recent_trades("made", "AAABBB", at * MICROSECOND, n, files=files)
            assert made.rows["local_timestamp"].dt.epoch("us").to_list() == [t.local for t in known]
            assert made.rows["timestamp"].dt.epoch("us").to_list() == [t.ts for t in known]
            assert made.rows["side"].to_list() == [t.side or "unknown" for t in known]
            assert made.rows["price"].to_list() == [float(t.price) for t in known]
            if not known:
                continue
            bar = naive.bar(None, known)
            assert (made.volume, made.buy_volume, made.sell_volume) == (
                bar["volume"], bar["buy_volume"], bar["sell_volume"],
            )  # fmt: skip
            assert made.vwap == pytest.approx(bar["vwap"], rel=1e-14)
            assert made.last == float(known[-1].price)


def test_no_trade_yet(tmp_path):
    files = write(tmp_path, {0: [naive.Trade(DAY + 50, DAY + 60, "1", "buy", "10", "1")]})
    made = recent_trades("made", "AAABBB", (DAY + 59) * MICROSECOND, 5, files=files)
    assert len(made) == 0
    assert made.volume == 0.0
    assert np.isnan([made.vwap, made.last, made.imbalance]).all()
    assert len(recent_trades("made", "AAABBB", (DAY + 60) * MICROSECOND, 5, files=files)) == 1


@pytest.mark.parametrize("kind", ["incremental_book_L2", "book_snapshot_5", "quotes"])
def test_books_are_those_of_the_market(tmp_path, kind, seed):
    rng = random.Random(f"{seed} {kind}")
    if kind == "incremental_book_L2":
        days = [change_rows(rows) for rows in random_changes(rng, 2, 400, 20)]
    else:
        days = [view_rows(rows, kind) for rows in random_views(rng, 2, 200, 1 if kind == "quotes" else 5)]
    for n, rows in enumerate(days):
        save(tmp_path, kind, csv_text(kind, rows), day=f"2023-04-0{5 + n}")
    market = from_tardis(tmp_path)
    times = market.books[0].messages["local_ts"][:-1]
    first = int(times[0])
    for at in [int(rng.choice(times)) + rng.choice((-MICROSECOND, 0, 1)) for _ in range(30)]:
        if at >= first:
            mine = order_book("made", "AAABBB", at, 3, files=tmp_path)
            same(mine, book_at(market, None, at).snapshot(3))
    with pytest.raises(DataError, match=r"none was known at 2023-04-05T00:00:00"):
        order_book("made", "AAABBB", first - 1, files=tmp_path)


def same(mine, other):
    """Compare snapshots; NaN equals NaN."""
    for name, one, two in zip(
        mine.__slots__, dataclasses.astuple(mine), dataclasses.astuple(other), strict=True
    ):
        assert one == two or (one != one and two != two), name


def test_until_its_first_snapshot_a_day_has_the_book_of_the_day_before(tmp_path):
    def rows(start, tick):
        return change_rows([(start, start, True, 0, tick, 5), (start, start, True, 1, tick + 1, 7)])

    save(tmp_path, "incremental_book_L2", csv_text("incremental_book_L2", rows(DAY + 9, 1000)))
    late = DAY + US_DAY + 5_000_000
    save(tmp_path, "incremental_book_L2", csv_text("incremental_book_L2", rows(late, 2000)), day="2023-04-06")
    book = order_book("made", "AAABBB", (late - 1) * MICROSECOND, files=tmp_path)
    assert (book.bids, book.local_ts) == (((100.0, 0.005),), (DAY + 9) * MICROSECOND)
    assert order_book("made", "AAABBB", late * MICROSECOND, files=tmp_path).bids == ((200.0, 0.005),)
    (tmp_path / "made_incremental_book_L2_2023-04-05_AAABBB.csv.gz").unlink()
    with pytest.raises(DataError, match="get the day before"):
        order_book("made", "AAABBB", (late - 1) * MICROSECOND, files=tmp_path)


def test_demo_book_and_trades(data_dir):
    files = [f for f in sorted((data_dir / "demo").iterdir()) if "L2" in f.name or "trades" in f.name]
    market = from_tardis(files)
    for at in ("2024-08-08T23:54:20Z", "2024-08-09T00:00:00.5Z", "2024-08-09T00:04:59.123456Z"):
        data = market_data("binance", "BTC-USDT", at, files=data_dir / "demo", trades=50)
        same(data.book, book_at(market, None, at).snapshot(20))
        rows = market.trades[0]
        rows = rows[rows["local_ts"] <= parse_time(at)][-50:]
        assert data.trades.rows["local_timestamp"].dt.epoch("ns").to_list() == rows["local_ts"].tolist()
        assert data.trades.volume == rows["lots"].sum() / 1e6
        assert (data.symbol, data.at) == ("binance:BTCUSDT", parse_time(at))


def test_nothing_that_arrives_later_changes_an_answer(tmp_path, seed):
    """The same questions of files that end at the moment, and of files with nonsense after it."""
    rng = random.Random(seed)
    days, every = trades_of_days(rng, days=2, count=300)
    books = random_changes(rng, 2, 300, 20)
    moments = sorted(rng.sample([t.local for t in every if t.local > DAY + 10_000_000], 5))
    for i, at in enumerate(moments):
        answers = []
        for name, spoil in (("cut", None), ("spoilt", 9)):
            folder = tmp_path / f"{name}{i}"
            folder.mkdir()
            shown = {
                n: [t if t.local <= at else t._replace(price="9999", amount="777", ts=t.ts - 400_000_000)
                    for t in rows if spoil or t.local <= at]
                for n, rows in days.items()
            }  # fmt: skip
            write(folder, shown)
            for n, rows in enumerate(books):
                rows = [
                    r if r[1] <= at else (*r[:4], 1000 + 40 * r[3], 5) for r in rows if spoil or r[1] <= at
                ]
                if rows:
                    content = csv_text("incremental_book_L2", change_rows(rows))
                    save(folder, "incremental_book_L2", content, day=f"2023-04-0{5 + n}")
            history = History("made", "AAABBB", at * MICROSECOND, files=folder)
            if (
                at >= DAY + US_DAY
                and not (folder / "made_incremental_book_L2_2023-04-06_AAABBB.csv.gz").exists()
            ):
                continue
            answers.append(
                (history.book(), history.trades(50), history.candles("1m", 30), history.candles("1h", 4))
            )
        if len(answers) == 2:
            same(answers[0][0], answers[1][0])
            for one, two in zip(answers[0][1:], answers[1][1:], strict=True):
                assert_frame_equal(one, two)


def test_candles_end_before_the_moment(tmp_path):
    rows = [naive.Trade(DAY + s * 1_000_000, DAY + s * 1_000_000 + 5, str(s), "buy", str(10 + s), "1")
            for s in (0, 61, 100, 130, 185)]  # fmt: skip
    history = History("made", "AAABBB", (DAY + 185_000_004) * MICROSECOND, files=write(tmp_path, {0: rows}))
    frame = history.candles("1m", 2)
    assert frame["close"].to_list() == [110.0, 140.0]
    assert frame["close_ts"].dt.epoch("ns").max() <= history.at
    assert history.candles("1m", 99).height == 3  # no more are known
    assert history.candles("30s", 3)["volume"].to_list() == [1.0, 1.0, 0.0]


def test_sums_of_trades():
    frame = pl.DataFrame(
        {"timestamp": [1, 2, 3], "local_timestamp": [1, 2, 3], "side": ["buy", "sell", "unknown"],
         "price": [1.0, 2.0, 4.0], "amount": [0.1, 0.2, 0.3]}
    ).with_columns(pl.col("timestamp", "local_timestamp").cast(pl.Datetime("us", "UTC")))  # fmt: skip
    made = RecentTrades.of(frame)
    assert (made.volume, made.buy_volume, made.sell_volume, made.last) == (0.6, 0.1, 0.2, 4.0)
    assert made.imbalance == pytest.approx(-1 / 3)
    assert made.vwap == pytest.approx(1.7 / 0.6)


def test_wrong_questions(tmp_path, data_dir):
    files = write(tmp_path, {0: [naive.Trade(DAY + 50, DAY + 60, "1", "buy", "10", "1")]})
    at = (DAY + 60) * MICROSECOND
    with pytest.raises(DataError, match="made:AAABBB trades: there is no file of 2023-04-06"):
        recent_trades("made", "AAABBB", "2023-04-06T12:00Z", files=files)
    with pytest.raises(DataError, match="there is no file of incremental_book_L2, book_snapshot_25"):
        order_book("made", "AAABBB", at, files=files)
    with pytest.raises(
        DataError, match=r"binance:BTCUSDT incremental_book_L2: there is no file of 2024-08-10"
    ):
        order_book("binance", "BTCUSDT", "2024-08-10T00:01Z", files=data_dir / "demo")
    for count in (0, -1, 1.5, True, 10**9):
        with pytest.raises(ConfigError, match=r"n: .* is no number of rows; give 1 to 1000000"):
            recent_trades("made", "AAABBB", at, count, files=files)
    with pytest.raises(ConfigError, match=r"levels: 0 is no number"):
        order_book("made", "AAABBB", at, 0, files=files)
    with pytest.raises(ConfigError, match="say venue, symbol and at, or state="):
        market_data("made", "AAABBB")
    with pytest.raises(ConfigError, match="'OTHER' is not made:AAABBB"):
        History("made", "AAABBB", at, files=files).trades(1, "OTHER")
    with pytest.raises(ConfigError, match="is no time; write it like 5m"):
        History("made", "AAABBB", at, files=files).candles("10ticks", 1)
    with pytest.raises(ConfigError, match="a live state knows now only"):
        market_data("made", "AAABBB", at, state=History("made", "AAABBB", at, files=files))


def test_bars_are_made_while_other_threads_run():
    n = 3_000_000
    ts = np.arange(n) * MICROSECOND
    ones = np.ones(n)
    trades = Trades(ts, ts, ones, ones, np.ones(n, np.int8), np.arange(n), np.ones(n, np.uint8))
    maker = BarMaker("1s")
    maker.add(Trades(*(column[:10] for column in trades)))  # compiled and loaded
    spans, seen = [], []

    def work():
        arrays = [np.ascontiguousarray(column) for column in trades]
        maker.state["next"], maker.state["count"] = 10, n
        spans.append(time.perf_counter())
        maker.run(arrays)
        spans.append(time.perf_counter())

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        seen.append(time.perf_counter())
    thread.join()
    start, stop = spans
    margin = (stop - start) / 5
    assert any(start + margin < moment < stop - margin for moment in seen)


def test_a_history_says_what_it_is(tmp_path):
    files = write(tmp_path, {0: [naive.Trade(DAY + 50, DAY + 60, "1", "buy", "10", "1")]})
    at = (DAY + 60) * MICROSECOND
    assert repr(History("made", "aaabbb", at, files=files)) == f"<History made:AAABBB at {format_time(at)}>"
