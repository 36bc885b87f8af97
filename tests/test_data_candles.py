"""Candle files: reading, refusing with file and row, and the real files that agree with each other."""

from __future__ import annotations

import gzip

import numpy as np
import polars as pl
import pytest

from framework.data.candle_files import add_files, load_candles, read_frame
from framework.errors import ConfigError, DataError
from framework.times import DAY, HOUR, MINUTE

HEAD = "open_time_ms,open,high,low,close,volume\n"
GOOD = [f"{1704067200000 + i * 60000},100,101.5,99,100.5,{i}.25\n" for i in range(6)]


def write(folder, rows, name="bars.csv", head=HEAD):
    path = folder / name
    text = (head + "".join(rows)).encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return path


def load(path, **options):
    return load_candles(path, "binance:BTCUSDT", **{"interval": "1m", "stamp": "open", **options})


def test_csv_gz_and_parquet_give_the_same_content(tmp_path):
    plain = load(write(tmp_path, GOOD))
    packed = load(write(tmp_path, GOOD, "other name.csv.gz"))
    read_frame(tmp_path / "bars.csv").write_parquet(tmp_path / "bars.parquet")
    columnar = load(tmp_path / "bars.parquet", name="x")
    assert plain.content_hash() == packed.content_hash() == columnar.content_hash()
    assert (plain.name, packed.name, columnar.name) == ("bars", "other name", "x")
    by_pandas = read_frame(tmp_path / "bars.csv").to_pandas()
    by_pandas.to_parquet(tmp_path / "pandas.parquet")
    assert load(tmp_path / "pandas.parquet").content_hash() == plain.content_hash()


