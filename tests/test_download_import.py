"""Downloads go into the store: once, a bad day keeps none of the others out, what is there is not fetched."""

from __future__ import annotations

import gzip

import pytest

from framework.cli import main as sheepfold
from framework.times import parse_time
from tests.tardis_bench import DAYS, FILES, RANGE, Bench, bench, csv, dataset

__all__ = ["bench"]  # fixture

stores = pytest.importorskip("framework.data.store", reason="the store is not there yet")


def test_a_download_is_imported_once(bench: Bench) -> None:
    server = bench.serve()
    done = bench.get(import_=True)
    assert (done.imported, done.refused, done.complete) == (len(DAYS), [], True)
    store = stores.Store(bench.place / "store")
    assert [(part.symbol, part.day, part.rows) for part in store.parts()] == [
        ("BTCUSDT", parse_time(day), 60) for day in DAYS
    ]
    again = bench.get(import_=True)
    assert (again.imported, again.complete) == (0, True)
    for path in done.paths[1:]:
        path.unlink()
    before = len(server.datasets)
    third = bench.get(import_=True)
    assert len(server.datasets) == before, "the store has those days"
    assert [wanted.date for wanted in third.stored] == [DAYS[-1], *DAYS[1:-1]]
    assert third.complete
    assert "4 are in the store" in third.words()


def test_a_day_that_is_refused_keeps_none_of_the_others_out(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = gzip.compress(gzip.decompress(FILES[dataset(DAYS[2])]).replace(b",buy,", b",bought,", 1), mtime=0)
    bench.serve({**FILES, dataset(DAYS[2]): bad})
    assert sheepfold(["data", "download", "binance", "BTCUSDT", "trades", *RANGE]) == 3
    said = capsys.readouterr()
    assert "5 files fetched" in said.out
    assert "4 imported, 1 refused" in said.out
    assert "bought" in said.err
    assert len(stores.Store(bench.place / "store").parts()) == 4


def test_a_day_without_data_and_a_grouped_file(bench: Bench) -> None:
    rows = gzip.decompress(csv("2024-08-01", "BTC-PERPETUAL")) + b"".join(
        gzip.decompress(csv("2024-08-01", "ETH-PERPETUAL")).splitlines(keepends=True)[1:]
    )
    rows = rows.replace(b"binance,", b"deribit,")
    lines = rows.splitlines(keepends=True)
    rows = lines[0] + b"".join(sorted(lines[1:], key=lambda line: line.split(b",")[3]))
    group = {dataset("2024-08-01", "PERPETUALS", venue="deribit"): gzip.compress(rows, mtime=0)}
    empty = {name: data for name, data in FILES.items() if "2024/08/02" not in name}
    bench.serve({**empty, **group})
    assert bench.get(import_=True).imported == len(DAYS)
    done = bench.get("PERPETUALS", venue="deribit", days=("2024-08-01", "2024-08-02"), import_=True)
    assert done.imported == 2
    store = stores.Store(bench.place / "store")
    assert store.part("binance", "trades", "BTCUSDT", "2024-08-02").rows == 0
    assert {part.symbol for part in store.parts("deribit")} == {"BTC-PERPETUAL", "ETH-PERPETUAL"}


def test_another_file_of_a_day_takes_its_place_only_when_told(bench: Bench) -> None:
    bench.serve()
    first = bench.get(days=("2024-08-01", "2024-08-02"), import_=True)
    first.paths[0].write_bytes(csv("2024-08-01", rows=7))
    refused = bench.get(days=("2024-08-01", "2024-08-02"), import_=True)
    assert "--replace" in refused.refused[0][1]
    replaced = bench.get(days=("2024-08-01", "2024-08-02"), import_=True, replace=True)
    assert (replaced.imported, replaced.complete) == (1, True)
    assert stores.Store(bench.place / "store").parts()[0].rows == 7
