"""Downloads from a loopback Tardis: order, resuming, refusals, what is told, and the command."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import subprocess
import sys
import threading

import pytest

from framework.cli import main as sheepfold
from framework.data.tardis_files import check_file
from framework.data.tardis_progress import Meter, PlainLines, size, span
from framework.errors import ConfigError, VenueError
from tests.tardis_bench import DAYS, FILES, RANGE, Bench, Fault, bench, csv, dataset

__all__ = ["bench"]  # fixture


def day_of(path: str) -> str:
    return "-".join(path.split("/")[3:6])


def test_the_last_day_comes_first_then_the_first_then_the_rest(bench: Bench) -> None:
    server = bench.serve()
    done = bench.get(workers=1)
    assert [day_of(path) for path in server.datasets] == [DAYS[-1], DAYS[0], *DAYS[1:-1]]
    assert bench.whole()
    assert [file.wanted.date for file in done.files] == list(DAYS)
    assert done.complete
    assert all(request.key for request in server.requests if ".csv.gz" in request.path)


def test_what_is_here_and_whole_is_not_fetched_again(bench: Bench) -> None:
    server = bench.serve()
    bench.get()
    before = len(server.datasets)
    damaged = bench.folder / f"{dataset(DAYS[2])}.csv.gz"
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 4
    damaged.write_bytes(data)
    cut = bench.folder / f"{dataset(DAYS[3])}.csv.gz"
    cut.write_bytes(FILES[dataset(DAYS[3])][:-3])
    done = bench.get(workers=1)
    assert [day_of(path) for path in server.datasets[before:]] == [DAYS[2], DAYS[3]]
    assert [file.fetched for file in done.files] == [False, False, True, True, False]
    assert sum("it is fetched again" in words for words in bench.said) == 2
    assert bench.whole()


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(bench: Bench) -> None:
    import fcntl

    bench.serve()
    folder = (bench.folder / dataset(DAYS[1])).parent
    folder.mkdir(parents=True)
    dead, living = folder / ".BTCUSDT.csv.gz.1-dead.part", folder / ".BTCUSDT.csv.gz.1-living.part"
    dead.write_bytes(b"half")
    living.write_bytes(b"half")
    with living.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        bench.get()
    assert not dead.exists()
    assert living.exists()


def test_a_day_without_data_is_an_empty_file_and_no_error(bench: Bench) -> None:
    files = {name: data for name, data in FILES.items() if DAYS[2].replace("-", "/") not in name}
    bench.serve(files)
    done = bench.get()
    assert done.complete
    empty = done.files[2].path
    assert gzip.decompress(empty.read_bytes()) == b""
    assert check_file(empty) == empty.stat().st_size


def test_without_a_key_the_first_day_of_a_month_comes(bench: Bench) -> None:
    server = bench.serve()
    bench.patch.delenv("TARDIS_API_KEY")
    done = bench.get()
    assert [file.wanted.date for file in done.files] == ["2024-08-01"]
    assert [one.wanted.date for one in done.failures] == [DAYS[0], *DAYS[2:]]
    assert len(server.datasets) == 2, "the last day is refused, then only the free one is asked for"
    assert "4 days) need a key and TARDIS_API_KEY is not set" in bench.said[0]
    assert "TARDIS_API_KEY is not set" in done.failures[-1].words
    with pytest.raises(VenueError, match="2024-08-04: HTTP 401"):
        done.check()


def test_the_day_the_datasets_end_on_is_asked_for(bench: Bench) -> None:
    """The service does not say whether `exportedUntil` is a day it has."""
    server = bench.serve()
    done = bench.get(days=("2024-08-03", "2024-08-06"), workers=1)
    assert [one.wanted.date for one in done.failures] == ["2024-08-05"]
    assert day_of(server.datasets[0]) == "2024-08-05"
    assert len(done.files) == 2


def test_a_pair_is_resolved_and_said(bench: Bench) -> None:
    bench.serve()
    done = bench.get("BTC-USDT")
    assert "binance writes BTC-USDT as BTCUSDT" in bench.said
    assert done.remarks == ["binance writes BTC-USDT as BTCUSDT"]
    assert bench.whole()


def test_grouped_files_come_by_their_name(bench: Bench) -> None:
    files = {dataset("2024-08-01", "PERPETUALS", venue="deribit"): csv("2024-08-01", "BTC-PERPETUAL")}
    bench.serve(files)
    bench.get("perpetuals", days=("2024-08-01", "2024-08-02"), venue="deribit")
    assert bench.whole(files)


def test_reported_incidents_are_told_before_the_first_file(bench: Bench) -> None:
    reports = [
        {"from": "2024-08-02T10:00:00.000Z", "to": "2024-08-02T10:20:00.000Z", "status": "resolved",
         "details": "connection\nissues"},
        {"from": "2023-01-01T00:00:00.000Z", "to": "2023-01-02T00:00:00.000Z", "details": "another year"},
    ]  # fmt: skip
    server = bench.serve(details={"binance": {"incidentReports": reports}})
    fetched: list[int] = []
    done = bench.get(say=lambda words: fetched.append(len(server.datasets)) or bench.said.append(words))
    assert done.gaps == ["reported gap 2024-08-02T10:00:00Z .. 2024-08-02T10:20:00Z: connection issues"]
    assert bench.said == done.gaps
    assert fetched == [0]


def test_metadata_is_optional_and_what_was_kept_is_used(bench: Bench) -> None:
    bench.serve()
    bench.get(days=("2024-08-01", "2024-08-02"))
    bench.patch.setenv("TARDIS_API_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(ConfigError, match="did you mean BTCUSDT"):
        bench.get("BTCUSD")
    bench.patch.setenv("SHEEPFOLD_STORE", str(bench.place / "another"))
    done = bench.get()
    assert done.complete
    assert "what is asked for is not checked" in done.remarks[0]


def test_a_dry_run_fetches_nothing(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.serve()
    bench.get(days=("2024-08-01", "2024-08-02"))
    before = bench.found()
    done = bench.get(dry_run=True)
    assert bench.found() == before
    assert {str(wanted): count for wanted, count in done.sizes.items()} == {
        f"binance trades BTCUSDT {day}": len(FILES[dataset(day)]) for day in DAYS if day != "2024-08-01"
    }
    assert done.keyed_days == [day for day in DAYS if day != "2024-08-01"]
    bench.patch.delenv("TARDIS_API_KEY")
    assert sheepfold(["data", "download", "binance", "BTCUSDT", "trades", *RANGE, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "binance trades BTCUSDT 2024-08-01  is here\n" in out
    assert "BTCUSDT 2024-08-02  size unknown  (needs a key)" in out
    assert "5 files: 1 here, 0 B to fetch (0 files) and 4 of unknown size; 4 days need a key" in out


def test_several_at_once_do_not_disturb_each_other(bench: Bench) -> None:
    bench.serve(faults=[Fault("*/trades/*", -1, slow=300)])
    done: list[bool] = []
    threads = [threading.Thread(target=lambda: done.append(bench.get().complete)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [True] * 4
    assert bench.whole(), "every file once, no leftover"


def test_it_works_inside_a_running_loop(bench: Bench) -> None:
    bench.serve()

    async def notebook() -> bool:
        return bench.get().complete

    assert asyncio.run(notebook())
    assert bench.whole()


def test_progress_says_files_bytes_rate_and_time_left() -> None:
    now = [0.0]
    meter = Meter(lambda: now[0])
    meter.files = 4
    assert meter.left is None
    for second in range(1, 5):
        now[0] = float(second)
        meter.receive(500_000)
    meter.settle(1_000_000, fetched=True)
    assert meter.words() == "1 of 4 files, 2.0 MB, 500.0 kB/s, about 4 s left"
    lines: list[str] = []
    PlainLines(lines.append, every=0.0)(meter)
    assert lines == [meter.words()]
    assert (size(999), size(1.5e9), span(200.0), span(9_000.0)) == ("999 B", "1.5 GB", "3 min", "2.5 h")


def test_the_command(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.serve(faults=[Fault("*2024/08/02*", status=404, times=-1)])
    words = ["data", "download", "binance", "BTCUSDT", "trades", *RANGE, "--no-import"]
    assert sheepfold(words) == 4
    said = capsys.readouterr()
    assert said.out.startswith("4 files fetched (")
    assert "1 could not be had" in said.out
    assert "sheepfold: binance trades BTCUSDT 2024-08-02: HTTP 404: scripted 404" in said.err
    assert sheepfold([*words, "--json"]) == 4
    found = json.loads(capsys.readouterr().out)
    assert [file["fetched"] for file in found["files"]] == [False] * 4
    assert sheepfold(["data", "download", "binance", "BTCUSDT", "trades", "2024-08-03", "2024-08-01"]) == 2
    assert sheepfold(["data", "info", "binance"]) == 0
    assert "BTCUSDT  from 2024-07-31  trades" in capsys.readouterr().out


def test_a_terminal_gets_a_bar(bench: Bench) -> None:
    bench.serve(faults=[Fault("*/2024/08/0[1-3]/*", -1, slow=200)])
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "framework", "data", "download", "binance", "BTCUSDT", "trades", *RANGE]
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([*command, "--no-import"], stderr=theirs, stdout=subprocess.PIPE, env=env)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the other side is closed
        while part := os.read(ours, 65_536):
            shown += part
    os.close(ours)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.read().startswith(b"5 files fetched")
    assert process.wait() == 0
    assert b" of 5 files, " in shown
    assert b"\x1b[" in shown


def test_the_server_by_hand_prints_its_environment_and_ends_on_sigterm(bench: Bench) -> None:
    for name, data in FILES.items():
        path = bench.place / "data" / f"{name}.csv.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    command = [sys.executable, "-m", "framework.testing.tardis", "--folder", str(bench.place / "data")]
    server = subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    with server.stdout as lines:
        for _ in range(3):
            name, _, value = lines.readline().removeprefix("export ").strip().partition("=")
            bench.patch.setenv(name, value)
        assert bench.get().complete
        server.terminate()
        assert server.wait(5) == 0