def spoiled(row, old, new):
    rows = list(GOOD)
    rows[row] = rows[row].replace(old, new)
    return rows


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (spoiled(2, "101.5", "high"), "row 3: high = high: is no number"),
        (spoiled(2, "101.5", ""), "row 3: high = null: is no finite number"),
        (spoiled(2, "101.5", "98"), "row 3: high = 98.0: is below low 99.0"),
        (spoiled(5, "100.5", "-1"), "row 6: close = -1.0: is below zero"),
        (spoiled(5, "100.5", "0"), "row 6: close = 0.0: is zero"),
        (spoiled(1, "1704067260000", "1704067200000"), "row 2: .*duplicate"),
        (spoiled(1, "1704067260000", "yesterday"), "row 2: open_time_ms = yesterday|row 1: open_time_ms"),
        ([*GOOD, GOOD[0]], "row 7: .*sort the rows"),
        ([GOOD[0], "1704067260000,100\n"], "row 2: high = null"),
        ([], "holds no row"),
        ([GOOD[0], GOOD[1].replace("\n", ",9,9\n")], "cannot be read"),
    ],
)
def test_errors_name_file_row_and_field(tmp_path, rows, words):
    path = write(tmp_path, rows)
    with pytest.raises(DataError, match=words) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there_or_broken(tmp_path):
    path = write(tmp_path, GOOD, "bars.csv.gz")
    with pytest.raises(DataError, match=r"no such file; did you mean bars.csv.gz"):
        load(tmp_path / "bar.csv.gz")
    with pytest.raises(DataError, match="there is no folder"):
        load(tmp_path / "nowhere" / "bar.csv")
    (tmp_path / "bars.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match="convert it"):
        load(tmp_path / "bars.xlsx")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"bars\.csv\.gz: "):
        load(path)
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty\.csv: cannot be read"):
        load(tmp_path / "empty.csv")
    (tmp_path / "not.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"not\.parquet: cannot be read"):
        load(tmp_path / "not.parquet")


def test_random_damage_is_refused_or_read(tmp_path, seed):
    rng = np.random.default_rng(seed)
    text = (HEAD + "".join(GOOD * 1)).encode()
    for _ in range(300):
        data = bytearray(text)
        for place in rng.integers(0, len(data), int(rng.integers(1, 4))):
            data[place] = int(rng.integers(0, 256))
        path = tmp_path / "damaged.csv"
        path.write_bytes(bytes(data))
        assert "\n" not in refusal(path)


def refusal(path):
    """What a file is refused with, nothing when it is read; any other kind of error fails the test."""
    try:
        load(path)
    except (DataError, ConfigError) as error:
        return str(error)
    return ""


def test_funding_and_mark_files(tmp_path):
    bars = write(tmp_path, GOOD)
    funding = write(tmp_path, ["1704067200008,0.0001\n"], "funding.csv", "funding_time_ms,funding_rate\n")
    mark = write(
        tmp_path, ["1704067200000,100.0,101,99,100\n"], "mark.csv", "open_time_ms,open,high,low,close\n"
    )
    market = add_files(load_candles(bars, "binance-futures:BTCUSDT", "1m", "open"), funding, mark)
    assert market.funding[0]["ts"].tolist() == [1704067200000000000]
    assert market.mark[0]["price"].tolist() == [100.0]
    with pytest.raises(ConfigError, match="unknown option"):
        add_files(market, funding, rte="x")
    with pytest.raises(DataError, match=r"funding.csv: which column is the time"):
        add_files(market, mark=funding)


PAIRS = [
    ("binance_BTCUSDT_1m_2024-07-26_2024-08-25", "1m", "binance_BTCUSDT_5m_2024", "5m", 5 * MINUTE, 8641),
    ("binance_BTCUSDT_5m_2024", "5m", "binance_BTCUSDT_1h_2024", "1h", HOUR, 5980),
    ("binance_BTCUSDT_1h_2024", "1h", "binance_BTCUSDT_1d_2024", "1d", DAY, 249),
    ("binance_ETHUSDT_5m_2024", "5m", "binance_ETHUSDT_1h_2024", "1h", HOUR, 5900),
]


@pytest.mark.parametrize(("fine", "step", "coarse", "text", "length", "least"), PAIRS)
def test_resampled_real_files_equal_the_coarser_real_files(data_dir, fine, step, coarse, text, length, least):
    folder = data_dir / "candles"
    low = load(folder / f"{fine}.csv.gz", interval=step)
    made = low.resample(text).bars[0, length]
    real = load(folder / f"{coarse}.csv.gz", interval=text).match_bars(0)
    # a bucket the finer file does not fill cannot equal the venue's bar
    fine_rows = low.match_bars(0)["open_ts"] // length
    buckets, counts = np.unique(fine_rows, return_counts=True)
    whole = buckets[counts == length // int(low.intervals(0)[0])] * length
    common = np.intersect1d(np.intersect1d(made["open_ts"], real["open_ts"]), whole)
    assert len(common) >= least
    made, real = made[np.isin(made["open_ts"], common)], real[np.isin(real["open_ts"], common)]
    for name in ("open_ts", "close_ts", "open", "high", "low", "close"):
        assert np.array_equal(made[name], real[name]), name
    # sums of decimals in binary: equal to far below the venue's last digit (1e-6)
    assert np.abs(made["volume"] - real["volume"]).max() < 1e-9


def test_resample_of_a_real_file_equals_polars(data_dir):
    low = load(data_dir / "candles" / "binance_BTCUSDT_1h_2017-08_2024-04.csv.gz", interval="1h")
    assert (low.gaps[0].places, low.gaps[0].missing) == (28, 128)
    made = low.resample("1d").bars[0, DAY]
    want = (
        pl.DataFrame(low.match_bars(0))
        .with_columns(at=pl.from_epoch("open_ts", "ns"))
        .group_by_dynamic("at", every="1d")
        .agg(pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("close").last())
    )
    for name in ("open", "high", "low", "close"):
        assert np.array_equal(made[name], want[name].to_numpy()[: len(made)]), name


def test_every_real_candle_file_loads(data_dir):
    intervals = {"1m": "1m", "5m": "5m", "1h": "1h", "1d": "1d"}
    files = sorted((data_dir / "candles").glob("*.csv.gz"))
    assert len(files) >= 20
    loaded = 0
    for file in files:
        step = next((i for i in intervals if f"_{i}_" in file.name), None)
        if step:
            loaded += len(load(file, interval=step).match_bars(0))
    assert loaded > 650_000


def test_real_funding_is_at_the_nominal_boundary(data_dir):
    folder = data_dir / "candles"
    market = load_candles(
        folder / "binance-futures_BTCUSDT_5m_2023-01_2024-05.csv.gz", "binance-futures:BTCUSDT", "5m", "open"
    )
    market = add_files(
        market,
        folder / "binance-futures_BTCUSDT_funding_2023-01_2024-05.csv.gz",
        folder / "binance-futures_BTCUSDT_mark8h_2023-01_2024-05.csv.gz",
    )
    assert (market.funding[0]["ts"] % (8 * HOUR) == 0).all()
    assert market.mark[0]["price"][0] == 16537.6
    assert market.instruments[0].tick_size == 0.1
