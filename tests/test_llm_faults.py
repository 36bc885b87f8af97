"""A relay that means ill or is broken: time, memory and calls stay bounded, a run gets its verdict."""

from __future__ import annotations

import threading
import time
import tracemalloc

import pytest

from framework.llm.record import Record
from framework.llm.transport import Transport
from framework.llm.wire import Unanswered, Wire
from tests import llm_raw
from tests.llm_bench import Bench, bench

__all__ = ["bench"]  # fixture

BODY: Record = {"model": "m", "messages": [{"role": "user", "content": "Current price: 100"}]}
NEVER_READY = [
    llm_raw.drips_body, llm_raw.drips_body_without_length, llm_raw.drips_headers, llm_raw.continues_slowly,
    llm_raw.continues_fast, llm_raw.floods_headers, llm_raw.floods_chunks,
]  # fmt: skip


# time and memory of one attempt


@pytest.mark.parametrize("play", NEVER_READY)
def test_an_attempt_ends_at_its_deadline(bench: Bench, play: llm_raw.Play) -> None:
    bench.patch.setenv("HOLYSHEEP_API_KEY", "k" * 20)
    ends: list[BaseException] = []
    with llm_raw.relay(play) as server:
        wire = Wire(server.url, timeout=0.4, retries=0, loopback=True)

        def ask() -> None:
            try:
                wire.send(BODY)
            except BaseException as error:
                ends.append(error)

        tracemalloc.start()
        try:
            start, thread = time.perf_counter(), threading.Thread(target=ask, daemon=True)
            thread.start()
            thread.join(5.0)
            taken, peak = time.perf_counter() - start, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        wire.close()
    assert not thread.is_alive()
    assert taken < 2.0
    assert peak < 32 * 2**20
    assert isinstance(ends[0], Unanswered)


def test_connections_are_kept_and_a_late_alarm_harms_nobody() -> None:
    """A server that keeps connections open: one for each question in flight, then the same again."""
    ports: list[int] = []
    with llm_raw.relay(llm_raw.keeps_open(ports)) as server:
        transport = Transport(loopback=True)
        for _ in range(20):  # each with an alarm that is due after its answer came
            answer = transport.post(f"{server.url}/chat/completions", {}, "{}", 5.0)
            assert (answer.status, answer.body) == (200, b"{}")
        assert len(ports) == 1
        transport.close()
