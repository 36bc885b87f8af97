"""The store and the csv files it was made of give the same bars and the same answers."""

from __future__ import annotations

import shutil

import pytest
from polars.testing import assert_frame_equal

from framework.data import candles, day_bars, market_data, order_book, recent_trades
from framework.data.store import Store
from framework.errors import DataError

ASKED = "binance", "BTC-USDT"


@pytest.fixture(scope="module")
def both(data_dir, tmp_path_factory):
    """A store of the demo's trades and book, and a folder of the same files."""
    folder, shelf = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("store")
    files = [f for f in sorted((data_dir / "demo").iterdir()) if "L2" in f.name or "_trades_" in f.name]
    copies = [shutil.copy(file, folder) for file in files]
    Store(shelf).add_csv(copies)
    return {"store": shelf}, {"files": folder}


def test_candles(both):
    for size in ("1m", "15m", "1d"):
        one, two = (candles(*ASKED, "2024-08-08", "2024-08-10", size, **where) for where in both)
        assert_frame_equal(one, two)
    one, two = (day_bars(*ASKED, "2024-08-08", "2024-08-10", "100ticks", **where) for where in both)
    assert (one.rows == two.rows).all()
    assert len(one) == 200


def test_a_moment(both):
    for at in ("2024-08-08T23:58:20.000001Z", "2024-08-09T00:00:00.000001Z", "2024-08-09T00:03:30Z"):
        one, two = (market_data(*ASKED, at, trades=700, **where) for where in both)
        assert one.book == two.book
        assert_frame_equal(one.candles, two.candles)
        assert_frame_equal(one.trades.rows, two.trades.rows)
        assert one.trades.volume == two.trades.volume


def test_what_is_not_stored(both):
    where = both[0]
    with pytest.raises(DataError, match=r"nothing of binance:ETHUSDT; did you mean binance:BTCUSDT"):
        candles("binance", "ETHUSDT", "2024-08-08", "2024-08-09", "1m", **where)
    with pytest.raises(DataError, match="there is no file of 2024-08-10"):
        recent_trades(*ASKED, "2024-08-10T00:01Z", **where)
    with pytest.raises(DataError, match="incremental_book_L2: there is no file of 2024-08-10"):
        order_book(*ASKED, "2024-08-10T00:01Z", **where)
    with pytest.raises(DataError, match="none was known"):
        order_book(*ASKED, "2024-08-08T00:01Z", **where)
