"""Workers that record, in processes of their own, and a relay that counts what it is asked."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from framework.llm.cassette import encode
from framework.llm.client import HolySheep
from framework.llm.record import Record, seal
from framework.llm.store import Store
from framework.testing.holysheep import HolySheepServer, Scripted
from tests.llm_bench import prompts_of

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.llm_workers", "framework.llm.sender", "framework.llm.store"])
CONCURRENCY = 4
USAGE = {"prompt_tokens": 800, "completion_tokens": 150}
LIMIT = 120.0  # s; whatever waits longer waits for the dead
TIMES = ("latency_ns", "waited_ns", "attempts")


class Relay:
    """A server that answers after a moment and counts how often each question was asked."""

    def __init__(self, seconds: float = 0.02) -> None:
        self.asked: Counter[str] = Counter()
        self.active = 0
        self._seconds, self._lock, self._never = seconds, threading.Lock(), threading.Event()
        self.server = HolySheepServer(self._answer)

    def __enter__(self) -> Relay:
        self.server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.close()

    @property
    def total(self) -> int:
        """Answers so far: each is paid."""
        return sum(self.asked.values())

    def _answer(self, body: dict[str, Any]) -> Scripted:
        with self._lock:
            self.active += 1
        self._never.wait(self._seconds)
        with self._lock:
            self.asked[body["messages"][1]["content"]] += 1
            self.active -= 1
        return Scripted(usage=USAGE)

    def settle(self) -> None:
        """Wait until no question of the dead is on its way any more."""
        quiet, seen, last = 0, -1, time.monotonic() + LIMIT
        while quiet < 12 and time.monotonic() < last:
            calls = self.server.calls
            quiet = quiet + 1 if self.active == 0 and calls == seen else 0
            seen = calls
            self._never.wait(0.03)


def record(environment: dict[str, str], store: str, count: int, options: dict[str, Any],
           out: Any = None) -> None:
    """Record `count` questions: the program of a worker. Puts (answers paid, error, statuses) in `out`."""
    os.environ.update(environment)
    error, statuses = "", list[str]()
    with HolySheep(mode="record", store=store, canary=False, timeout=20.0, **options) as client:
        try:
            statuses = [one.status for one in client.decide(prompts_of(count))]
        except Exception as found:
            error = type(found).__name__
        if out is not None:
            out.put((client.spent.answers, error, statuses))


def start(relay: Relay, store: Path, count: int, out: Any = None, **options: Any) -> BaseProcess:
    """Start a worker."""
    usual = {"concurrency": CONCURRENCY}
    worker = CONTEXT.Process(
        target=record, args=(relay.server.environment, str(store), count, usual | options, out), daemon=True
    )
    worker.start()
    return worker


def wait_for(is_done: Callable[[], bool], what: str) -> None:
    """Poll until it is done; an error says what never came."""
    last = time.monotonic() + LIMIT
    while not is_done():
        if time.monotonic() > last:
            raise AssertionError(f"{what}: not after {LIMIT:.0f} s")
        time.sleep(0.002)


def cassette(store: Path) -> bytes:
    """Return the cassette of everything in a store, without what differs from run to run: times, headers."""
    rows = rows_of(store)
    same = ({**row, **dict.fromkeys(TIMES, 0), "reply": {**row["reply"], "headers": {}}} for row in rows)
    return encode(seal(row) for row in same)


def stored(store: Path) -> set[str]:
    """Return the words of the questions that are answered in a store."""
    return {row["request"]["body"]["messages"][1]["content"] for row in rows_of(store)}


def rows_of(store: Path) -> list[Record]:
    """Return the records of a store; none when there is no store yet."""
    if not store.exists():
        return []
    with Store(store) as shelf:
        keys = shelf.keys()
        names = [name for name in keys if not name.startswith("rung:")]
        return [json.loads(shelf.get(name) or "") for name in names]
