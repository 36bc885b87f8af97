"""Kill -9 while files are downloaded: never a part under its final name, nothing whole is lost.

    python -m tests.kill_download --kills 300 --seed 1

Real `sheepfold data download` processes fetch from a loopback server and are killed at random moments. After
each kill every file under its final name is the server's, to the byte, and none that was whole is gone or
fetched again; in the end the next run completes, and no leftover of the dead is there.
"""

from __future__ import annotations

import argparse
import gzip
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from framework.testing.tardis import Fault, TardisServer
from framework.times import DAY, format_time, parse_time

ROOT = Path(__file__).parent.parent
START, DAYS = "2024-03-01", 12
KINDS = ("trades", "incremental_book_L2")


def made(rng: random.Random) -> dict[str, bytes]:
    """Return the files to fetch: gzip of random digits, some of them large."""
    files = {}
    for n in range(DAYS):
        day = format_time(parse_time(START) + n * DAY)[:10].replace("-", "/")
        for kind in KINDS:
            digits = f"{rng.getrandbits(8 * rng.choice((50, 5_000, 150_000))):x}"
            files[f"binance/{kind}/{day}/BTCUSDT"] = gzip.compress(digits.encode(), 1, mtime=0)
    return files


class Desk:
    """A folder, a server, and what an unbroken download of its files is."""

    def __init__(self, place: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.files = made(self.rng)
        self.folder = place / "store" / "_csv"
        self.server = TardisServer(self.files, faults=[Fault("*", -1, slow=2**14)])
        self.stop = format_time(parse_time(START) + DAYS * DAY)[:10]
        self.place = place

    def start(self) -> subprocess.Popen[bytes]:
        """Start the command as a process of its own."""
        command = ["data", "download", "binance", "BTCUSDT", ",".join(KINDS), START, self.stop, "--no-import"]
        env = {
            **os.environ, **self.server.environment, "PYTHONPATH": str(ROOT),
            "SHEEPFOLD_STORE": str(self.place / "store"),
        }  # fmt: skip
        return subprocess.Popen(
            [sys.executable, "-m", "framework", *command, "--workers", "4"], cwd=self.place, env=env,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def finished(self) -> set[str]:
        """Return the files under their final names; each must be whole."""
        found = set()
        for path in self.folder.rglob("*.csv.gz"):
            name = path.relative_to(self.folder).as_posix().removesuffix(".csv.gz")
            assert path.read_bytes() == self.files[name], f"a part under its final name: {path}"
            found.add(name)
        return found

    def parts(self) -> int:
        """Return the number of temporary files."""
        return sum(1 for _ in self.folder.rglob("*.part"))

    def kill(self) -> str:
        """Kill one run at a random moment; say when: before the first request, while it fetches, or ended."""
        before, asked = self.finished(), len(self.server.datasets)
        process = self.start()
        wanted = asked + self.rng.randrange(1, 8)
        while process.poll() is None and len(self.server.datasets) < wanted:
            time.sleep(0.001)
        time.sleep(self.rng.uniform(0.0, 0.15))
        process.kill()
        process.wait()
        after = self.finished()
        assert before <= after, f"finished files are lost: {before - after}"
        again = [path for path in self.server.datasets[asked:] if self.named(path) in before]
        assert not again, f"fetched again: {again}"
        if process.returncode == 0:
            return "ended"
        return "with parts" if self.parts() else "between files"

    def named(self, path: str) -> str:
        """Return the name of the file a request is for."""
        return path.partition("?")[0].strip("/").removesuffix(".csv.gz")

    def complete(self) -> None:
        """Run to the end: every file, nothing else."""
        assert self.start().wait() == 0
        assert self.finished() == self.files.keys()
        assert self.parts() == 0, "leftovers of the dead"

    def damage(self) -> None:
        """Take away some finished files, so that there is something to fetch."""
        for name in sorted(self.finished()):
            if self.rng.random() < 0.7:
                (self.folder / f"{name}.csv.gz").unlink()


def run(place: Path, kills: int, seed: int) -> str:
    """Kill so often, and return the counts in words."""
    print(f"seed {seed}")
    desk, found, rounds = Desk(place, seed), Counter[str](), 0
    with desk.server:
        for _ in range(kills):
            found[desk.kill()] += 1
            if desk.finished() == desk.files.keys():
                desk.complete()
                desk.damage()
                rounds += 1
        desk.complete()
    told = ", ".join(f"{count} {how}" for how, count in sorted(found.items()))
    return f"{kills} kills: {told}; {rounds + 1} downloads completed; 0 halves, 0 files lost"


def main() -> None:
    """Read the command's options and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.kill_download")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        print(run(Path(place), given.kills, given.seed))


if __name__ == "__main__":
    main()
