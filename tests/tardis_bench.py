"""What the tests of downloads share: a small Tardis on this machine, its files, and quick patience."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from framework.data.tardis import Downloads, download
from framework.data.tardis_http import Patience
from framework.testing.tardis import Fault, TardisServer

QUICK = Patience(unit=0.0005, connect=5.0, silence=5.0)
DAYS = ("2024-07-31", "2024-08-01", "2024-08-02", "2024-08-03", "2024-08-04")
RANGE = ("2024-07-31", "2024-08-05")
HEADER = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"


def csv(day: str, symbol: str = "BTCUSDT", rows: int = 60) -> bytes:
    """Return a day's trades as csv.gz."""
    from framework.times import parse_time

    start = parse_time(day) // 1_000
    lines = [
        f"binance,{symbol},{start + n * 1_000_000},{start + n * 1_000_000 + 7_000},{n},buy,{100 + n}.5,0.25\n"
        for n in range(rows)
    ]
    return gzip.compress((HEADER + "".join(lines)).encode(), 6, mtime=0)


def dataset(day: str, symbol: str = "BTCUSDT", kind: str = "trades", venue: str = "binance") -> str:
    """Return the path of a dataset as the server takes it."""
    return f"{venue}/{kind}/{day.replace('-', '/')}/{symbol}"


FILES = {dataset(day): csv(day) for day in DAYS}


class Bench:
    """One test's server, folder and environment."""

    def __init__(self, place: Path, patch: pytest.MonkeyPatch) -> None:
        self.place, self.patch = place, patch
        self.servers: list[TardisServer] = []
        self.said: list[str] = []
        for name in ("TARDIS_API_KEY", "TARDIS_DATASETS_URL", "TARDIS_API_URL", "SHEEPFOLD_STORE"):
            patch.delenv(name, raising=False)
        patch.setenv("SHEEPFOLD_STORE", str(place / "store"))

    def serve(self, files: Any = FILES, *, faults: Any = (), **options: Any) -> TardisServer:
        """Start a server and point the environment at it."""
        server = TardisServer(files, faults=faults, **options)
        server.__enter__()
        self.servers.append(server)
        for name, value in server.environment.items():
            self.patch.setenv(name, value)
        return server

    def get(
        self, symbols: Any = "BTCUSDT", kinds: Any = "trades", days: Any = RANGE, **options: Any
    ) -> Downloads:
        """Download with quick patience; no import."""
        given: dict[str, Any] = {
            "say": self.said.append, "patience": QUICK, "import_": False, **options
        }  # fmt: skip
        return download(given.pop("venue", "binance"), symbols, kinds, *days, **given)

    @property
    def folder(self) -> Path:
        """Where downloads go."""
        return self.place / "store" / "_csv"

    def found(self) -> dict[str, bytes]:
        """Return every file below the folder of downloads."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in sorted(self.folder.rglob("*")) if path.is_file()
        }  # fmt: skip

    def whole(self, files: Any = FILES) -> bool:
        """True when exactly the server's files are here, to the byte."""
        return self.found() == {f"{name}.csv.gz": data for name, data in sorted(files.items())}

    def close(self) -> None:
        """Stop the servers."""
        for server in self.servers:
            server.close()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A bench whose servers are closed afterwards."""
    made = Bench(tmp_path, monkeypatch)
    yield made
    made.close()


__all__ = ["DAYS", "FILES", "QUICK", "RANGE", "Bench", "Fault", "bench", "csv", "dataset"]
