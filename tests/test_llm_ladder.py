"""How a question is asked: the ladder of formats, streams, the time of each phase."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from framework.errors import ConfigError
from framework.llm import ladder, streamed
from framework.llm.envelope import Unreadable, read_envelope
from framework.llm.signal import TradingSignal
from framework.llm.transport import Timeouts
from framework.llm.wire import Refused, Unanswered, Wire
from framework.testing.holysheep import Scripted
from framework.testing.holysheep_replies import envelope_for, stream_for
from tests import llm_raw
from tests.llm_bench import GOOD
from tests.llm_serve import BODY, Serve, serve

__all__ = ["serve"]  # fixture


def body_of(rung: str) -> dict[str, Any]:
    form = ladder.formats(rung)
    return BODY if form is None else BODY | {"response_format": form}


# the ladder


def test_the_schema_is_strict_and_of_the_signal() -> None:
    schema = (ladder.formats("json_schema") or {})["json_schema"]["schema"]
    ours = TradingSignal.model_json_schema()["properties"].keys() - {"symbol", "timestamp"}
    assert schema["required"] == [*schema["properties"]]
    assert {*schema["required"]} == ours
    assert schema["additionalProperties"] is False
    assert {name for name, field in schema["properties"].items() if "null" in field["type"]} == {
        "suggested_entry", "stop_loss", "take_profit"}  # fmt: skip
    assert [ladder.formats(rung) for rung in ladder.RUNGS[1:]] == [{"type": "json_object"}, None]
    with pytest.raises(KeyError):
        ladder.formats("xml")


@pytest.mark.parametrize(
    ("known", "rung"),
    [
        (("json_schema", "json_object", "text"), "json_schema"),
        (("json_object", "text"), "json_object"),
        (("text",), "text"),
    ],
)
def test_the_highest_rung_an_endpoint_knows(serve: Serve, known: tuple[str, ...], rung: str) -> None:
    server, wire = serve(schema=known)
    found, sent = ladder.decide(wire, body_of)
    assert (found, sent.attempts, server.calls) == (rung, 4 - len(known), 4 - len(known))
    assert sent.faults == ("HTTP 400",) * (3 - len(known))
    assert sent.reply.text


def refuses_schemas(status: int) -> Callable[[dict[str, Any]], Scripted]:
    def answer(body: dict[str, Any]) -> Scripted:
        is_schema = body.get("response_format", {}).get("type") == "json_schema"
        return Scripted(status=status if is_schema else 200)

    return answer


@pytest.mark.parametrize(("status", "faults"), [(415, 1), (422, 1), (500, 2)])
def test_what_steps_down(serve: Serve, status: int, faults: int) -> None:
    """Some servers answer 500 to a schema: twice is enough, also where no retries are wanted."""
    for retries in (0, 3):
        server, wire = serve(refuses_schemas(status), retries=retries)
        rung, sent = ladder.decide(wire, body_of)
        assert (rung, sent.faults) == ("json_object", (f"HTTP {status}",) * faults)
        assert sent.attempts == server.calls == faults + 1
        assert sent.waited_ns > 0


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_relay_decides_nothing(serve: Serve, status: int) -> None:
    server, wire = serve(refuses_schemas(status), retries=2)
    with pytest.raises(Unanswered, match=f"HTTP {status}") as info:
        ladder.decide(wire, body_of)
    assert (server.calls, info.value.tries.attempts) == (3, 3)


def test_an_empty_answer_steps_down_and_was_paid(serve: Serve) -> None:
    empty = Scripted(" \n", usage={"prompt_tokens": 9, "completion_tokens": 1})
    server, wire = serve([empty, Scripted(status=503), empty, "", Scripted(GOOD, finish_reason="length")])
    rung, sent = ladder.decide(wire, body_of)
    assert (rung, sent.reply.text, sent.attempts) == ("text", "", 4)  # the bottom rung's answer is the answer
    assert sent.faults == ("empty answer", "HTTP 503", "empty answer")
    assert [usage["prompt_tokens"] for usage in sent.lost] == [9, 9]
    assert server.calls == 4
    assert ladder.decide(wire, body_of)[0] == "json_schema"  # cut off is an answer too


def test_what_the_bottom_refuses_is_the_error(serve: Serve) -> None:
    said = iter(("no schema", "no object", "content filter"))
    server, wire = serve(lambda body: Scripted(next(said), status=400))
    with pytest.raises(Refused, match="HTTP 400: content filter"):
        ladder.decide(wire, body_of)
    assert server.calls == 3


# streams


def test_streamed_or_not_it_is_the_same_reply(serve: Serve) -> None:
    plan = [
        Scripted(),
        Scripted('Sure. {"a": "\u20ac \U0001f411 \\n"}', envelope={"latency_ms": 31.5}),
        Scripted("x", message={"reasoning_content": "because", "tool_calls": [{"index": 0, "id": "1"}]}),
        Scripted("", message={"refusal": "no"}),
        Scripted(GOOD, finish_reason="length", usage={"prompt_tokens": 5, "cost": 0.1}),
    ]
    for script in plan:
        whole = serve([script])[1].send(BODY)
        server, wire = serve([script], stream=True)
        streams = wire.send(BODY)
        assert server.requests[0]["stream_options"] == {"include_usage": True}
        ours = [replace(one.reply, headers={}) for one in (whole, streams)]
        assert ours[0] == ours[1]
        assert streams.reply.headers == whole.reply.headers
        assert (streams.attempts, streams.faults) == (1, ())
    _, wire = serve([Scripted(body=envelope_for(Scripted("a"), BODY))], stream=True)
    assert wire.send(BODY).reply.text == "a"  # in one piece although a stream was asked for


def test_the_latency_of_a_stream_ends_with_its_last_byte(serve: Serve) -> None:
    _, wire = serve(latency=0.3, stream=True)
    assert 0.25e9 < wire.send(BODY).latency_ns < 5e9


EVENTS = stream_for(Scripted(GOOD), BODY | streamed.asked({}))
WHOLE = b"".join(EVENTS)
OK: dict[str, bytes] = {
    "as it is": WHOLE,
    "CRLF": WHOLE.replace(b"\n", b"\r\n"),
    "CR": WHOLE.replace(b"\n", b"\r"),
    "byte order mark": b"\xef\xbb\xbf" + WHOLE,
    "comments keep it alive": b": OPENROUTER PROCESSING\n\n" + WHOLE.replace(b"\n\n", b"\n\n: \n\n"),
    "names and ids of events": WHOLE.replace(b"data: {", b"event: x\nid: 7\nretry: 10\ndata: {"),
    "no space after the colon": WHOLE.replace(b"data: ", b"data:"),
    "no blank line after the last": WHOLE.rstrip(b"\n") + b"\n",
    "data over two lines": WHOLE.replace(b'"choices"', b'\ndata: "choices"', 1),
    "a choice without a delta": b'data: {"choices": [{"index": 0}]}\n\n' + WHOLE,
}
BROKEN: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "without a finish reason"),
    "only the end": (EVENTS[-1], "without a finish reason"),
    "cut before the finish": (b"".join(EVENTS[:3]), "without a finish reason"),
    "cut before the finish, but ended": (b"".join(EVENTS[:3]) + EVENTS[-1], "without a finish reason"),
    "cut before the end": (b"".join(EVENTS[:-1]), "without [DONE]"),
    "cut within the end": (WHOLE[:-6], "without [DONE]"),
    "a piece is lost": (EVENTS[0] + WHOLE[len(EVENTS[0]) :].replace(b"data: ", b"dta: ", 1), "no event"),
    "a line of garbage": (WHOLE.replace(b"\n\n", b"\n\n<html>502\n\n", 1), "no event"),
    "an event that is no JSON": (WHOLE.replace(b"\n\n", b"\n\ndata: {oops\n\n", 1), "JSONDecodeError"),
    "an event that is no object": (WHOLE.replace(b"\n\n", b"\n\ndata: [1]\n\n", 1), "not an object"),
    "not UTF-8": (WHOLE.replace(b"\n\n", b"\n\ndata: \xff\n\n", 1), "UnicodeDecodeError"),
    "NaN": (WHOLE.replace(b'"usage": null', b'"usage": NaN', 1), "ValueError"),
    "an error in between": (EVENTS[0] + b'data: {"error": {"message": "busy"}}\n\n' + WHOLE, "an error"),
    "two choices": (WHOLE.replace(b'{"index": 0', b'{"index": 1'), "more than one choice"),
    "text after the finish": (b"".join((*EVENTS[:-2], EVENTS[1], *EVENTS[-2:])), "after its finish reason"),
    "more after the end": (WHOLE + EVENTS[1], "after its end"),
    "deltas of a wrong kind": (WHOLE.replace(b'"delta": {}', b'"delta": [1]', 1), "AttributeError"),
}  # fmt: skip


def test_a_verdict_for_every_stream() -> None:
    good = read_envelope(envelope_for(Scripted(GOOD), BODY))
    assert not [name for name, body in OK.items() if read_envelope(body, True) != good]
    wrong = []
    for name, (body, says) in BROKEN.items():
        try:
            read_envelope(body, True)
            wrong.append((name, "read"))
        except Unreadable as error:
            if says not in str(error):
                wrong.append((name, str(error)))
    assert not wrong


@pytest.mark.parametrize("cut", [1, 200, len(WHOLE) - 60])
def test_a_stream_that_breaks_off_is_asked_again(serve: Serve, cut: int) -> None:
    _, wire = serve([Scripted(GOOD, cut=cut)] * 2, stream=True)
    sent = wire.send(BODY)
    assert (sent.attempts, sent.faults) == (3, ("no answer: RemoteProtocolError",) * 2)


def test_a_stream_is_complete_at_its_end_whatever_comes_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection stays open, or breaks without its last chunk."""
    monkeypatch.setenv("HOLYSHEEP_API_KEY", "k" * 20)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    ends = [lambda: threading.Event().wait(20.0), lambda: None]

    def play(connection: Any) -> None:
        connection.sendall(head + b"%x\r\n%b\r\n" % (len(WHOLE), WHOLE))
        ends.pop(0)()

    with llm_raw.relay(play) as relay:
        wire = Wire(relay.url, timeouts=Timeouts.of(10.0), retries=0, loopback=True, stream=True)
        start = time.perf_counter()
        assert [wire.send(BODY).reply.text for _ in range(2)] == [GOOD] * 2
        assert time.perf_counter() - start < 5.0
        wire.close()


