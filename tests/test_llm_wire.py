"""Faults on the wire and settings, against a real HTTP server on this machine."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest

from framework.errors import ConfigError, VenueError
from framework.llm import wire
from framework.llm.store import Store
from framework.llm.transport import MAX_BODY
from framework.testing.holysheep import Scripted
from tests.broken_replies import CASES
from tests.llm_bench import GOOD, Bench, bench, prompts_of, quick

__all__ = ["bench"]  # fixture


@pytest.mark.parametrize(
    "fault",
    [
        *(Scripted(status=code) for code in (408, 409, 429, 500, 502, 503, 504, 529)),
        Scripted(cut=20),
        Scripted(body=b""),
        Scripted(body=b'{"choices": [{"message"'),
        Scripted(body=b"<html>busy</html>"),
        Scripted(body=b"[]"),
        Scripted(body=b'{"choices": []}'),
        Scripted(body=b'{"choices": [{"message": null}]}'),
        Scripted(body=b'{"error": {"message": "no upstream"}}'),
        Scripted(body=b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": NaN}}'),
        Scripted(body=b"[" * 100_000),
        Scripted("\u20ac", charset="utf-16"),
        Scripted("\u00e9", charset="latin-1", envelope={"note": "\u00e9"}, body=b'{"choices": "\xe9"}'),
        Scripted(headers={"Content-Encoding": "gzip"}),
    ],
    ids=lambda fault: f"{fault.status} {fault.body!r:.20} {fault.charset} {fault.cut}",
)
def test_transport_faults_are_retried(bench: Bench, fault: Scripted) -> None:
    server = bench.serve([fault, fault, GOOD])
    with bench.client(retries=2) as client:
        (decision,) = quick(client).decide(prompts_of(1))
        assert decision.status == "ok"
        assert server.calls == 3
        (record,) = client.records()
        assert record["attempts"] == 3
        assert record["waited_ns"] > 0
        assert record["latency_ns"] == decision.latency_ns
        assert len(client.pauses) == 2  # type: ignore[attr-defined]


def test_after_the_last_retry_it_is_missing_and_never_stored(bench: Bench) -> None:
    server = bench.serve([GOOD, *[Scripted(status=503)] * 3, GOOD])
    prompts = prompts_of(3)
    first, second, third = bench.decide(prompts, retries=2)
    assert [d.status for d in (first, second, third)] == ["ok", "missing", "ok"]
    assert (second.signal, second.cost, second.latency_ns) == (None, 0.0, 0)
    assert "HTTP 503, after 3 attempts" in second.problems[0]
    with Store(bench.store) as store:
        assert store.get(second.key) is None
        assert len(store) == 2
    assert [d.status for d in bench.decide(prompts)] == ["ok"] * 3
    assert server.calls == 6


def test_hang_and_dead_port(bench: Bench) -> None:
    server = bench.serve([Scripted(hang=True)] * 2)
    (decision,) = bench.decide(prompts_of(1), retries=1, timeout=0.15)
    assert decision.status == "missing"
    assert "ReadTimeout" in decision.problems[0]
    assert server.calls == 2
    server.close()
    bench.servers.clear()
    (decision,) = bench.decide(prompts_of(1), retries=1)
    assert "ConnectError" in decision.problems[0]


def test_endless_and_huge_bodies_are_bounded(bench: Bench) -> None:
    server = bench.serve(
        [Scripted(GOOD, size=10 * 2**20), Scripted(endless=True), Scripted(GOOD, size=MAX_BODY - 10)]
    )
    huge, endless, large = bench.decide(prompts_of(3))
    assert (huge.status, huge.problems) == ("invalid", ("reply is larger than 4 MiB",))
    assert endless.status == "invalid"
    assert large.status == "ok"
    assert huge.cost > 0.0  # it was paid
    assert server.calls == 3
    assert [d.status for d in bench.decide(prompts_of(3), record=False)] == ["invalid", "invalid", "ok"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_stops_at_once(bench: Bench, status: int) -> None:
    server = bench.serve([GOOD, Scripted(status=status)])
    with pytest.raises(VenueError, match="HOLYSHEEP_API_KEY"):
        bench.decide(prompts_of(3))
    assert server.calls == 2
    with Store(bench.store) as store:
        assert len(store) == 1  # what was paid is kept


@pytest.mark.parametrize("status", [301, 307, 402, 404])
def test_what_will_never_be_answered_stops_at_once(bench: Bench, status: int) -> None:
    location = {"Location": "http://127.0.0.1:9/v1"} if status < 400 else {}
    server = bench.serve([Scripted("model \x1b[31m unknown\nreally", status=status, headers=location)])
    with pytest.raises(VenueError, match=f"HTTP {status}") as info:
        bench.decide(prompts_of(1))
    assert server.calls == 1
    assert str(info.value).isprintable()


def test_an_error_keeps_what_is_paid_and_ctrl_c_leaves_at_once(bench: Bench) -> None:
    server = bench.serve(lambda body: Scripted(hang="Time: 2030-01-01 03:00" in str(body)))
    prompts = prompts_of(3)

    def press(done: int, asked: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with bench.client(concurrency=3, timeout=20.0) as client:
        client.progress = press
        start = time.perf_counter()
        with pytest.raises(KeyboardInterrupt):
            client.decide(prompts)
        assert time.perf_counter() - start < 5.0
    with Store(bench.store) as store:
        assert len(store) == 2
    assert server.calls == 3


def test_wrong_key_against_the_real_check(bench: Bench) -> None:
    server = bench.serve()
    bench.patch.setenv("HOLYSHEEP_API_KEY", "wrong-key-000000")
    with pytest.raises(VenueError, match=r"HOLYSHEEP_API_KEY \(HTTP 401\)"):
        bench.decide(prompts_of(1))
    assert server.calls == 1


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("0", 0.0, 0.5),
        ("-7", 0.0, 0.5),
        ("1.5", 1.5, 1.9),
        ("120", 120, 121),
        ("soon", 0.0, 0.5),
        ("nan", 0.0, 0.5),
    ],
)
def test_retry_after_is_obeyed(bench: Bench, value: str, low: float, high: float) -> None:
    bench.serve([Scripted(status=429, headers={"Retry-After": value}), GOOD])
    with bench.client() as client:
        assert quick(client).decide(prompts_of(1))[0].status == "ok"
        (pause,) = client.pauses  # type: ignore[attr-defined]
    assert low <= pause <= high


@pytest.mark.parametrize("value", ["121", "300", "inf", "1e300"])
def test_a_long_retry_after_stops_the_recording(bench: Bench, value: str) -> None:
    server = bench.serve([GOOD, Scripted(status=429, headers={"Retry-After": value})])
    decisions = bench.decide(prompts_of(5))
    assert [d.status for d in decisions] == ["ok"] + ["missing"] * 4
    assert server.calls == 2
    assert "run again later" in decisions[1].problems[0]
    assert "stopped" in decisions[4].problems[0]
    assert [d.status for d in bench.decide(prompts_of(5))] == ["ok"] * 5


def test_retry_after_in_every_form() -> None:
    now = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
    date = format_datetime(now.replace(second=30), usegmt=True)
    seconds = now.timestamp()
    read = [
        wire.retry_after(headers, seconds)
        for headers in ({}, {"retry-after": date}, {"retry-after": "Mon, 99 Foo"}, {"retry-after-ms": "250"},
                        {"retry-after": "Fri, 01 May 2026 11:00:00 GMT"}, {"retry-after": "2.5"})
    ]  # fmt: skip
    assert read == [None, 30.0, None, 0.25, 0.0, 2.5]


def test_jitter_is_full_and_bounded(bench: Bench) -> None:
    bench.serve([Scripted(status=500)] * 400)
    ceilings = [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    rows = []
    for start in range(0, 20, 5):  # after five failures in a row a client retries no more
        with bench.client(retries=6) as client:
            for prompt in prompts_of(20)[start : start + 5]:
                quick(client).decide([prompt])
                rows.append(list(client.pauses))  # type: ignore[attr-defined]
    table = np.array(rows)
    assert table.shape == (20, 6)
    assert (table >= 0.0).all()
    assert (table <= ceilings).all()
    assert (table.min(axis=0) < 0.5 * np.array(ceilings)).all()
    assert (table.max(axis=0) > 0.5 * np.array(ceilings)).all()


def test_every_broken_reply_through_the_wire(bench: Bench) -> None:
    """A verdict for each: stored, replayed as it was, never an exception, never a signal from a bad reply."""
    cases = [row for row in CASES if len(row[1]) < 200_000]
    plan = []
    for _, text, options, _, _ in cases:
        calls = {"tool_calls": [{"id": "1", "type": "function"}]} if options.get("tool_calls") else {}
        plan.append(Scripted(text, finish_reason=options.get("finish_reason", "stop"), message=calls))
    server, prompts = bench.serve(plan), prompts_of(len(cases))
    decisions = bench.decide(prompts)
    assert server.calls == len(cases)
    assert [d.status for d in decisions] == [row[3] for row in cases]
    assert all((d.signal is None) == (d.status != "ok") for d in decisions)
    assert all(d.cost > 0.0 for d in decisions)
    assert bench.decide(prompts, record=False) == decisions
    assert server.calls == len(cases)


@pytest.mark.parametrize(
    ("scripted", "status"),
    [
        (Scripted(message={"content": None}), "invalid"),
        (Scripted(message={"content": [{"type": "text", "text": GOOD}]}), "ok"),
        (Scripted(message={"refusal": "no"}), "refused"),
        (Scripted(message={"function_call": {"name": "buy"}}), "invalid"),
        (Scripted(GOOD, finish_reason="length"), "truncated"),
    ],
)
def test_odd_messages(bench: Bench, scripted: Scripted, status: str) -> None:
    bench.serve([scripted])
    assert bench.decide(prompts_of(1))[0].status == status
    assert bench.decide(prompts_of(1), record=False)[0].status == status


# settings


def test_missing_key_and_bad_urls(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="HOLYSHEEP_API_KEY is not set"):
        bench.client()
    for bad in ("two words here", "line\nbreak0", "clé-0000000"):
        bench.patch.setenv("HOLYSHEEP_API_KEY", bad)
        with pytest.raises(ConfigError, match="characters") as info:
            bench.client()
        assert bad not in str(info.value)
    bench.patch.setenv("HOLYSHEEP_API_KEY", "k" * 20)
    for url in (
        "http://api.holysheep.ai/v1",
        "ftp://127.0.0.1/v1",
        "https://u:p@host/v1",
        "https://host/v1?x=1",
        "127.0.0.1:80",
        "https://",
        "http://127.0.0.1.evil.com/v1",
        "https://[::1",
        "http://host:99999/",
    ):
        bench.patch.setenv("HOLYSHEEP_BASE_URL", url)
        with pytest.raises(ConfigError, match="HOLYSHEEP_BASE_URL") as info:
            bench.client()
        assert "u:p" not in str(info.value)
    for url in (
        "http://localhost:1/v1",
        "http://[::1]:1/v1",
        "http://127.8.9.1/v1",
        "https://my.relay.example/v1",
    ):
        bench.patch.setenv("HOLYSHEEP_BASE_URL", url)
        bench.client()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model": ""}, "model"), ({"model": "a\nb"}, "model"), ({"model": 3}, "model"),
        ({"temperature": -0.1}, "temperature"), ({"temperature": math.nan}, "temperature"),
        ({"temperature": 2.1}, "temperature"), ({"temperature": True}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"), ({"max_tokens": 1.5}, "max_tokens"),
        ({"timeout": 0}, "timeout"), ({"timeout": math.inf}, "timeout"), ({"retries": -1}, "retries"),
        ({"retries": 99}, "retries"), ({"concurrency": 0}, "concurrency"),
        ({"price_in": -1.0}, "price_in"), ({"price_out": math.nan}, "price_out"),
        ({"model": "unheard-of"}, "price_in and price_out"),
        ({"model": "unheard-of", "price_in": 1.0}, "both"),
    ],
)  # fmt: skip
def test_settings_out_of_range(bench: Bench, options: dict[str, Any], says: str) -> None:
    bench.patch.setenv("HOLYSHEEP_API_KEY", "k" * 20)
    with pytest.raises(ConfigError, match=says):
        bench.client(**options)
