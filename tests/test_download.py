"""Downloads from a loopback Tardis: order, resuming, refusals, what is told, and the command."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from framework.cli import main as sheepfold
from framework.data.tardis_files import check_file
from framework.data.tardis_names import Wanted, dataset_symbol, file_name
from framework.data.tardis_progress import Meter, PlainLines, size, span
from framework.errors import ConfigError, VenueError
from framework.times import parse_time
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


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"venue": "binanc"}, "Tardis has no exchange 'binanc'; did you mean binance"),
        ({"venue": "../x"}, "no Tardis exchange id"),
        ({"symbols": "BTCUSD"}, "binance has no 'BTCUSD' in its datasets; did you mean BTCUSDT"),
        ({"symbols": "PERPETUALS"}, "no grouped file PERPETUALS"),
        ({"symbols": ""}, "symbols"),
        ({"kinds": "trade"}, "did you mean trades"),
        ({"kinds": "quotes"}, "binance offers no quotes of BTCUSDT; choose from trades"),
        ({"kinds": "options_chain"}, "options_chain files are not read"),
        ({"days": ("2024-08-03", "2024-08-01")}, "runs backwards"),
        ({"days": ("2024-08-03", "2024-08-03")}, "is empty"),
        ({"days": ("2024-07-30", "2024-08-03")}, "begins 2024-07-31, 2024-07-30 is before it"),
        ({"days": ("2024-08-03", "2024-08-09")}, "end the range at 2024-08-05"),
        ({"days": ("1900-01-01", "2250-01-01")}, "give a shorter range"),
        ({"workers": 0}, "workers"),
        ({"key": "two words"}, "key holds characters a key cannot have"),
        ({"key": "line\nfeed"}, "key holds characters a key cannot have"),
    ],
    ids=str,
)
def test_the_impossible_is_refused_before_anything_is_fetched(
    bench: Bench, given: dict[str, Any], words: str
) -> None:
    server = bench.serve()
    with pytest.raises(ConfigError, match=words) as info:
        bench.get(**given)
    assert "line" not in str(info.value)
    assert server.datasets == []
    assert not bench.folder.exists()


@pytest.mark.parametrize(
    "symbol",
    ["../../x", "..", "a\\b", "a\0b", "a\nb", "x" * 121, " ", "a b", "\u202ea", 7],
    ids=ascii,
)
def test_symbols_with_path_tricks_are_refused(bench: Bench, symbol: Any) -> None:
    server = bench.serve()
    with pytest.raises(ConfigError, match="symbols"):
        bench.get([symbol])
    assert server.requests == []


def test_names_on_disk_are_safe_and_never_two_in_one() -> None:
    odd = ["CON", "NUL.X", "COM1", ".HIDDEN", "A%B", "A*B", "BTC/USDT:USDT", "K~1", "币安", "A", "_A", "-A"]
    names = [file_name(dataset_symbol(symbol)) for symbol in odd]
    assert len({name.lower() for name in names}) == len(odd)
    assert all(name.isascii() and "/" not in name and not name.startswith(".") for name in names)
    assert names[:4] == ["%43ON", "%4EUL.X", "%43OM1", "%2EHIDDEN"]
    assert file_name("BTC-27DEC24_PERP") == "BTC-27DEC24_PERP"


def test_the_url_is_that_of_the_docs(bench: Bench) -> None:
    from framework.data.tardis_names import DATASETS, base_of

    wanted = Wanted("deribit", "trades", dataset_symbol("btc/usdt:币"), parse_time("2024-08-01"))
    url = "https://datasets.tardis.dev/v1/deribit/trades/2024/08/01/BTC-USDT-%E5%B8%81.csv.gz"
    assert wanted.url(base_of(DATASETS)) == url


@pytest.mark.parametrize(
    "url",
    ["http://example.com/v1", "https://u:p@example.com", "ftp://x", "https://x?y", "https://[", "nonsense"],
)
def test_base_urls_are_https_but_on_this_machine(bench: Bench, url: str) -> None:
    bench.patch.setenv("TARDIS_DATASETS_URL", url)
    with pytest.raises(ConfigError, match="TARDIS_DATASETS_URL"):
        bench.get()


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


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_fetched(bench: Bench) -> None:
    server = bench.serve()
    (bench.place / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be written \(.*\); give another folder"):
        bench.get(to=bench.place / "file")
    assert server.datasets == []


def test_a_link_that_leads_out_of_the_folder_is_not_followed(bench: Bench) -> None:
    bench.serve()
    outside = bench.place / "outside"
    outside.mkdir()
    bench.folder.mkdir(parents=True)
    (bench.folder / "binance").symlink_to(outside)
    done = bench.get(days=("2024-08-01", "2024-08-02"))
    assert "a link leads out of" in done.failures[0].words
    assert list(outside.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_ends_it_and_leaves_no_half(bench: Bench) -> None:
    from framework.data import tardis_files

    server = bench.serve()
    real = os.open

    def full(path: Any, flags: int, mode: int = 0o777) -> int:  # the disk of the one file, not a fake write
        return real("/dev/full", os.O_WRONLY) if str(path).endswith(".part") and flags & os.O_CREAT else real(
            path, flags, mode
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tardis_files.os, "open", full)
        done = bench.get(workers=1)
    assert len(server.datasets) == 1, "nothing more is asked for"
    assert done.files == []
    assert "No space left on device: free some room" in done.failures[1].words
    assert bench.found() == {}
    assert bench.get().complete
    assert bench.whole()


def test_a_small_disk_gets_full_in_the_middle_of_a_file(bench: Bench) -> None:
    small = bench.place / "small"
    small.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(small)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        print("a small disk cannot be mounted here (needs root)")
        pytest.skip("a small disk cannot be mounted here (needs root)")
    big = gzip.compress(os.urandom(200_000), 1, mtime=0)
    bench.serve({**FILES, dataset(DAYS[1]): big})
    try:
        done = bench.get(to=small, workers=1)
        assert [file.wanted.date for file in done.files] == [DAYS[0], DAYS[-1]]
        assert "No space left on device" in done.failures[0].words
        assert "is not asked for" in done.failures[-1].words
        left = [path.name for path in small.rglob("*") if path.is_file()]
        assert left == ["BTCUSDT.csv.gz"] * 2
        (path,) = (file.path for file in done.files if file.wanted.date == DAYS[0])
        assert path.read_bytes() == FILES[dataset(DAYS[0])]
        subprocess.run([command[0], "-o", "remount,size=1m", str(small)], check=True)
        assert bench.get(to=small).complete
    finally:
        subprocess.run(["umount", str(small)], check=True)


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
