"""The store: real files in and out, other programs' readers, names, groups, two writers."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from framework.data import Store
from framework.data.rows import ContentHash, dtypes
from framework.data.schema import COLUMNS, KINDS, TickFile, described
from framework.errors import ConfigError, DataError
from tests.tick_files import T, csv_text, save, trade

ROOT = Path(__file__).parent.parent
FOLDERS = ("demo", "tardis-form", "tardis-real")
KEY = ("made", "trades", "AAABBB", "2023-04-05")
TRICKS = (
    "../../x", "BTC/USDT:USDT", "A\0B", "CON", "con", "LPT1.x", ".hidden", "a.", "..", "btcusdt", "BTCUSDT",
    "%41", "A", "é",
)  # fmt: skip


def files_of(folder: Path) -> list[TickFile]:
    """Return the real tick files."""
    every = [
        path for name in FOLDERS for path in sorted((folder / name).glob("*.csv*")) if "_1m_" not in path.name
    ]
    return [described(path) for path in every]


def content(path: Path) -> pl.DataFrame:
    """Return a csv as texts and exact numbers."""
    texts = ("exchange", "symbol", "id", "side", "is_snapshot")
    whole = pl.read_csv(path, infer_schema_length=0)
    return whole.with_columns(
        pl.col(name).cast(pl.Int64 if name.endswith("timestamp") else pl.Float64)
        for name in whole.columns
        if name not in texts
    )


def everything(folder: Path) -> dict[str, bytes]:
    """Return every file of a store that is no lock."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in paths
        if path.name not in (".lock", ".writers")
    }


def made(folder: Path, *rows: list[Any], name: str = "made,AAABBB", day: str | None = "2023-04-05") -> Path:
    """Return a file of trades in a folder of its own."""
    folder.mkdir(exist_ok=True)
    return save(folder, "trades", csv_text("trades", rows, name), day)


def frame(**columns: Any) -> pl.DataFrame:
    """Return a trade as a raw frame."""
    row = {"timestamp": T, "local_timestamp": T, "id": "1", "side": "buy", "price": 1.5, "amount": 2.0}
    return pl.DataFrame({k: [v] for k, v in {**row, **columns}.items()}).cast(dtypes("trades"))


