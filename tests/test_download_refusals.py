"""What a download refuses before it fetches anything: the impossible, path tricks, folders, a full disk."""

from __future__ import annotations

import gzip
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from framework.data import download
from framework.data.tardis_http import Patience
from framework.data.tardis_names import Wanted, dataset_symbol, file_name
from framework.errors import ConfigError
from framework.times import parse_time
from tests.tardis_bench import DAYS, FILES, Bench, bench, dataset

__all__ = ["bench"]  # fixture


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


def test_a_service_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens: a few attempts at the first file, none at the others, and a near name."""
    with socket.socket() as taken:  # bound and not listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        monkeypatch.setenv("TARDIS_DATASETS_URL", url)
        monkeypatch.setenv("TARDIS_API_URL", url)
        said: list[str] = []
        done = download(
            "binance-future", "BTCUSDT", "trades", "2024-02-01", "2024-02-09", key="k", store=tmp_path,
            patience=Patience(unit=0.001), say=said.append,
        )  # fmt: skip
    assert len(done.failures) == 8
    assert sum("(4 attempts)" in failure.words for failure in done.failures) == 1
    assert sum("does not answer" in failure.words for failure in done.failures) == 7
    assert any("binance-futures" in line for line in said)
