"""Random damage to small tick files: each is refused with its name, or read; nothing else, and soon.

`python -m tests.mutate_ticks --cases 2000 --seed 1`: exit code 1 at the first other outcome.
"""

from __future__ import annotations

import argparse
import gzip
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from framework import Instrument, from_tardis
from framework.data.blocks import blocks
from framework.data.careful import Grid, Place, plain_row, ticker_row
from framework.errors import DataError
from tests.bad_ticks import BASE, plain
from tests.tick_files import DAY, ID, WHAT

SECONDS, MEGABYTES = 20.0, 300  # of one case, at most
TOKENS = (b",", b"\n", b"\r\n", b"\0", b"nan", b"-", b".", b"e9", b"1e999", b'"', b"true", b"9" * 40, b"\xff")
KINDS = tuple(BASE)


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Return bytes with one to four random changes."""
    for _ in range(rng.randint(1, 4)):
        at, to = sorted(rng.randrange(len(data) + 1) for _ in range(2)) if data else (0, 0)
        how = rng.randrange(7)
        if how == 0:
            data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        elif how == 1:
            data = data[:at] + rng.choice(TOKENS) + data[at:]
        elif how == 2:
            data = data[:at] + data[to if rng.random() < 0.3 else at + 1 :]
        elif how == 3:
            data = data[:to] + data[at:to] + data[to:]
        elif how == 4:
            digit = str(rng.randrange(10)).encode()
            data = data[:at] if rng.random() < 0.3 else data[:at] + digit + data[at + 1 :]
        elif how == 5:
            lines = data.split(b"\n")
            rng.shuffle(lines)
            data = b"\n".join(lines) if rng.random() < 0.3 else data
        else:
            data = data[:at] + data[at : at + 1] * rng.choice((2, 30, 70_000)) + data[at + 1 :]
    return data


def one_case(seed: int, folder: Path) -> str:
    """Return "" when the verdict of one damaged file is a proper one, else what happened."""
    rng = random.Random(seed)
    kind = rng.choice(KINDS)
    text = plain(kind)
    packed = damaged(rng, gzip.compress(text, 6, mtime=0)) if rng.random() < 0.2 else gzip.compress(
        damaged(rng, text), 1, mtime=0
    )  # fmt: skip
    path = folder / f"made_{kind}_2023-04-05_AAABBB.csv.gz"
    path.write_bytes(packed)
    what = rng.choice((None, WHAT, Instrument(ID, "linear")))
    began, before = time.monotonic(), memory()
    try:
        from_tardis([path], what)
        if what is not None and what.tick_size:
            return unseen(path, kind, what)
    except DataError as error:
        if path.name not in str(error) or "\n" in str(error):
            return f"the error does not name the file in one line: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if time.monotonic() - began > SECONDS:
        return f"took {time.monotonic() - began:.1f} s"
    return f"took {memory() - before} MB" if memory() - before > MEGABYTES else ""


def unseen(path: Path, kind: str, what: Instrument) -> str:
    """Return "" when the careful look takes every row of a file that was read, else its error."""
    data = b"".join(blocks(path))
    place = Place(path, kind, "made", "AAABBB", DAY, DAY + 86_400_000_000, "its day")
    for line in data.split(b"\n")[1:-1]:
        place.row += 1
        try:
            if kind == "derivative_ticker":
                ticker_row(place, line)
            else:
                plain_row(place, line, Grid("tick_size", 1, 1, True), Grid("lot_size", 3, 1, True))
        except DataError as error:
            return f"read, and the careful look says {error}"
        place.local = int(line.split(b",")[3])
    return ""


def memory() -> int:
    """Return the most memory this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def mutate(cases: int, seed: int, folder: Path, report: Callable[[str], object] = print) -> int:
    """Run seeds from `seed` on; report the first improper one. Returns how many ran well."""
    for n in range(cases):
        if said := one_case(seed + n, folder):
            report(f"seed {seed + n}: {said}")
            return n
    return cases


def main() -> int:
    """Command line; 1 when a case has no proper verdict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1, help="seed of the first case")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        done = mutate(options.cases, options.seed, Path(folder))
    sys.stdout.write(f"{done} of {options.cases} cases from seed {options.seed}, most memory {memory()} MB\n")
    return 0 if done == options.cases else 1


if __name__ == "__main__":
    raise SystemExit(main())