# time


@pytest.mark.parametrize(
    ("play", "timeouts", "fault"),
    [
        (llm_raw.drips_headers, Timeouts(5.0, 0.2, 10.0), "no answer: ReadTimeout, no first byte"),
        (llm_raw.drips_body_without_length, Timeouts(5.0, 5.0, 0.3), "no answer: ReadTimeout"),
        (llm_raw.drips_body_without_length, Timeouts(5.0, 0.25, 0.4), "no answer: ReadTimeout"),
    ],
)
def test_each_phase_has_its_time(monkeypatch: pytest.MonkeyPatch, play: llm_raw.Play, timeouts: Timeouts,
                                 fault: str) -> None:
    monkeypatch.setenv("HOLYSHEEP_API_KEY", "k" * 20)
    with llm_raw.relay(play) as relay:
        wire = Wire(relay.url, timeouts=timeouts, retries=0, loopback=True)
        start = time.perf_counter()
        with pytest.raises(Unanswered) as info:
            wire.send(BODY)
        wire.close()
        assert time.perf_counter() - start < 4.0
    assert info.value.tries.faults == (fault,)
    assert info.value.tries.waited_ns > 0.2e9


@pytest.mark.parametrize("name", ["connect", "first_byte", "total"])
def test_times_are_positive(name: str) -> None:
    for value in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=name):
            Timeouts(**{name: value})
