"""A relay that means ill or is broken: time, memory and calls stay bounded, a run gets its verdict."""

from __future__ import annotations

import json
import threading
import time
import tracemalloc

import pytest

from framework.errors import CacheMiss, VenueError
from framework.llm.record import Record, judge
from framework.llm.transport import Timeouts, Transport
from framework.llm.wire import Refused, Unanswered, Wire
from framework.testing.holysheep import Scripted
from tests import llm_raw
from tests.broken_answers import ANSWERS
from tests.llm_bench import GOOD, Bench, bench, prompts_of, quick

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
        wire = Wire(server.url, timeouts=Timeouts.of(0.4), retries=0, loopback=True)

        def ask() -> None:
            try:
                wire.send(BODY)
            except BaseException as error:
                ends.append(error)

        tracemalloc.start()
        try:
            start, thread = time.perf_counter(), threading.Thread(target=ask, daemon=True)
            thread.start()
            thread.join(20.0)
            taken, peak = time.perf_counter() - start, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        wire.close()
    assert not thread.is_alive()
    assert taken < 12.0  # what it plays never ends
    assert peak < 32 * 2**20
    assert isinstance(ends[0], Unanswered)


def test_connections_are_kept_and_a_late_alarm_harms_nobody() -> None:
    """A server that keeps connections open: one for each question in flight, then the same again."""
    ports: list[int] = []
    with llm_raw.relay(llm_raw.keeps_open(ports)) as server:
        transport = Transport(loopback=True)
        for _ in range(20):  # each with an alarm that is due after its answer came
            answer = transport.post(f"{server.url}/chat/completions", {}, "{}", Timeouts.of(5.0))
            assert (answer.status, answer.body) == (200, b"{}")
        assert len(ports) == 1
        transport.close()


def verdict(wire: Wire) -> str:
    """Return what asking once comes to."""
    try:
        reply = wire.send(BODY).reply
    except Refused as error:
        return f"refused: {error.status}"
    except Unanswered as error:
        return f"again: {error}"
    except VenueError:
        return "stop"
    found = judge(reply, prompts_of(1)[0])
    return "ok" if found.signal else f"reply: {found.problems[0]}"


