"""Recordings of a live stream: rows and hooks as of the files, midnight, gaps, restarts, kill -9."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from framework.data import Store, connect, load, record
from framework.data.message_kinds import BookChange, Disconnect
from framework.data.message_texts import write
from framework.data.messages import parse
from framework.data.recorder import Recorder, finish_left
from framework.data.rows import dtypes
from framework.data.schema import KINDS
from framework.data.stream_book import LiveBook
from framework.data.stream_rows import frame_types
from framework.errors import ConfigError, DataError, VenueError
from framework.testing import MachineServer, Play
from framework.times import DAY, parse_time
from tests.kill_recorder import campaign
from tests.live_machine import Instant, basic, live_hooks, machine_texts, replayed

START = parse_time("2024-03-01")


def recorded(server: MachineServer, folder: Path, types: str = "trade,book_change", **more: Any) -> Any:
    """Record the synthetic instrument until the stream ends."""
    more = {"clock": Instant(), "timeout": "10s", **more}
    return record("binance", "BTCUSDT", types, url=server.url, store=folder, **more)


def rows_in(folder: Path, kind: str, day: int = START) -> pl.DataFrame:
    """Return the rows of a day."""
    store = Store(folder)
    part = store.part("binance", kind, "BTCUSDT", day)
    assert part is not None
    return pl.concat(store.frames(part))


def csv_rows(data_dir: Path, kind: str) -> pl.DataFrame:
    """Return the same messages as the csv files have them."""
    path = data_dir / f"tardis-messages/synthetic/binance_{kind}_2024-03-01_BTCUSDT.csv"
    types = {n: pl.Int64 if n.endswith("timestamp") else t for n, t in dtypes(kind).items()}
    return pl.read_csv(path, columns=list(types), schema_overrides=types).cast(dtypes(kind))


def later(text: str, ns: int) -> str:
    """Return a message moved in time."""
    event = parse(text)
    return write(event._replace(ts=event.ts + ns, local_ts=event.local_ts + ns))


def test_types_are_those_of_the_store() -> None:
    assert all(frame_types(kind) == dtypes(kind) for kind in KINDS)


def test_a_recording_is_what_the_files_say_and_replays_the_same_hooks(data_dir: Path, tmp_path: Path) -> None:
    texts = basic(data_dir)
    with MachineServer(texts) as server:
        done = recorded(server, tmp_path)
        server.position = 0
        with connect("binance", "BTCUSDT", "trade,book_change", url=server.url) as stream:
            live = live_hooks(stream)
    assert (done.messages, done.rows, done.gaps, done.refused, done.left) == (411, 801, 0, 0, [])
    for kind in ("trades", "incremental_book_L2"):
        assert rows_in(tmp_path, kind).equals(csv_rows(data_dir, kind))
    told = replayed(load("binance", "BTCUSDT", "2024-03-01", "2024-03-02", store=tmp_path))
    assert len(told) == len(live) == 411
    for here, there in zip(live, told, strict=True):
        assert here[:2] == there[:2]
        if here[0] == "trade":
            assert here == there
        else:
            assert (here[2].bids, here[2].asks) == (there[2].bids, there[2].asks)
    assert Store(tmp_path).verify() == []
    assert not list((tmp_path / "_live").glob("*"))


def test_midnight(data_dir: Path, tmp_path: Path) -> None:
    shift = DAY - 90_000_000_000  # so that midnight lies in the middle of the three minutes
    texts = [later(text, shift) for text in basic(data_dir)]
    with MachineServer(texts) as server:
        done = recorded(server, tmp_path)
    assert len(done.parts) == 4
    first, second = (rows_in(tmp_path, "incremental_book_L2", START + i * DAY) for i in (0, 1))
    book = LiveBook("x")
    for text in texts:
        event = parse(text)
        if isinstance(event, BookChange) and event.local_ts < START + DAY:
            book.apply(event)
    opening = second.filter(pl.col("is_snapshot"))
    assert set(opening["local_timestamp"].to_physical()) == {(START + DAY) // 1000}
    assert set(opening.select("price", "amount").rows()) == {*book.bids.best(999), *book.asks.best(999)}
    assert len(first) + len(second) - len(opening) == len(csv_rows(data_dir, "incremental_book_L2"))
    alone = load("binance", "BTCUSDT", "2024-03-02", "2024-03-03", store=tmp_path)
    both = load("binance", "BTCUSDT", "2024-03-01", "2024-03-03", store=tmp_path)
    told = replayed(both)
    assert len([e for e in told if e[0] == "trade"]) == 190
    assert replayed(alone)[-1][2].bids == told[-1][2].bids


def test_gaps_are_remarks_and_a_second_recording_goes_on(data_dir: Path, tmp_path: Path) -> None:
    texts = basic(data_dir)
    plan = [Play(100, "cut"), Play(code=1000, count=60)]
    with MachineServer(texts, plan=plan) as server:
        one = recorded(server, tmp_path)
        assert one.gaps == 1
        two = recorded(server, tmp_path)
    assert (one.left, two.left) == ([], [])
    store = Store(tmp_path)
    part = store.part("binance", "trades", "BTCUSDT", START)
    assert part is not None
    assert len(part.remarks) == 2
    assert "link: the connection was cut" in part.remarks[0]
    assert part.remarks[1].endswith(": nothing was recorded")
    assert rows_in(tmp_path, "trades").equals(csv_rows(data_dir, "trades"))
    market = load("binance", "BTCUSDT", "2024-03-01", "2024-03-02", store=tmp_path)
    assert any("link: the connection was cut" in line for line in market.remarks)
    whole = LiveBook("x")
    for text in texts:
        if isinstance(event := parse(text), BookChange):
            whole.apply(event)
    assert replayed(market)[-1][2].bids == whole.snapshot().bids


def test_rows_that_come_too_late_for_the_store_are_kept(data_dir: Path, tmp_path: Path) -> None:
    texts = basic(data_dir)
    with MachineServer(texts, plan=[Play(), Play(), Play(100)]) as server:
        first = recorded(server, tmp_path)
        server.position = 0
        assert recorded(server, tmp_path).parts == first.parts  # the very same rows: nothing to do
        server.position = 0
        again = recorded(server, tmp_path)
        assert len(again.left) == 2
        assert "remove the day (sheepfold data rm)" in again.left[0]
        store = Store(tmp_path)
        store.remove(store.parts())
        assert len(finish_left(store).parts) == 2
    rows = rows_in(tmp_path, "trades")
    assert rows.equals(csv_rows(data_dir, "trades")[: len(rows)])
    assert 0 < len(rows) < 100


def test_a_clock_that_goes_back_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path)
    recorder = Recorder(store, "binance")
    for local, id in ((5, "a"), (9, "b"), (7, "c"), (10, "d")):
        text = json.dumps({
            "type": "trade", "symbol": "X", "exchange": "binance", "id": id, "price": 1, "amount": 1,
            "side": "buy", "timestamp": "2024-03-01T00:00:00.000Z",
            "localTimestamp": f"2024-03-01T00:00:{local:02d}.000Z",
        })  # fmt: skip
        recorder.take(parse(text), text)
    recorder.take(Disconnect("binance", START, (), "link: cut"), "")
    part = recorder.close().parts[0]
    frame = next(store.frames(part))
    seconds = [(t - START // 1000) // 10**6 for t in frame["local_timestamp"].to_physical()]
    assert (seconds, frame["id"].to_list()) == ([5, 9, 9, 10], ["a", "b", "c", "d"])
    assert part.remarks == (
        "gap from 2024-03-01T00:00:10Z to the end: link: cut",
        "the clock went back: local times of 1 rows are later by up to 2000 ms",
    )


def test_every_kind_that_is_kept(data_dir: Path, tmp_path: Path) -> None:
    events = [parse(text) for text in machine_texts(data_dir)]
    native: list[str] = []
    for line in (data_dir / "tardis-messages/native/binance-futures.jsonl").read_text().splitlines():
        native += [json.dumps(m) for m in json.loads(line)["normalized"]]
    with MachineServer(machine_texts(data_dir)) as server:
        done = recorded(server, tmp_path, "trade,book_change,quote_10s")
    assert {part.kind: part.rows for part in done.parts} == {
        "trades": 190, "incremental_book_L2": 611, "quotes": 13
    }  # fmt: skip
    quotes = [e for e in events if getattr(e, "name", "") == "quote_10s"]
    frame = rows_in(tmp_path, "quotes")
    assert frame["bid_price"].to_list() == [e.bids[0][0] for e in quotes]
    types = "derivative_ticker,liquidation,book_ticker"
    with MachineServer(native) as server:
        done = record(
            "binance-futures", "BTCUSDT", types, url=server.url, store=tmp_path / "b", clock=Instant()
        )
    assert {part.kind for part in done.parts} == {"derivative_ticker", "liquidations", "book_ticker"}
    assert done.left == []


def test_the_command(data_dir: Path, tmp_path: Path) -> None:
    with MachineServer(basic(data_dir), plan=[Play(200, "silent")]) as server:
        argv = ["record", "binance", "BTCUSDT", "trade,book_change", "--for", "0.5s", "--url", server.url]
        call = [sys.executable, "-m", "framework", "data", *argv, "--store", str(tmp_path)]
        done = subprocess.run(call, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1][:12]) == (0, "200 messages"), done.stderr
    for types, url, code in (("trade_bar_1m", server.url, 2), ("trade", server.url, 4)):
        with pytest.raises((ConfigError, VenueError)) as told:
            record("binance", "BTCUSDT", types, url=url, store=tmp_path)
        assert told.value.exit_code == code


def test_a_full_disk_is_told_in_one_line(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(Store(tmp_path), "binance")
    text = basic(data_dir)[0]
    recorder.take(parse(text), text)
    assert recorder.journal._file is not None
    recorder.journal._file.close()
    recorder.journal._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - closed by the journal
    with pytest.raises(DataError, match=r"cannot be written .*No space left"):
        recorder.take(parse(text), text)
    with pytest.raises(DataError, match="cannot be written"):
        recorder.close()
    assert len(finish_left(Store(tmp_path)).parts) == 1


def test_a_damaged_journal_gives_what_can_be_read(data_dir: Path, tmp_path: Path) -> None:
    store, texts = Store(tmp_path), basic(data_dir)
    recorder = Recorder(store, "binance")
    for text in texts[:100]:
        recorder.take(parse(text), text)
    (path,) = recorder.journal.folder.glob("*.ndjson")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:50], b"\0" * 20 + b"\n", *lines[50:-1], lines[-1][:-10]]))
    recorder.journal._file.close()  # type: ignore[union-attr]
    recorder.journal._lock.close()
    done = finish_left(store)
    assert (done.messages, done.refused, done.left) == (99, 1, [])
    remarks = done.parts[0].remarks
    assert any("journal: message: is no JSON" in line for line in remarks)
    assert any("the recording was killed" in line for line in remarks)
    kept = rows_in(tmp_path, "trades")
    assert kept.equals(csv_rows(data_dir, "trades")[: len(kept)])


def test_killed_recordings_lose_nothing(tmp_path: Path, seed: int) -> None:
    assert campaign(2, tmp_path, seed) == []