def test_real_files_go_in_and_out_unchanged(data_dir: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (tmp_path / "in").mkdir()
    named = made(tmp_path / "in", trade(side="unknown"), trade(T + 1, id="x-1", side="sell"), trade(T + 2))
    liquidations = named.with_name(named.name.replace("trades", "liquidations"))
    liquidations.write_bytes(named.read_bytes())
    found = [*files_of(data_dir), described(liquidations)]
    assert {file.kind for file in found} >= {*KINDS} - {"book_snapshot_5"}
    for file in found:
        (added,) = store.add_csv(file.path)
        out = tmp_path / "out" / file.path.name
        assert store.write_csv(added.part, out) == added.part.rows > 0
        wanted = content(file.path)
        assert_frame_equal(content(out), wanted)
        assert added.part.rows == len(wanted)
        hashes = ContentHash(file.kind)
        for one in store.frames(added.part):
            assert dict(one.schema) == dtypes(file.kind)
            hashes.add(one)
        assert hashes.hexdigest() == added.part.content_sha256
    assert store.verify() == []
    before = everything(store.folder)
    assert {one.how for one in store.add_csv([file.path for file in found])} == {"same"}
    assert everything(store.folder) == before
    others_read(store, data_dir)


def others_read(store: Store, data_dir: Path) -> None:
    """Polars, pandas and DuckDB read the files by their names, with the rows of the csv."""
    prices = pl.concat(
        content(path)["price"] for path in sorted((data_dir / "demo").glob("*_trades_*.csv.gz"))
    ).to_list()
    glob = str(store.folder / "binance" / "trades" / "BTCUSDT" / "2024-*.parquet")
    assert pl.scan_parquet(glob).collect()["price"].to_list() == prices
    paths = sorted(store.folder.glob("binance/trades/BTCUSDT/2024-*.parquet"))
    assert pd.concat(map(pd.read_parquet, paths))["price"].tolist() == prices
    rows = duckdb.sql(f"select price, epoch_us(local_timestamp) from read_parquet('{glob}')").fetchall()
    assert [row[0] for row in rows] == prices


def test_columns_that_are_asked_for(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    part = store.add_csv(made(tmp_path / "a", trade()))[0].part
    (one,) = store.frames(part, ["price", "side"])
    assert one.rows() == [(1.5, "buy")]


def test_replace(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    old, new = made(tmp_path / "a", trade()), made(tmp_path / "b", trade(price=1.75))
    part = store.add_csv(old)[0].part
    with pytest.raises(DataError, match="from another file"):
        store.add_csv(new)
    reading = store.frames(part)  # of the old day, from here on
    first = next(reading)
    assert store.add_csv(new, replace=True)[0].how == "replaced"
    assert first["price"].to_list() == [1.5]
    assert list(reading) == []
    with pytest.raises(DataError, match="replaced or removed meanwhile"):
        list(store.frames(part))
    (now,) = store.frames(store.part(*KEY))  # type: ignore[arg-type]
    assert now["price"].to_list() == [1.75]
    assert store.remove(store.parts()) == 1
    assert [name for name in everything(store.folder) if "trades" in name] == []


def test_a_part_whose_rows_are_gone_is_imported_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    file = made(tmp_path / "a", trade())
    part = store.add_csv(file)[0].part
    part.path.unlink()
    with pytest.raises(DataError, match="is missing"):
        list(store.frames(part))
    assert store.add_csv(file)[0].how == "replaced"
    assert store.verify() == []


def test_a_writer_that_was_slower_asks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the first look and the lock another file of the day is stored."""
    import framework.data.store_import as module

    store = Store(tmp_path / "store")
    mine, other = made(tmp_path / "a", trade()), made(tmp_path / "b", trade(price=1.75))
    real = module.writer

    def late(*args: Any) -> Any:
        monkeypatch.setattr(module, "writer", real)
        Store(store.folder).add_csv(other)
        return real(*args)

    monkeypatch.setattr(module, "writer", late)
    with pytest.raises(DataError, match="from another file"):
        store.add_csv(mine)
    (now,) = store.frames(store.part(*KEY))  # type: ignore[arg-type]
    assert now["price"].to_list() == [1.75]


CHILDREN = """
import os, sys
import framework.data.store_csv
from framework.data import Store
from framework.errors import DataError

go, start = os.pipe()
children = {}
for file in sys.argv[2:]:
    if not (child := os.fork()):
        os.close(start)
        os.read(go, 1)
        try:
            how = Store(sys.argv[1]).add_csv(file)[0].how
        except DataError as error:
            how = "refused" if "from another file" in str(error) else "failed"
        os._exit(("added", "same", "refused", "failed").index(how))
    children[child] = file
os.close(start)  # all begin now
print(*(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_processes_at_once(tmp_path: Path) -> None:
    """Two import one file of a day, one another file of it: one of the files is the day, whole."""
    rows = [trade(T + i, id=str(i)) for i in range(2000)]
    one, other = made(tmp_path / "a", *rows), made(tmp_path / "b", *rows, trade(T + 5000))
    words = [sys.executable, "-c", CHILDREN, str(tmp_path / "store"), *map(str, (one, other, one))]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    added, same, refused = (str(n) for n in range(3))
    (part,) = Store(tmp_path / "store").parts()
    assert Store(tmp_path / "store").verify() == []
    wanted = [added, same, refused] if part.rows == 2000 else [added, refused, refused]
    assert sorted(done.stdout.split()) == wanted, done.stderr


def test_folders_of_symbols(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for symbol in TRICKS:
        part = store.add_frame("made", "trades", symbol, "2023-04-05", [frame()], source="test")
        place = part.path.parent
        assert place.parent == store.folder / "made" / "trades"
        assert place.name.upper() == place.name
        assert (store.part("made", "trades", symbol, "2023-04-05"), part.symbol) == (part, symbol)
    assert sorted(part.symbol for part in store.parts()) == sorted(TRICKS)
    assert len({path.name for path in (store.folder / "made" / "trades").iterdir()}) == len(TRICKS)
    assert store.verify() == []
    for symbol in ("", "X" * 300):
        with pytest.raises(ConfigError, match="symbol"):
            store.add_frame("made", "trades", symbol, "2023-04-05", [frame()], source="test")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]


def test_an_empty_day_and_a_wrong_one(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    empty = tmp_path / "made_trades_2023-04-06_AAABBB.csv.gz"
    empty.write_bytes(gzip.compress(b""))
    (added,) = store.add_csv(empty)
    assert (added.how, added.part.rows, list(store.frames(added.part))) == ("added", 0, [])
    assert store.add_csv(empty)[0].how == "same"
    assert store.write_csv(added.part, tmp_path / "out.csv.gz") == 0
    assert gzip.decompress((tmp_path / "out.csv.gz").read_bytes()) == b""
    (tmp_path / "b").mkdir()
    late = save(tmp_path / "b", "trades", csv_text("trades", [trade()]), "2023-04-07")
    with pytest.raises(DataError, match=r"row 1: local_timestamp .* 2023-04-07"):
        store.add_csv(late)
    assert len(store.parts()) == 1
    assert store.verify() == []


def group(folder: Path, *cells: tuple[str, list[Any]]) -> Path:
    """Return a file of many symbols."""
    lines = [",".join(COLUMNS["trades"]), *(f"made,{s},{','.join(map(str, row))}" for s, row in cells)]
    path = folder / "made_trades_2023-04-05_PERPETUALS.csv.gz"
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode() if cells else b""))
    return path


def test_files_of_many_symbols(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    rows = [("AAA", trade(price=1.5)), ("BBB", trade(price=2)), ("AAA", trade(T + 1, price=1.25))]
    file = group(tmp_path, *rows, ("BBB", trade(T + 2, price="x")))
    with pytest.raises(DataError, match=r"PERPETUALS.csv.gz: row 4: price = x"):
        store.add_csv(file)
    assert list(everything(store.folder)) == ["store.json"]
    file = group(tmp_path, *rows)
    left = store.folder / "_group" / ".new-1-a"
    left.mkdir()
    added = store.add_csv(file)
    assert not left.exists()
    assert [(one.how, one.part.symbol, one.part.rows) for one in added] == [
        ("added", "AAA", 2),
        ("added", "BBB", 1),
    ]
    assert [one["price"].to_list() for part in store.parts() for one in store.frames(part)] == [
        [1.5, 1.25],
        [2.0],
    ]
    before = everything(store.folder)
    assert {one.how for one in store.add_csv(file)} == {"same"}
    assert everything(store.folder) == before
    other = group(tmp_path, ("AAA", trade(price=1.5)), ("CCC", trade()))
    with pytest.raises(DataError, match="from another file"):
        store.add_csv(other)
    assert everything(store.folder) == before
    (empty,) = Store(tmp_path / "other").add_csv(group(tmp_path))
    assert (empty.part.symbol, empty.part.rows) == ("PERPETUALS", 0)
