"""Kill -9 while a store is written and read: no half of a day is read, no whole day is lost.

    python -m tests.kill_store --kills 300 --seed 1

A real process imports files, replaces days by others (each new reading of a day by the other file), splits a
file of many symbols, and reads every day between. It is killed at a random moment, most of them while it
writes. Afterwards every day is one of its files, whole, what was finished is there, and importing the rest
makes the very bytes of an import that was never broken.
"""

from __future__ import annotations

import argparse
import gzip
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from framework.data import Store
from framework.data.schema import COLUMNS
from tests.tick_files import T, csv_text, save, trade

ROOT = Path(__file__).parent.parent
LONG = 86_400_000_000  # us of a day
DAYS = ("2023-04-05", "2023-04-06", "2023-04-07")
WORKER = """
import os, sys
import framework.data.store_csv, framework.data.store_rows
from framework.data import Store

def work(store, files):
    for n in range(10**9):
        for file in files:
            side = "ab"[n % 2] if "PERPETUALS" not in file else "a"
            for one in store.add_csv(file.replace("@", side), replace=True):
                print(one.part.symbol, one.part.day, one.part.file_sha256, flush=True)
            for part in store.parts():
                assert sum(len(frame) for frame in store.frames(part)) == part.rows

for _ in sys.stdin:
    if child := os.fork():
        print(child, flush=True)
        print("end", os.waitpid(child, 0)[1], flush=True)
    else:
        work(Store(sys.argv[1]), sys.argv[2].split("|"))
"""


def rows(day: int, count: int, price: float) -> list[list[Any]]:
    """Return trades of a day."""
    return [trade(T + day * LONG + i, id=str(i), price=price + 0.5 * (i % 3)) for i in range(count)]


class Field:
    """Files, what each becomes in a store, and the store that is killed."""

    def __init__(self, place: Path, seed: int, count: int = 5_000) -> None:
        self.place, self.rng = place, random.Random(seed)
        self.store = Store(place / "store")
        for name, price in (("a", 1.5), ("b", 2.5)):
            (place / name).mkdir()
            for n, day in enumerate(DAYS):
                save(place / name, "trades", csv_text("trades", rows(n, count, price)), day)
        self.group(count // 4)
        self.files = [f"{place}/@/made_trades_{day}_AAABBB.csv.gz" for day in DAYS]
        self.files.append(f"{place}/a/made_trades_{DAYS[0]}_PERPETUALS.csv.gz")
        self.whole = {name: self.unbroken(name) for name in "ab"}

    def group(self, count: int) -> None:
        """Write the file of many symbols."""
        lines = [",".join(COLUMNS["trades"])]
        for row in rows(0, count, 1.5):
            lines += [f"made,{symbol},{','.join(map(str, row))}" for symbol in ("CCC", "DDD")]
        path = self.place / "a" / f"made_trades_{DAYS[0]}_PERPETUALS.csv.gz"
        path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), 1))

    def unbroken(self, name: str) -> dict[str, bytes]:
        """Return the files of a store that was filled at once."""
        store = Store(self.place / f"whole-{name}")
        self.fill(store, name)
        return everything(store.folder)

    def fill(self, store: Store, name: str) -> None:
        """Import every file of a side."""
        for file in self.files:
            store.add_csv(file.replace("@", name), replace=True)

    def start(self) -> subprocess.Popen[str]:
        """Start the process whose children import, replace and read until they are killed."""
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        words = [sys.executable, "-c", WORKER, str(self.store.folder), "|".join(self.files)]
        return subprocess.Popen(words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def kill(self, parent: subprocess.Popen[str]) -> str:
        """Let a process work for a moment, kill it, and look at what it left."""
        if self.rng.random() < 0.3:
            shutil.rmtree(self.store.folder, ignore_errors=True)
        before = {key(part): part.file_sha256 for part in self.store.parts()}
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write("\n")
        parent.stdin.flush()
        child = int(parent.stdout.readline())
        begun, wait = time.monotonic(), self.rng.uniform(0.0, 0.3)
        steps = self.rng.randrange(100)  # times it is seen at writing
        while time.monotonic() - begun < wait or (steps and time.monotonic() - begun < 0.6):
            steps -= steps > 0 and self.writes()
        os.kill(child, signal.SIGKILL)
        told = list(iter(parent.stdout.readline, f"end {signal.SIGKILL:d}\n"))
        finished = {(s, int(day)): sha for s, day, sha in map(str.split, told)}
        return self.judge(before, finished)

    def writes(self) -> bool:
        """True when a day is being written or replaced."""
        names = (name for _, _, found in os.walk(self.store.folder / "made") for name in found)
        return any(name.endswith(".old") or name in ("rows", "pack", "manifest") for name in names)

    def judge(self, before: dict[Any, str], finished: dict[Any, str]) -> str:
        """Look at a store after a kill; return what was found."""
        store = Store(self.store.folder)
        parts = {key(part): part for part in store.parts()}
        assert parts.keys() >= before.keys() | finished.keys(), "a finished day is lost"
        for part in parts.values():
            assert part.file_sha256 in self.hashes(), f"{part} is of none of its files"
            assert sum(len(frame) for frame in store.frames(part)) == part.rows
        last = [parts[name].file_sha256 == sha for name, sha in finished.items()]
        assert last.count(False) <= 2, "more days than one file's were changed after they were told"
        names = [path.name for path in store.folder.rglob("*") if path.is_file()]
        half = "old kept" if any(n.endswith(".old") for n in names) else "new left" if any(
            ".new-" in str(path) for path in store.folder.rglob("*")) else "clean"  # fmt: skip
        bare = len([n for n in names if n.endswith(".parquet")]) > len(parts)
        return "rows alone" if bare and half == "clean" else half

    def hashes(self) -> set[str]:
        """Return the hashes of every Parquet file there can be."""
        stores = [Store(self.place / f"whole-{name}") for name in "ab"]
        return {part.file_sha256 for store in stores for part in store.parts()}

    def complete(self) -> None:
        """Import what is missing: the store is the one that was never broken, to the byte."""
        name = self.rng.choice("ab")
        self.fill(Store(self.store.folder), name)
        assert everything(self.store.folder) == self.whole[name]
        assert Store(self.store.folder).verify() == []


def key(part: Any) -> tuple[str, int]:
    """Return what tells the days apart."""
    return part.symbol, part.day


def everything(folder: Path) -> dict[str, bytes]:
    """Return every file of a store that is no lock."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths if p.name not in (".lock", ".writers")}


def run(place: Path, kills: int, seed: int) -> str:
    """Kill, and return the counts in words."""
    print(f"seed {seed}")
    field = Field(place, seed)
    found = Counter[str]()
    with field.start() as parent:
        for n in range(1, kills + 1):
            found[field.kill(parent)] += 1
            if n % 5 == 0 or n == kills:
                field.complete()
        parent.stdin.close()  # type: ignore[union-attr]
    words = ", ".join(f"{count} {name}" for name, count in sorted(found.items()))
    return f"{kills} kills: {words}; 0 halves read, 0 days lost"


def main() -> None:
    """Read the command's options and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.kill_store")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        print(run(Path(place), given.kills, given.seed))


if __name__ == "__main__":
    main()
