"""The loopback Tardis is one: the official client downloads and replays from it, and asks as we do."""

from __future__ import annotations

import asyncio
import gzip
import json
import urllib.error
from pathlib import Path
from typing import Any

import pytest

from framework.data import from_tardis
from framework.errors import ConfigError, DataError
from framework.testing import TardisServer
from framework.testing.tardis_sample import MINUTES, SEED, START, sample_files
from tests.tardis_bench import DAYS, FILES, RANGE, Bench, bench, csv, dataset

__all__ = ["bench"]  # fixture

official = pytest.importorskip("tardis_dev", reason="the test extra has tardis-dev")
SYMBOLS = ("btcusdt", "BTC/USD:币")


def official_files(folder: Path) -> dict[tuple[str, str, str], bytes]:
    """Return what the official client saved, by kind, day and symbol."""
    found = {}
    for path in folder.iterdir():
        _, kind, day, symbol = path.name.removesuffix(".csv.gz").split("_")
        found[kind, day, symbol] = path.read_bytes()
    return found


def our_files(bench: Bench) -> dict[tuple[str, str, str], bytes]:
    """Return what we saved, by kind, day and symbol."""
    from urllib.parse import unquote

    found = {}
    for name, data in bench.found().items():
        _, kind, *day, symbol = name.removesuffix(".csv.gz").split("/")
        found[kind, "-".join(day), unquote(symbol)] = data
    return found


def test_the_official_client_gets_the_same_files_in_the_same_order(bench: Bench) -> None:
    names = ["BTCUSDT", "BTC-USD-币"]
    files = {
        dataset(day, name, kind): csv(day, name, 5 + n)
        for n, name in enumerate(names) for day in DAYS for kind in ("trades", "liquidations")
        if day != DAYS[2]  # a day without data
    }  # fmt: skip
    theirs, ours = bench.serve(files), bench.serve(files)
    official.download_datasets(
        exchange="binance", data_types=["trades", "liquidations"], symbols=SYMBOLS, from_date=RANGE[0],
        to_date=RANGE[1], api_key=theirs.key, endpoint=theirs.url, concurrency=1,
        download_dir=str(bench.place / "official"),
    )  # fmt: skip
    done = bench.get(list(SYMBOLS), "trades,liquidations", workers=1)
    assert done.complete
    assert bench.said == []
    assert ours.datasets == theirs.datasets
    assert len(ours.datasets) == 2 * len(SYMBOLS) * len(DAYS)
    assert our_files(bench) == official_files(bench.place / "official")


@pytest.mark.parametrize(
    ("change", "status"), [({"api_key": ""}, 401), ({"api_key": "wrong"}, 401), ({"symbols": ["NO"]}, 404)]
)
def test_the_official_client_takes_our_errors_as_final(
    bench: Bench, change: dict[str, Any], status: int
) -> None:
    server = bench.serve()
    given = {"symbols": ["BTCUSDT"], "api_key": server.key, **change}
    with pytest.raises(urllib.error.HTTPError) as info:
        official.download_datasets(
            exchange="binance", data_types=["trades"], from_date="2024-08-02", to_date="2024-08-04",
            endpoint=server.url, download_dir=str(bench.place / "official"), **given,
        )  # fmt: skip
    assert info.value.code == status
    assert set(json.loads(info.value.msg)) == {"code", "message"}
    assert len(server.datasets) == 1


def test_the_official_client_reads_our_metadata(bench: Bench) -> None:
    record = {"id": "BTCUSDT", "exchange": "binance", "type": "spot", "active": True, "priceIncrement": 0.01}
    server = bench.serve(instruments={"binance": [record, {**record, "id": "OLD", "active": False}]})
    details = official.get_exchange_details("binance", endpoint=server.url)
    assert details["datasets"]["symbols"][0]["id"] == "BTCUSDT"
    assert details["datasets"]["exportedUntil"] == "2024-08-05T00:00:00.000Z"
    given: dict[str, Any] = {"api_key": server.key, "endpoint": server.url}
    assert official.get_instrument_info("binance", symbol="BTCUSDT", **given) == record
    assert official.get_instrument_info("binance", filter={"active": True}, **given) == [record]
    with pytest.raises(urllib.error.HTTPError):
        official.get_instrument_info("binance", endpoint=server.url)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_the_official_client_replays_our_minutes(bench: Bench, data_dir: Path, compression: str) -> None:
    folder = data_dir / "tardis-messages" / "synthetic"
    server = bench.serve(feeds=folder)

    async def replay(name: str, **options: Any) -> list[Any]:
        found = official.replay(
            exchange="binance", from_date=name, to_date=f"{name}T00:03", endpoint=server.url,
            cache_dir=str(bench.place / "cache"), compression=compression, **options,
        )  # fmt: skip
        return [message async for message in found]

    every = asyncio.run(replay("2024-03-01"))
    minutes = [(folder / f"binance_2024-03-01T00-0{n}.ndjson").read_text() for n in range(3)]
    lines = "".join(minutes).splitlines()
    assert [one.message for one in every] == [json.loads(line[29:]) for line in lines]
    trades = asyncio.run(replay("2024-03-01", filters=[official.Channel("trade", ["btcusdt"])]))
    assert 0 < len(trades) < len(every)
    assert {one.message["stream"] for one in trades} == {"btcusdt@trade"}
    cut = asyncio.run(replay("2024-04-01", with_disconnects=True))
    assert cut.count(None) == 1


def test_a_newcomer_gets_a_sample_without_data(bench: Bench) -> None:
    from framework.data.synthetic_ticks import ticks

    bench.serve(None)
    kinds = "trades,incremental_book_L2,derivative_ticker"
    done = bench.get("BTCUSDT-PERP", kinds, ("2024-01-31", "2024-02-02"), venue="synthetic")
    assert done.complete
    assert {path.name for path in done.paths} == {"BTCUSDT-PERP.csv.gz"}
    bench.patch.delenv("TARDIS_API_KEY")
    free = bench.get(
        "BTCUSDT-PERP", kinds, ("2024-02-01", "2024-02-02"), venue="synthetic", to=bench.place / "free"
    )
    assert free.complete
    market, made = from_tardis(bench.folder), ticks(MINUTES, SEED, START)
    ours, theirs = market.trades[0], made.trades[0]
    assert (ours["raw_ts"] == theirs["raw_ts"] // 1_000 * 1_000).all()
    assert (ours["side"] == theirs["side"]).all()
    assert len(market.books[0]) - len(made.books[0]) in (0, 1), "the snapshot at midnight"
    assert market.funding[0]["rate"].tolist() == made.funding[0]["rate"].tolist()
    assert len(sample_files()) == 6


def test_what_cannot_be_served_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such folder"):
        TardisServer(tmp_path / "none")
    with pytest.raises(DataError, match="holds no file to serve"):
        TardisServer(tmp_path)
    with pytest.raises(ConfigError, match="write it like binance/trades/2024/08/08/BTCUSDT"):
        TardisServer({"x": b""})


def test_plain_csv_is_packed(bench: Bench) -> None:
    path = bench.place / "binance_trades_2024-08-01_BTCUSDT.csv"
    path.write_bytes(gzip.decompress(FILES[dataset(DAYS[1])]))
    bench.serve([path])
    assert bench.get(days=("2024-08-01", "2024-08-02")).complete
    assert bench.whole({dataset(DAYS[1]): FILES[dataset(DAYS[1])]})