def test_a_verdict_for_every_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes over the wire is one of five things, and nothing else escapes."""
    monkeypatch.setenv("HOLYSHEEP_API_KEY", "k" * 20)
    answers = iter(ANSWERS)
    wrong, wire = list[tuple[str, str]](), None
    with llm_raw.relay(lambda connection: connection.sendall(next(answers)[1])) as relay:
        for name, _, expected in ANSWERS:
            if wire is None or wire.halted:
                wire = Wire(relay.url, timeouts=Timeouts.of(10.0), retries=0, loopback=True)
            found = verdict(wire)
            if not found.startswith(expected):
                wrong.append((name, found))
            wire.close()
    assert relay.calls == len(ANSWERS) == len({name for name, *_ in ANSWERS})
    assert not wrong


# which refusals end a recording, and when a relay counts as down


@pytest.mark.parametrize("status", [400, 413, 422, 425, 451, 204])
def test_a_refused_question_is_missing_and_the_run_goes_on(bench: Bench, status: int) -> None:
    server = bench.serve([GOOD, Scripted("content\x1b[31m filter\nno", status=status), GOOD])
    prompts = prompts_of(3)
    decisions = bench.decide(prompts)
    assert [d.status for d in decisions] == ["ok", "missing", "ok"]
    assert f"HTTP {status}: content" in decisions[1].problems[0] or status == 204
    assert decisions[1].problems[0].isprintable()
    assert server.calls == 3
    assert [d.status for d in bench.decide(prompts)] == ["ok"] * 3  # asked again, and nothing else
    assert server.calls == 4


def test_even_the_first_one_or_two(bench: Bench) -> None:
    server = bench.serve([Scripted(status=400), Scripted(status=400), GOOD, *[Scripted(status=400)] * 5])
    decisions = bench.decide(prompts_of(8))
    assert [d.status for d in decisions] == ["missing"] * 2 + ["ok"] + ["missing"] * 5
    assert server.calls == 8


def test_a_wrong_request_is_not_sent_a_thousand_times(bench: Bench) -> None:
    server = bench.serve(lambda body: Scripted("response_format is unknown", status=422))
    said = r"HTTP 422: response_format is unknown; 3 questions.*correct the request"
    with pytest.raises(VenueError, match=said):
        bench.decide(prompts_of(30))
    assert server.calls == 3
    with pytest.raises(VenueError):
        bench.decide(prompts_of(30), concurrency=4)
    assert server.calls <= 3 + 6
    with bench.client() as client:  # however few are asked at a time
        asked = prompts_of(4)
        assert [client.decide([one])[0].status for one in asked[:2]] == ["missing"] * 2
        for one in asked[2:]:
            with pytest.raises(VenueError):
                client.decide([one])


def test_different_refusals_are_of_the_questions(bench: Bench) -> None:
    server = bench.serve(lambda body: Scripted(status=(400, 413)[len(server.requests) % 2]))
    assert {d.status for d in bench.decide(prompts_of(12))} == {"missing"}
    assert server.calls == 12


def test_a_relay_that_is_down_is_left_alone(bench: Bench) -> None:
    server = bench.serve(lambda body: Scripted(status=503))
    prompts = prompts_of(40)
    with bench.client(retries=3) as client:
        decisions = quick(client).decide(prompts)
        assert {d.status for d in decisions} == {"missing"}
        assert server.calls == 5 * 4
        assert client.stopped == "5 questions in a row got no answer (HTTP 503)"
        assert "after 4 attempts" in decisions[4].problems[0]
        assert decisions[39].problems == (
            f"the recording stopped before it was asked: {client.stopped}; run again",
        )
        for prompt in prompts[:10]:  # one by one, as a live strategy does: asked, but once
            client.decide([prompt])
        assert server.calls == 5 * 4 + 10


def test_failures_that_are_not_in_a_row_stop_nothing(bench: Bench) -> None:
    bad = [Scripted(status=500)] * 4
    server = bench.serve([*bad, GOOD, *bad, Scripted(status=400), *bad, GOOD])
    with bench.client(retries=0) as client:
        decisions = client.decide(prompts_of(15))
        assert client.stopped == ""
    assert [d.status for d in decisions].count("missing") == 13
    assert server.calls == 15


# what a reply says of itself


def test_a_deeply_nested_reply_is_a_reply(bench: Bench) -> None:
    def nested(depth: int) -> bytes:
        whole = json.dumps(llm_raw.envelope(usage={"prompt_tokens": 8, "completion_tokens": 5, "x": "@"}))
        return (whole[:-1] + ', "y": "@"}').replace('"@"', "[" * depth + "]" * depth).encode()

    depths = (40, 49, 400, 480, 500, 600, 900, 960)
    bench.serve([Scripted(body=nested(depth)) for depth in depths])
    prompts = prompts_of(len(depths))
    with bench.client(retries=0) as client:
        decisions = client.decide(prompts)
        assert {d.status for d in decisions} == {"ok"}
        kept = [json.dumps(record["reply"]["extra"]).count("[") for record in client.records()]
    assert max(kept) < 60
    assert sorted(kept)[0] == 40
    assert bench.decide(prompts, record=False) == decisions


def test_usage_that_cannot_be_true_is_not_booked(bench: Bench) -> None:
    usages = [
        {"prompt_tokens": 800, "completion_tokens": 880},
        {"prompt_tokens": 800, "completion_tokens": 881},
        {"prompt_tokens": 800, "completion_tokens": 999_999_999},
        {"prompt_tokens": 999_999_999, "completion_tokens": 1},
    ]
    bench.serve([Scripted(GOOD, usage=usage) for usage in usages])
    with bench.client() as client:
        costs = [d.cost for d in client.decide(prompts_of(4))]
        records = {row["reply"]["usage"]["completion_tokens"]: row["cost"] for row in client.records()}
        assert costs[0] == pytest.approx((800 * 0.14 + 880 * 0.42) / 1e6)
        assert max(costs) < 0.001
        assert [records[n]["estimated"] for n in (880, 881, 999_999_999, 1)] == [False, True, True, True]
        assert "completion_tokens 999999999 of at most 880 is not credible" in records[999_999_999]["basis"]
        assert "prompt_tokens 999999999 for" in records[1]["basis"]
        assert client.spent.estimated == 3


def test_what_a_run_spent_can_be_told(bench: Bench) -> None:
    good = Scripted(GOOD, usage={"prompt_tokens": 800, "completion_tokens": 150})
    bench.serve([good, Scripted(status=400), good])
    with bench.client() as client:
        decisions = client.decide(prompts_of(3))
        spent = client.spent
        assert (spent.answers, spent.input_tokens, spent.output_tokens, spent.estimated) == (2, 1600, 300, 0)
        assert spent.usd == client.spent_usd == pytest.approx(sum(d.cost for d in decisions))
        assert spent.prices_date == "2026-11-23"
        assert spent.prices.startswith("holysheep.ai articles")
    with bench.client(record=False, price_in=1.0) as client:
        client.decide([prompts_of(1)[0]])
        assert (client.spent.usd, client.spent.answers) == (0.0, 0)
        assert (client.spent.prices, client.spent.prices_date) == ("given by the user", "")


def test_a_miss_says_what_is_looked_up(bench: Bench) -> None:
    bench.serve()
    bench.decide(prompts_of(1))
    bench.patch.setenv("HOLYSHEEP_BASE_URL", "http://127.0.0.1:9/elsewhere")
    said = r"endpoint \(HOLYSHEEP_BASE_URL\) 127\.0\.0\.1/v1 \(recorded\) against 127\.0\.0\.1/elsewhere "
    with pytest.raises(CacheMiss, match=said):
        bench.decide(prompts_of(1), record=False)
