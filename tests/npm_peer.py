"""The official npm client as a peer: tardis-dev on Node makes normalized messages of native ones.

It is installed once into the cache folder and reads its own cache, which is filled before: no server, no
network. `messages` replays slices; `command` starts it on live feeds, whose URLs are in WSS_URL_<EXCHANGE>.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from framework.jit import cache_root
from framework.times import MINUTE, SECOND, format_time, parse_time

VERSION = "13.35.3"
SCRIPT = Path(__file__).with_suffix(".js")
TIMEOUT = 120.0


@cache
def installed() -> Path | str:
    """Return the node_modules folder that holds the client, installed on first use, or why there is none."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return "node and npm are not installed"
    home = cache_root() / "peers" / f"npm-tardis-dev-{VERSION}"
    if not home.exists():
        with tempfile.TemporaryDirectory(dir=make(home.parent)) as place:
            made = make(Path(place, "client"))
            (made / "package.json").write_text('{"private": true}')
            call = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", f"tardis-dev@{VERSION}"]
            done = subprocess.run(
                call, cwd=made, capture_output=True, text=True, timeout=TIMEOUT, check=False
            )
            if done.returncode:
                return f"npm install tardis-dev@{VERSION} failed: {done.stderr.strip().splitlines()[-1:]}"
            with contextlib.suppress(OSError):  # another process was first
                made.rename(home)
    return home / "node_modules"


def make(folder: Path) -> Path:
    """Return a folder that is there."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def node_modules() -> Path:
    """Return where the client is installed; skip the test with the reason where it cannot be."""
    found = installed()
    if isinstance(found, Path):
        return found
    print(f"npm peer left out: {found}")
    pytest.skip(f"npm peer left out: {found}")


def command(folder: Path, options: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Return argv and environment of the client; `folder` gets its options and its cache.

    Options: exchange, symbols, types (names as of tardis-machine), and from, to, folder (of slices),
    disconnects; or live=True, stop (messages), timeoutMs.
    """
    modules = node_modules()
    file = folder / "options.json"
    file.write_text(json.dumps({"cacheDir": str(folder / "cache"), **options}))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TARDIS_", "TM_", "WSS_URL_"))}
    return ["node", str(SCRIPT), str(file)], {**kept, "NODE_PATH": str(modules)}


def messages(
    slices: Mapping[int, bytes] | Path,
    exchange: str,
    symbols: Sequence[str],
    start: Any,
    stop: Any,
    types: Sequence[str],
    *,
    disconnects: bool = False,
) -> list[dict[str, Any]]:
    """Return what the client makes of native messages.

    Parameters
    ----------
    slices : dict of minute (ns) to NDJSON of `<28-character local time> <native JSON>` lines, or a folder
        A folder holds files `YYYY-MM-DDTHH-MM.ndjson`. Minutes without a slice are empty.
    start, stop : time
        Whole minutes, `stop` exclusive.
    types : list of str
        trade, book_change, derivative_ticker, liquidation, book_ticker, trade_bar_1m, trade_bar_10ticks,
        trade_bar_2vol, book_snapshot_20_100ms, quote, ...
    """
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if not isinstance(slices, Path):
            slices = write_slices(make(folder / "slices"), slices)
        options = {
            "folder": str(slices), "exchange": exchange, "symbols": list(symbols), "types": list(types),
            "from": format_time(parse_time(start)), "to": format_time(parse_time(stop)),
            "disconnects": disconnects,
        }  # fmt: skip
        argv, env = command(folder, options)
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


def write_slices(folder: Path, slices: Mapping[int, bytes]) -> Path:
    """Write slices by minute as the files the client's script reads."""
    for minute, content in slices.items():
        (folder / f"{format_time(minute)[:16].replace(':', '-')}.ndjson").write_bytes(content)
    return folder


def sliced(rows: Iterable[tuple[int, str]]) -> dict[int, bytes]:
    """Return slices by minute of (local time in ns, native JSON) in order."""
    lines: dict[int, list[str]] = defaultdict(list)
    for ts, text in rows:
        stamp = f"{format_time(ts // SECOND * SECOND)[:-1]}.{ts % SECOND // 100:07d}Z"
        lines[ts // MINUTE * MINUTE].append(f"{stamp} {text}\n")
    return {minute: "".join(part).encode() for minute, part in lines.items()}


def synthetic(data_dir: Path, date: str = "2024-03-01") -> dict[int, bytes]:
    """Return the three slices of the shared synthetic messages of one day."""
    folder = data_dir / "tardis-messages" / "synthetic"
    return {
        parse_time(f"{date}T00:0{i}Z"): (folder / f"binance_{date}T00-0{i}.ndjson").read_bytes()
        for i in range(3)
    }


def capture(path: Path, symbol: str, shift: int = 0) -> Iterator[tuple[int, str]]:
    """Yield (local time in ns, native JSON) of a raw Binance capture.

    `shift` (ns) is added to the local clock. The REST snapshot becomes the message the recorder of Tardis
    makes of it.
    """
    with gzip.open(path, "rt") as file:
        for line in file:
            stamp, _, text = line.rstrip("\n").partition(" ")
            ts = int(stamp) * (1000 if len(stamp) == 16 else 1)
            if '"stream"' not in text[:20]:
                text = f'{{"stream":"{symbol}@depthSnapshot","generated":true,"data":{text}}}'
            yield ts + shift, text
