"""What the tests of the wire share: a server and a wire to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from framework.llm.transport import Timeouts
from framework.llm.wire import Wire
from framework.testing.holysheep import HolySheepServer, Plan

BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Current price: 100"}]}
Serve = Callable[..., tuple[HolySheepServer, Wire]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start a server and a wire to it whose retries do not wait."""
    made: list[tuple[HolySheepServer, Wire]] = []

    def start(plan: Plan = (), **options: Any) -> tuple[HolySheepServer, Wire]:
        ours = {name: options.pop(name) for name in ("schema", "latency") if name in options}
        server = HolySheepServer(plan, **ours).__enter__()
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        wire = Wire(server.url, loopback=True, **({"timeouts": Timeouts.of(20.0)} | options))
        wire.pause = lambda _: True
        made.append((server, wire))
        return made[-1]

    yield start
    for server, wire in made:
        wire.close()
        server.close()
