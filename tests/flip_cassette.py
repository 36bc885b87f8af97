"""Damage recorded decisions at random: each damage is refused or changes nothing, it is never an answer.

    python -m tests.flip_cassette --flips 500 --seed 1

Flipped, cut, deleted, doubled and inserted bytes and lines, on a plain cassette, a compressed one, a run's
folder and the store. Read back are decisions, columns and the run's cassette; exit code 1 when one of them is
wrong or an error is not the framework's own.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from framework.errors import FrameworkError
from framework.llm.cassette import encode, read_cassette, write_cassette
from framework.llm.columns import columns, records_of
from framework.llm.decision import Prompt
from framework.llm.record import Record, Reply, canonical, judge, make_record, messages_of, request_of
from framework.llm.replay import CassetteAnalyst
from framework.llm.store import Store
from framework.result import Result
from tests.llm_bench import GOOD, prompts_of
from tests.made_result import make

HERE = ["binance:BTCUSDT"]
NAMES = ("c.jsonl", "c.jsonl.gz", "run", "store")
SHORT = '{"direction":"short","confidence":0.7,"regime":"volatile","reasoning":"\\u00e9","suggested_entry":'
SAID = (
    GOOD, '{"direction":"neutral","confidence":0.5}', SHORT + '99,"stop_loss":104,"take_profit":80,'
    '"position_size_pct":1}', "no idea", GOOD.replace("95", "105"), "",
)  # fmt: skip


def records_for(prompts: list[Prompt], model: str = "deepseek-v3.2", **body: Any) -> list[Record]:
    """Return one sealed record for each prompt: all verdicts, all sides."""
    rows = []
    for number, prompt in enumerate(prompts):
        how = {"max_tokens": 800, "temperature": 0.3, **body}
        asked = request_of("holysheep", {"model": model, "messages": messages_of(prompt), **how})
        reason = ("stop", "stop", "stop", "length", "stop", "content_filter")[number % 6]
        reply = Reply(SAID[number % 6], finish_reason=reason, usage={"request": {"signal": number}})
        rows.append(make_record(asked, prompt, reply, judge(reply, prompt), analyst="A", stand_in=False,
                                latency_ns=10**9 * (1 + number * 7 % 5)))  # fmt: skip
    return rows


class Bench:
    """Whole copies of everything, and what they say."""

    def __init__(self, folder: Path, count: int = 12) -> None:
        self.folder, self.prompts = folder, prompts_of(count)
        self.records = read_cassette(write_cassette(folder / "c.jsonl", records_for(self.prompts)))
        write_cassette(folder / "c.jsonl.gz", self.records)
        self.text = encode(self.records)
        make(cassette=self.text).save(folder / "run")
        with Store(folder / "store") as store:
            for row in self.records:
                store.set(row["key"], canonical(row))
        connection = sqlite3.connect(folder / "store" / "cache.db")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        self.truth = {name: self.read(folder, name) for name in NAMES}

    def read(self, folder: Path, name: str) -> list[Any]:
        """Return all that can be read of one of them; raises the framework's errors only."""
        path = folder / name
        if name == "run":
            return [Result.load(path).cassette]
        found: list[Any] = [
            columns(path, instruments=HERE, prompts=self.prompts).tobytes(),
            CassetteAnalyst(records_of(path)).decide(self.prompts),
        ]
        return [*found, columns(path, instruments=HERE).tobytes()] if name == "store" else found

    def damaged(self, name: str, draw: Random, folder: Path) -> str:
        """Put a damaged copy into a folder and return what was done to it."""
        source, target = self.folder / name, folder / name
        file = target
        if source.is_dir():
            shutil.copytree(source, target)
            file = target / ("cassette.jsonl.gz" if name == "run" else "cache.db")
        else:
            shutil.copy(source, target)
        whole = file.read_bytes()
        kinds = ["flip", "flips", "cut", "delete", "insert"]
        how = draw.choice([*kinds, "no line", "two lines", "swap"] if name == "c.jsonl" else kinds)
        data = _lines(whole, how, draw) if " " in how or how == "swap" else _bytes(whole, how, draw)
        file.write_bytes(data)
        return f"{how} of {name}" if data != whole else ""

    def verdict(self, name: str, draw: Random) -> tuple[str, str]:
        """Damage one, read it, and return (verdict, what was done)."""
        with tempfile.TemporaryDirectory() as place:
            how = self.damaged(name, draw, Path(place))
            try:
                found = self.read(Path(place), name)
            except FrameworkError as error:
                told = name in str(error) or "cassette" in str(error)
                return ("refused" if told and "\n" not in str(error) else f"SAYS NOT WHERE: {error}"), how
            except Exception as error:
                return f"ESCAPED: {type(error).__name__}: {error}", how
        return ("harmless" if found == self.truth[name] else "WRONG"), how


def _bytes(data: bytes, how: str, draw: Random) -> bytes:
    place = draw.randrange(len(data))
    if how == "cut":
        return data[:place]
    if how == "delete":
        return data[:place] + data[place + draw.choice((1, 2, 50, 1000)) :]
    if how == "insert":
        return data[:place] + draw.randbytes(draw.choice((1, 2, 50))) + data[place:]
    changed = bytearray(data)
    for _ in range(1 if how == "flip" else draw.randint(2, 6)):
        changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _lines(data: bytes, how: str, draw: Random) -> bytes:
    lines = data.splitlines(keepends=True)
    place = draw.randrange(len(lines) - 1)
    if how == "no line":
        del lines[place]
    elif how == "two lines":
        lines.insert(place, lines[place])
    else:
        lines[place], lines[place + 1] = lines[place + 1], lines[place]
    return b"".join(lines)


def campaign(flips: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Return how often each verdict came and what went wrong."""
    counts: Counter[str] = Counter()
    wrong = []
    with tempfile.TemporaryDirectory() as place:
        bench = Bench(Path(place))
        for number in range(flips):
            draw = Random(f"{seed} {number}")
            name = NAMES[number % len(NAMES)]
            verdict, how = bench.verdict(name, draw)
            counts[f"{name}: {verdict.partition(':')[0]}"] += 1
            if verdict not in ("refused", "harmless"):
                wrong.append(f"seed {seed}, number {number}: {how}: {verdict}")
    return counts, wrong


def main() -> int:
    """Run the campaign and print its verdicts."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--flips", type=int, default=500)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    counts, wrong = campaign(given.flips, given.seed)
    for name, count in sorted(counts.items()):
        print(f"{count:6,} {name}")
    print(*wrong[:20], sep="\n")
    print(f"{given.flips:,} damages, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
