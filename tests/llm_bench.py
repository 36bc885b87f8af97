"""What the tests of the client share: prompts, a loopback server, and a client that never really waits."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework.llm.client import HolySheep
from framework.llm.decision import Decision, Prompt
from framework.llm.prompt import make_brief
from framework.records import BAR
from framework.testing.holysheep import HolySheepServer, Plan

HOUR = 3_600_000_000_000
START = 1_893_456_000_000_000_000  # 2030-01-01, after every cutoff
GOOD = (
    '{"direction":"long","confidence":0.8,"regime":"ranging","reasoning":"r","suggested_entry":100,'
    '"stop_loss":95,"take_profit":110,"position_size_pct":0.2}'
)


def prompts_of(count: int, price: float = 100.0) -> list[Prompt]:
    bars = np.zeros(count + 1, dtype=BAR)
    bars["open_ts"] = START + HOUR * np.arange(count + 1)
    bars["close_ts"] = bars["open_ts"] + HOUR
    for name in ("open", "high", "low", "close"):
        bars[name] = price
    cuts = (bars[: n + 2] for n in range(count))
    return [Prompt.of(make_brief(int(b["close_ts"][-1]), "binance:BTCUSDT", HOUR, b)) for b in cuts]


class Bench:
    """A server, a store and the environment that points to them."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.patch = tmp_path / "store", monkeypatch
        self.servers: list[HolySheepServer] = []

    def serve(self, plan: Plan = ()) -> HolySheepServer:
        server = HolySheepServer(plan)
        server.__enter__()
        self.servers.append(server)
        for name, value in server.environment.items():
            self.patch.setenv(name, value)
        return server

    def client(self, **options: Any) -> HolySheep:
        """Return a client that records one at a time, without repairs or ladder, unless told otherwise."""
        usual: dict[str, Any] = {"mode": "record" if options.pop("record", True) else "replay",
                                 "store": self.store, "timeout": 5.0, "concurrency": 1, "repairs": 0,
                                 "response_format": "json_object", "canary": False}  # fmt: skip
        return HolySheep(**(usual | options))

    def decide(self, prompts: list[Prompt], **options: Any) -> list[Decision]:
        with self.client(**options) as client:
            return quick(client).decide(prompts)


def quick(client: HolySheep) -> HolySheep:
    """Retries of this client do not wait; what it would have waited is in `client.pauses`."""
    opened = client._open_wire()
    client.pauses = []  # type: ignore[attr-defined]
    opened.pause = client.pauses.append  # type: ignore[attr-defined]
    opened.limits.clock = lambda: time.monotonic() + sum(client.pauses)  # type: ignore[attr-defined]
    return client


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for name in ("HOLYSHEEP_API_KEY", "HOLYSHEEP_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SHEEPFOLD_CACHE", str(tmp_path / "default"))
    made = Bench(tmp_path, monkeypatch)
    yield made
    for server in made.servers:
        server.close()


@pytest.fixture
def no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    for name in ("connect", "connect_ex", "bind", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
