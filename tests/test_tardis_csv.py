"""Tardis csv files to a Market: real slices, names and folders, grids, days, and every stream."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import framework
from framework import Instrument, Market, from_tardis
from framework.data import schema
from framework.errors import ConfigError, DataError
from framework.instruments import price_of
from framework.times import SECOND, parse_time
from tests.tick_files import ID, T, csv_text, read, save, trade


@pytest.fixture(scope="module", params=["demo", "tardis-form"])
def real(request: pytest.FixtureRequest, data_dir: Path) -> Market:
    """One of the two slices that hold a book, trades and best bid and ask."""
    return from_tardis(data_dir / request.param)


def test_real_book_equals_the_best_bid_and_ask(real: Market) -> None:
    """Each 40th top of the rebuilt book stands among the native best bids and asks around its arrival."""
    book, quotes, what = real.books[0], real.quotes[0], real.instruments[0]
    levels: dict[int, int] = {}
    checked = missed = 0
    ends, arrivals = book.messages["first"].tolist(), book.messages["local_ts"].tolist()
    keys, lots = book.keys.tolist(), book.lots.tolist()
    for n in range(len(book)):
        for row in range(ends[n], ends[n + 1]):
            assert levels.get(keys[row], 0) != lots[row]  # no row in vain
            levels[keys[row]] = lots[row]
            if not lots[row]:
                del levels[keys[row]]
        if n % 40:
            continue
        bid, ask = max(k for k in levels if not k & 1), min(k for k in levels if k & 1)
        assert bid // 2 < ask // 2
        near = int(np.searchsorted(quotes["local_ts"], arrivals[n]))
        rows = quotes[max(near - 50, 0) : near + 50]
        same = np.ones(len(rows), bool)
        for name, key in (("bid", bid), ("ask", ask)):
            same &= rows[name] == price_of(key // 2, what.tick_size)
            same &= rows[f"{name}_size"] == price_of(levels[key], what.lot_size)
        checked += 1
        missed += not same.any()
    assert checked in (163, 403)
    assert missed == 0


def test_real_trades_are_the_file(real: Market, data_dir: Path) -> None:
    folder = "demo" if real.instruments[0].kind == "spot" else "tardis-form"
    rows = []
    for path in sorted((data_dir / folder).glob("*_trades_*")):
        rows += [line.split(",") for line in gzip.decompress(path.read_bytes()).decode().split("\n")[1:-1]]
    trades, what = real.trades[0], real.instruments[0]
    assert trades["raw_ts"].tolist() == [int(row[2]) * 1000 for row in rows]
    assert trades["local_ts"].tolist() == [int(row[3]) * 1000 for row in rows]
    assert trades["side"].tolist() == [{"buy": 1, "sell": -1}[row[5]] for row in rows]
    assert price_of(trades["tick"], what.tick_size).tolist() == [float(row[6]) for row in rows]
    assert price_of(trades["lots"], what.lot_size).tolist() == [float(row[7]) for row in rows]
    top = np.maximum.accumulate(trades["raw_ts"])
    assert (trades["ts"] == np.minimum(top, trades["local_ts"])).all()


def test_real_funding_and_mark(data_dir: Path) -> None:
    market = from_tardis(data_dir / "tardis-form")
    assert market.funding[0].tolist() == [(1_680_652_800 * SECOND, 0.0000276)]  # as Binance paid it
    marks = market.mark[0]
    assert marks[0].tolist() == (1_680_652_701 * SECOND, 28147.27373413)
    assert (np.diff(marks["ts"]) > 0).all()
    assert (np.diff(marks["price"]) != 0).all()
    k, index = market.features["index_price:binance-futures:BTCUSDT"]
    assert (k, index[0].tolist()) == (0, (1_680_652_701_048_293_000, 28159.75642857))
    assert len(market.features) == 2  # the other columns are empty
    assert "more than 1 %, a doubtful clock: up to 31.152 ms ahead" in "\n".join(market.remarks)


def test_real_heads(data_dir: Path) -> None:
    """The dialect of files that Tardis itself has written."""
    steps = {}
    for path in sorted((data_dir / "tardis-real").iterdir()):
        market = from_tardis([path])
        what = market.instruments[0]
        assert market.trades or market.books
        steps[what.id, what.tick_size, what.lot_size] = True
    assert set(steps) == {
        ("binance-futures:BTCUSDT", 0.01, 0.001), ("bitmex:XBTUSD", 0.5, 1.0),
        ("binance:BTCUSDT", 0.01, 1e-6),
        ("deribit:BTC-PERPETUAL", 0.5, 10.0), ("huobi-dm-swap:BTC-USD", 0.1, 1.0),
    }  # fmt: skip


def test_a_market_cannot_be_written(real: Market) -> None:
    book = real.books[0]
    rows = [book.messages, book.keys, book.lots, real.trades[0], real.quotes[0], *real.mark.values()]
    rows += [*real.funding.values(), *(feature for _, feature in real.features.values())]
    assert not any(row.flags.writeable for row in rows)


def test_two_readings_are_equal(data_dir: Path) -> None:
    one, two = (from_tardis(data_dir / "tardis-form") for _ in range(2))
    assert one.remarks == two.remarks
    assert one.trades[0].tobytes() == two.trades[0].tobytes()
    assert one.books[0].keys.tobytes() == two.books[0].keys.tobytes()
    assert one.books[0].lots.tobytes() == two.books[0].lots.tobytes()


def test_import_stays_light() -> None:
    code = "import sys, framework, framework.data; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(framework.__path__[0]).parent)


def test_names_and_folders(tmp_path: Path) -> None:
    """Both layouts, several instruments, and what is no tick file."""
    rows = csv_text("trades", [trade()])
    folder = tmp_path / "made" / "trades" / "2023" / "04" / "05"
    folder.mkdir(parents=True)
    (folder / "AAABBB.csv.gz").write_bytes(gzip.compress(rows))
    (tmp_path / "made_1m_AAABBB.csv").write_text("x")
    market = from_tardis(tmp_path)
    assert (market.instruments[0].id, len(market.trades[0])) == (ID, 1)
    assert any("made_1m_AAABBB.csv" in line for line in market.remarks)
    save(tmp_path, "trades", csv_text("trades", [trade(T + 86_400_000_000)]), "2023-04-06")
    assert len(from_tardis(tmp_path).trades[0]) == 2
    assert len(from_tardis(tmp_path, day="2023-04-06").trades[0]) == 1
    other = rows.replace(b"AAABBB", b"CCCBBB")
    (tmp_path / "made_trades_2023-04-05_CCCBBB.csv.gz").write_bytes(gzip.compress(other))
    with pytest.raises(ConfigError, match=r"2 instruments \(made:AAABBB, made:CCCBBB\); say instrument="):
        from_tardis(tmp_path)
    assert len(from_tardis(tmp_path, ID).trades[0]) == 2
    assert len(from_tardis(tmp_path, "made:CCCBBB").trades[0]) == 1
    with pytest.raises(DataError, match="holds no tick file of made:XXX"):
        from_tardis(tmp_path, "made:XXX")


@pytest.mark.parametrize(
    ("name", "kind", "day", "instrument"),
    [
        ("binance-futures_incremental_book_L2_2023-04-05_BTCUSDT.csv.gz", "incremental_book_L2", True, True),
        ("binance-delivery_trades_2023-04-05_BTCUSD_PERP.csv.gz", "trades", True, True),
        ("deribit_book_snapshot_25_2023-04-05_BTC-PERPETUAL.csv", "book_snapshot_25", True, True),
        ("huobi-dm-swap_quotes_BTC-USD.csv", "quotes", False, True),
        ("tardis_binance_BTCUSDT_trades_2023-04-05_rows_1_100.csv.gz", "trades", True, False),
        ("bybit/book_ticker/2023/04/05/BTCUSDT.csv.gz", "book_ticker", True, True),
    ],
)
def test_what_a_name_says(name: str, kind: str, day: bool, instrument: bool) -> None:
    file = schema.described(Path("/data") / name)
    assert file.kind == kind
    assert file.day == (parse_time("2023-04-05") if day else None)
    assert (file.instrument is not None) == instrument


def test_arguments(tmp_path: Path) -> None:
    path = save(tmp_path, "trades", csv_text("trades", [trade()]))
    plain = tmp_path / "some.csv"
    plain.write_bytes(csv_text("trades", [trade()]))
    for files, words in (
        ({"trade": path}, "unknown kind 'trade'; did you mean trades"),
        ({"options_chain": path}, "options_chain files are not read"),
        ({"quotes": path}, "was given as quotes, and its name says trades"),
        ([plain], r"some.csv: the file name does not tell the kind; give files=\{kind: path\}"),
        ([], "files: there is none"),
        ([path, path], "is given twice"),
        ([5], "files: 5 is no path"),
    ):
        with pytest.raises(ConfigError, match=words):
            from_tardis(files)
    with pytest.raises(DataError, match="there is no such file; did you mean made_trades"):
        from_tardis([tmp_path / "made_trades_2023-04-05_AAABB.csv.gz"])
    with pytest.raises(ConfigError, match="is no UTC midnight"):
        from_tardis([path], day="2023-04-05T12:00")
    assert len(from_tardis({"trades": plain}).trades[0]) == 1
    assert len(from_tardis(str(path)).trades[0]) == 1


def test_days(tmp_path: Path) -> None:
    """Day files are one stream; missing and empty days are told, and files out of order refused."""
    days = ("2023-04-05", "2023-04-06", "2023-04-09")
    paths = [
        save(tmp_path, "trades", csv_text("trades", [trade(T + n * 86_400_000_000)] if n != 1 else []), day)
        for n, day in zip((0, 1, 4), days, strict=True)
    ]
    market = from_tardis(paths)
    assert len(market.trades[0]) == 2
    told = "\n".join(market.remarks)
    assert "made_trades_2023-04-06_AAABBB.csv.gz is empty, a day without data" in told
    assert "there is no file of 2023-04-07" in told
    assert "there is no file of 2023-04-08" in told
    assert "1 gap of more than 60 s without a row, the longest 345600.0 s" in told
    quotes = save(tmp_path, "quotes", csv_text("quotes", [[T, T, 1, "1.5", "1.4", 2]]))
    assert f"{ID} quotes: there is no file of 2023-04-06" in from_tardis([*paths[:2], quotes]).remarks
    with pytest.raises(ConfigError, match="not in time order"):
        from_tardis(paths[::-1])
    with pytest.raises(
        DataError, match=r"row 1: local_timestamp .* is not in 2023-04-08, the day that was asked"
    ):
        from_tardis(paths[:1], day="2023-04-08")
    loose = [path.rename(tmp_path / f"{n}_trades.csv.gz") for n, path in enumerate(paths)]
    assert len(from_tardis([loose[0], loose[2]]).trades[0]) == 2
    with pytest.raises(DataError, match=r"0_trades\.csv\.gz: row 1: local_timestamp .* is before the row"):
        from_tardis([loose[2], loose[0]])


def test_grids(tmp_path: Path) -> None:
    """A given grid is kept or refused; one that is None is read off all files, and told."""
    rows = [
        trade(price="1.5", amount="2"),
        trade(price="10", amount="1e-7"),
        trade(price="2.25", amount="3.0"),
    ]
    save(tmp_path, "quotes", csv_text("quotes", [[T, T, "0.00000001", "1.755", "1.5", "2"]]))
    free = read(tmp_path, "trades", rows, None)
    assert (free.instruments[0].tick_size, free.instruments[0].lot_size) == (0.01, 1e-7)
    assert free.trades[0]["tick"].tolist() == [150, 1000, 225]
    assert free.trades[0]["lots"].tolist() == [20_000_000, 1, 30_000_000]
    assert sum("read off the decimals" in line for line in free.remarks) == 2
    both = from_tardis(tmp_path)
    assert (both.instruments[0].tick_size, both.instruments[0].lot_size) == (0.001, 1e-8)
    assert both.quotes[0]["ask"].tolist() == [1.755]
    half = read(tmp_path, "trades", rows, Instrument(ID, tick_size=0.25))
    assert half.trades[0]["tick"].tolist() == [6, 40, 9]
    coarse = Instrument(ID, tick_size=0.5, lot_size=10.0)
    with pytest.raises(
        DataError, match=r"row 3: price = 2.25: is between two steps of tick_size 0.5; .*=0.01"
    ):
        read(tmp_path, "trades", [trade(amount=20), trade(amount=20), rows[2]], coarse)
    with pytest.raises(DataError, match=r"row 2: amount = 15: is between two steps of lot_size 10"):
        read(tmp_path, "trades", [trade(amount=20), trade(amount=15)], coarse)


def test_as_written(data_dir: Path) -> None:
    """The kernels as plain Python, where numpy checks every index and overflow: the same market."""
    code = "import hashlib, sys; from tests.test_tardis_csv import small; print(small(sys.argv[1]))"
    found = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", code, str(data_dir)],
            capture_output=True, text=True, check=True,
            cwd=Path(framework.__path__[0]).parent, env={**os.environ, "NUMBA_DISABLE_JIT": off},
        ).stdout
        for off in ("0", "1")
    ]  # fmt: skip
    assert found[0] == found[1]
    assert found[0].count("(") > 10


def small(folder: str) -> list[Any]:
    """What a few real files come to."""
    found: list[Any] = []
    for path in sorted((Path(folder) / "tardis-real").iterdir()):
        market = from_tardis([path])
        found += [
            market.remarks,
            *(rows[-3:].tolist() for rows in (*market.trades.values(), *market.quotes.values())),
        ]
        found += [
            (b.messages.tolist(), b.keys.tolist()[-9:], b.lots.tolist()[-9:]) for b in market.books.values()
        ]
    ticker = sorted((Path(folder) / "tardis-form").glob("*_derivative_ticker_*"))
    found.append(from_tardis(ticker).mark[0].tolist())
    return found
