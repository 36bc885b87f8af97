"""kill -9 of a recording, again and again: nothing older than a second is lost, nothing is there twice.

    python -m tests.kill_recorder 10

A loopback machine sends numbered trades and book changes; `sheepfold data record` is killed at a moment drawn
by chance (while it records, or while it puts rows into the store); the next recording finishes what it left.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from framework.data import Store, load
from framework.data.recorder import finish_left
from framework.testing import MachineServer, Play

RATE = 4000.0
MESSAGES = 40_000
STAMP = "2024-03-01T00:00:00.000Z"
BATCH = 10  # every tenth message changes the book


def texts() -> list[str]:
    """Return numbered messages, a snapshot first."""
    head = {"symbol": "BTCUSDT", "exchange": "binance", "timestamp": STAMP, "localTimestamp": STAMP}
    made = []
    for i in range(MESSAGES):
        if i % BATCH == 0:
            level = [{"price": 100, "amount": i + 1}]
            book = {
                "isSnapshot": i == 0,
                "bids": level,
                "asks": [{"price": 101, "amount": 1}] if i == 0 else [],
            }
            made.append(json.dumps({"type": "book_change", **book, **head}))
        else:
            deal = {"id": str(i), "price": 100 + i % 7, "amount": i, "side": "buy"}
            made.append(json.dumps({"type": "trade", **deal, **head}))
    return made


def campaign(kills: int, folder: Path, seed: int) -> list[str]:
    """Kill so many recordings; return what went wrong."""
    draw = random.Random(seed)
    wrong: list[str] = []
    sessions: list[tuple[int, int, bool]] = []
    with MachineServer(texts(), rate=RATE, stamp=True, plan=[Play(end="silent")] * (kills + 1)) as server:
        sessions += [one_kill(server, folder, draw) for _ in range(kills)]
    store = Store(folder)
    done = finish_left(store)
    wrong += done.left + store.verify()
    days = [store.frames(part) for part in store.parts("binance", "trades")]
    rows = [row for frames in days for frame in frames for row in frame.iter_rows(named=True)]
    numbers = [int(row["id"]) for row in rows]
    wrong += [f"row {row} is not as it was sent" for row in rows if not is_sent(row)][:5]
    if sorted(set(numbers)) != numbers:
        wrong.append("a trade is there twice, or out of order")
    wrong += lost(numbers, sessions)
    start, stop = rows[0]["local_timestamp"], rows[-1]["local_timestamp"]
    market = load("binance", "BTCUSDT", start.date(), stop, store=store)
    if len(market.trades[0]) + 1 < len(rows):
        wrong.append(f"{len(market.trades[0])} of {len(rows)} trades are loaded")
    return wrong


def is_sent(row: dict[str, Any]) -> bool:
    """True for a trade as it was sent."""
    i = int(row["id"])
    return (row["price"], row["amount"], row["side"]) == (100.0 + i % 7, float(i), "buy")


def one_kill(server: MachineServer, folder: Path, draw: random.Random) -> tuple[int, int, bool]:
    """Record and kill; return the first message, how many were sent, and whether it still recorded then."""
    argv = [
        sys.executable, "-m", "framework", "data", "record", "binance", "BTCUSDT", "trade,book_change",
        "--url", server.url, "--store", str(folder),
    ]  # fmt: skip
    while_finishing = draw.random() < 0.3
    argv += ["--for", "0.3s"] if while_finishing else []
    before = server.position
    process = subprocess.Popen(argv, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while server.position == before and process.poll() is None:
        time.sleep(0.01)
    time.sleep(draw.uniform(0.3, 0.7) if while_finishing else draw.uniform(0.0, 0.8))
    sent = server.position
    process.kill()
    process.wait()
    return before, sent, not while_finishing


def lost(numbers: list[int], sessions: list[tuple[int, int, bool]]) -> list[str]:
    """Say where a session has a hole, or lacks more than the last second before it was killed."""
    wrong = []
    for begin, end, is_whole in sessions:
        found = [i for i in numbers if begin <= i < end]
        wanted = [i for i in range(found[0], found[-1] + 1) if i % BATCH] if found else []
        if found != wanted:
            wrong.append(
                f"the recording of {begin} .. {end} has holes: {sorted(set(wanted) - set(found))[:5]}"
            )
        if is_whole and end - begin > RATE and (not found or found[-1] < end - RATE):
            wrong.append(f"the recording of {begin} .. {end} ends at {found[-1:]}")
    return wrong


if __name__ == "__main__":
    seed = int(os.environ.get("SHEEPFOLD_SEED", "20240101"))
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory() as made:
        problems = campaign(int(sys.argv[1]) if len(sys.argv) > 1 else 10, Path(made), seed)
    print("\n".join(problems) or "nothing lost, nothing twice")
    sys.exit(bool(problems))
