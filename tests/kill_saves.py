"""Kill -9 while a result is saved, and damage to a saved one: nothing half is read, nothing whole is lost.

    python -m tests.kill_saves --kills 300 --mutations 500 --seed 1

Real `sheepfold backtest` processes save over nothing or over an older result of the same run (other notes, so
other bytes) and are killed at random moments, most of them while they save. Afterwards the folder is absent,
the old one or the new one, to the byte, page included; and the next run completes. Then copies of a saved
folder are damaged: each is refused, or equal in everything that was not touched.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from framework.cli import main as sheepfold
from framework.errors import ResultError
from framework.result import Result

ROOT = Path(__file__).parent.parent
NAME = "run"
COMMAND = [
    "backtest", "regime_trader.py", "--from", "2019-01-01", "--to", "2019-01-08", "--out", f"out/{NAME}"
]  # fmt: skip
UNLISTED = ("report.html", "report.png", "regime_trader.py")  # drawn again, and checked by `rerun`
Bytes = dict[str, bytes]


def bytes_of(folder: Path) -> Bytes:
    """Return every file of a folder by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Stand in a folder, without the output of what runs there."""
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        yield


class Desk:
    """A folder with the strategy, and what an old and a new result of one command are to the byte."""

    def __init__(self, place: Path, seed: int) -> None:
        self.place, self.rng = place, random.Random(seed)
        self.target = place / "out" / NAME
        shutil.copy(ROOT / "strategies" / "regime_trader.py", place)
        self.complete()
        self.new = bytes_of(self.target)
        older = Result.load(self.target)
        older.notes.append("an older result")
        with inside(place):
            older.save(f"out/{NAME}", report=True, source=place / "regime_trader.py")
        self.old = bytes_of(self.target)
        assert self.old.keys() == self.new.keys() >= {*UNLISTED, "manifest.json", "cassette.jsonl.gz"}
        assert self.old["report.html"] != self.new["report.html"]
        shutil.copytree(self.target, place / "old")
        self.took = self.measure()

    def complete(self) -> None:
        """Run the command to its end: it says 0, and nothing else lies beside its folder."""
        with inside(self.place):
            assert sheepfold(COMMAND) == 0
        assert [path.name for path in self.target.parent.iterdir()] == [NAME]

    def start(self) -> subprocess.Popen[bytes]:
        """Start the command as a process of its own."""
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            [sys.executable, "-m", "framework", *COMMAND], cwd=self.place, env=env,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def saving(self, process: subprocess.Popen[bytes], wanted: bool = True) -> bool:
        """Wait until the process saves, or until it has saved; False when it has ended before."""
        while process.poll() is None:
            if wanted == any(path.name.startswith(".") for path in self.target.parent.iterdir()):
                return True
            time.sleep(0.0005)
        return False

    def measure(self) -> tuple[float, float]:
        """Return the seconds until a process saves, and of the save."""
        process, begun = self.start(), time.monotonic()
        assert self.saving(process)
        seen = time.monotonic()
        self.saving(process, wanted=False)
        saved = time.monotonic()
        assert process.wait() == 0
        return seen - begun, saved - seen

    def kill(self) -> str:
        """Kill one run and return what is there: absent, old or new; AssertionError for anything else."""
        shutil.rmtree(self.target.parent)
        self.target.parent.mkdir()
        had_one = self.rng.random() < 0.7
        if had_one:
            shutil.copytree(self.place / "old", self.target)
        process = self.start()
        if self.rng.random() < 0.2:
            time.sleep(self.rng.uniform(0.0, sum(self.took)))
        elif self.saving(process):
            time.sleep(self.rng.uniform(0.0, 1.1 * self.took[1]))
        process.kill()
        process.wait()
        return self.judge(had_one)

    def judge(self, had_one: bool) -> str:
        """Say what a killed run left; a half that can be read, or a lost result, fails."""
        for path in self.target.parent.iterdir():
            if path != self.target:  # the temporary folder: a half, or whole but for the swap
                with contextlib.suppress(ResultError):
                    assert Result.load(path).fingerprint == self.fingerprint
        if not self.target.exists():
            assert not had_one, "a finished result is lost"
            return "absent"
        found = bytes_of(self.target)
        odd = [name for name in {**found, **self.new} if found.get(name) != self.new.get(name)]
        assert not odd or (had_one and found == self.old), f"a half: {odd} are not those of the new result"
        assert Result.load(self.target).fingerprint == self.fingerprint
        return "new" if found == self.new else "old"

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the one result there can be."""
        return Result.load(self.place / "old").fingerprint

    def damage(self) -> str:
        """Damage one file of a copy of the old folder; return its name and how."""
        copy = self.place / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.place / "old", copy)
        file = copy / self.rng.choice(sorted(self.old))
        data, how = bytearray(file.read_bytes()), self.rng.choice(("flip", "cut", "delete", "grow", "zero"))
        at = self.rng.randrange(len(data))
        if how == "flip":
            data[at] ^= self.rng.randrange(1, 256)
        elif how == "zero":
            data[at] = 0 if data[at] else 1
        elif how == "grow":
            data[at:at] = self.rng.randbytes(self.rng.randrange(1, 40))
        file.write_bytes(bytes(data[:at] if how == "cut" else data))
        if how == "delete":
            file.unlink()
        return f"{file.name} {how}"

    def read_damaged(self, what: str) -> str:
        """Load the damaged copy: `refused`, or `harmless` where it equals the whole one."""
        try:
            found = Result.load(self.place / "copy")
        except ResultError:
            return "refused"
        whole = Result.load(self.place / "old")
        assert what.split()[0] in UNLISTED, f"{what} was not seen"
        assert found.diff(whole) == [], what
        parts = [(one.manifest, one.params, one.notes, one.bounds, one.cassette) for one in (found, whole)]
        assert repr(parts[0]) == repr(parts[1]), what
        return "harmless"


def run(place: Path, kills: int, mutations: int, seed: int, complete_every: int = 10) -> str:
    """Kill and damage, and return the counts in words."""
    print(f"seed {seed}")
    desk = Desk(place, seed)
    found = Counter[str]()
    for n in range(1, kills + 1):
        found[desk.kill()] += 1
        if n % complete_every == 0 or n == kills:
            desk.complete()
            assert bytes_of(desk.target) == desk.new
    read = Counter(desk.read_damaged(desk.damage()) for _ in range(mutations))
    return (
        f"{kills} kills: {found['absent']} absent, {found['old']} old, {found['new']} new, 0 halves, 0 lost; "
        f"{mutations} mutations: {read['refused']} refused, {read['harmless']} harmless, 0 wrong"
    )


def main() -> None:
    """Read the command's options and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.kill_saves")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--mutations", type=int, default=500)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        print(run(Path(place), given.kills, given.mutations, given.seed))


if __name__ == "__main__":
    main()
