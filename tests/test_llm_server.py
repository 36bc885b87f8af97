"""The loopback HolySheep, read by the official `openai` client; and our client beside it on equal faults."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from framework.errors import ConfigError
from framework.llm import ladder
from framework.llm.transport import Timeouts
from framework.llm.wire import Wire
from framework.testing.holysheep import HolySheepServer, Scripted, key_of_body
from framework.testing.holysheep_chance import Chance, Latency
from tests.llm_bench import GOOD

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Current price: 100"}]
BODY: dict[str, Any] = {"model": "gpt-4.1", "messages": MESSAGES}
FORMAT = ladder.formats("json_schema")


def official(server: HolySheepServer, **options: Any) -> openai.OpenAI:
    usual: dict[str, Any] = {"api_key": server.key, "base_url": server.url, "max_retries": 0, "timeout": 20}
    return openai.OpenAI(**(usual | options))


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Make wires to a server; their retries do not wait."""
    made: list[Wire] = []

    def wire(server: HolySheepServer, **options: Any) -> Wire:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        made.append(Wire(server.url, loopback=True, **({"timeouts": Timeouts.of(20.0)} | options)))
        made[-1].pause = lambda _: True  # as when it is halted: the gate waits no more either
        return made[-1]

    yield wire
    for one in made:
        one.close()


# the official client reads the server


class Signal(BaseModel):
    regime: str
    direction: str
    confidence: float
    reasoning: str
    suggested_entry: float | None
    stop_loss: float | None
    take_profit: float | None
    position_size_pct: float


def test_create_stream_parse_and_models() -> None:
    with HolySheepServer() as server, official(server) as client:
        whole = client.chat.completions.create(model="gpt-4.1", messages=MESSAGES)
        text, usage = whole.choices[0].message.content, whole.usage
        assert text
        assert usage
        assert (usage.prompt_tokens, usage.completion_tokens) == (8, len(text) // 4 + 1)
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
        assert (whole.model, whole.system_fingerprint, whole._request_id) == (
            "gpt-4.1", "fp_loopback", "req_" + (whole._request_id or "")[4:])  # fmt: skip

        told = client.chat.completions.create(
            model="gpt-4.1", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(told)
        pieces = [chunk.choices[0].delta.content or "" for chunk in chunks[:-1]]
        assert ("".join(pieces), len(pieces) > 4) == (text, True)
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert (chunks[-1].choices, chunks[-1].usage, chunks[0].usage) == ([], usage, None)
        plain = list(client.chat.completions.create(model="gpt-4.1", messages=MESSAGES, stream=True))
        assert [chunk.usage for chunk in plain if chunk.usage] == []

        parsed = client.chat.completions.parse(model="gpt-4.1", messages=MESSAGES, response_format=Signal)
        assert parsed.choices[0].message.parsed == Signal.model_validate_json(text)
        assert "deepseek-v3.2" in [model.id for model in client.models.list()]
        assert (server.calls, server.paid) == (4, 4)
        assert server.answers[key_of_body(BODY)] == 3  # a stream is the same question


def test_errors_are_those_the_official_client_knows() -> None:
    def meets(server: HolySheepServer, **options: Any) -> openai.APIStatusError:
        with official(server, **options) as client, pytest.raises(openai.APIStatusError) as info:
            client.chat.completions.create(**BODY, response_format=FORMAT)  # type: ignore[call-overload]
        return info.value

    with HolySheepServer(models=["deepseek-v3.2"], schema=("text",)) as server:
        assert "not supported" in meets(server).message
        assert isinstance(meets(server), openai.BadRequestError)
        assert isinstance(meets(server, api_key="wrong"), openai.AuthenticationError)
    with HolySheepServer(models=["deepseek-v3.2"]) as server:
        assert isinstance(meets(server), openai.NotFoundError)
    with HolySheepServer([Scripted(status=500), Scripted(status=429)]) as server:
        assert isinstance(meets(server), openai.InternalServerError)
        limited = meets(server)
        assert isinstance(limited, openai.RateLimitError)
        assert limited.type == "rate_limit_error"
    with HolySheepServer(rpm=1) as server, official(server) as client:
        client.chat.completions.create(model="m", messages=MESSAGES)
        with pytest.raises(openai.RateLimitError) as info:
            client.chat.completions.create(model="m", messages=MESSAGES)
        headers = info.value.response.headers
        assert 50 < int(headers["retry-after"]) <= 60
        assert headers["x-ratelimit-remaining-requests"] == "0"
        assert (server.calls, server.paid) == (2, 1)


def test_strict_schemas_are_checked() -> None:
    loose = json.loads(json.dumps(FORMAT))
    loose["json_schema"]["schema"]["required"].pop()
    with HolySheepServer() as server, official(server) as client:
        client.chat.completions.create(**BODY, response_format=FORMAT)  # type: ignore[call-overload]
        with pytest.raises(openai.BadRequestError, match="every property must be required"):
            client.chat.completions.create(**BODY, response_format=loose)


# both clients on the same faults


def fault(status: int, **headers: str) -> Scripted:
    return Scripted(status=status, headers={"retry-after-ms": "1", **headers})


SAME = {  # the plan, calls of either, our outcome, theirs
    **{str(code): ([fault(code)] * 3, 3, "Unanswered", "InternalServerError")
       for code in (500, 502, 503, 504, 529)},
    "429": ([fault(429)] * 3, 3, "Unanswered", "RateLimitError"),
    "408": ([fault(408)] * 3, 3, "Unanswered", "APIStatusError"),
    "409": ([fault(409)] * 3, 3, "Unanswered", "ConflictError"),
    "400": ([fault(400)], 1, "Refused", "BadRequestError"),
    "422": ([fault(422)], 1, "Refused", "UnprocessableEntityError"),
    "413": ([fault(413)], 1, "Refused", "APIStatusError"),
    "401": ([fault(401)], 1, "VenueError", "AuthenticationError"),
    "402": ([fault(402)], 1, "VenueError", "APIStatusError"),
    "403": ([fault(403)], 1, "VenueError", "PermissionDeniedError"),
    "404": ([fault(404)], 1, "VenueError", "NotFoundError"),
    "307, not followed": ([fault(307)], 1, "VenueError", "APIStatusError"),
    "told to wait too long": ([Scripted(status=429, headers={"Retry-After": "300"})], 1, "Unanswered",
                              "RateLimitError"),
    "told not to retry": ([fault(503, **{"x-should-retry": "false"})], 1, "Unanswered",
                          "InternalServerError"),
    "told to retry": ([fault(400, **{"x-should-retry": "true"})] * 3, 3, "Unanswered", "BadRequestError"),
    "cut off": ([Scripted(cut=20)], 2, "ok", "ok"),
    "503, then 429": ([fault(503), fault(429)], 3, "ok", "ok"),
}  # fmt: skip
OTHERWISE = {  # the plan, our calls and outcome, theirs
    # a key that is refused is refused: no header makes it right, and nothing more is sent
    "told to retry a 401": ([fault(401, **{"x-should-retry": "true"})] * 3, 1, "VenueError", 3,
                            "AuthenticationError"),
    # an answer that is no completion: a fault of the way for us, an error of the caller's for them
    "garbage": ([Scripted(body=b"<html>")], 2, "ok", 1, "JSONDecodeError"),
    "no body": ([Scripted(body=b"")], 2, "ok", 1, "JSONDecodeError"),
    # they hand out an object without an answer
    "no choices": ([Scripted(body=b'{"choices": []}')], 2, "ok", 1, "ok"),
}  # fmt: skip


def test_our_client_beside_the_official_one(ours: Any) -> None:
    plan, wrong = deque[Scripted](), []
    table = {name: (row[0], *row[1:3], row[1], row[3]) for name, row in SAME.items()} | OTHERWISE
    with HolySheepServer(lambda _: plan.popleft() if plan else Scripted()) as server:
        wire: Any = None
        theirs = official(server, max_retries=2)
        for name, (faults, *expected) in table.items():
            seen: list[object] = []
            wire = ours(server, retries=2) if wire is None or wire.halted else wire
            for ask in (lambda wire=wire: wire.send(BODY), lambda: theirs.chat.completions.create(**BODY)):
                plan.clear()
                plan.extend(faults)
                before = server.calls
                try:
                    ask()
                    outcome = "ok"
                except Exception as error:
                    outcome = type(error).__name__
                seen += [server.calls - before, outcome]
            if seen != expected:
                wrong.append((name, seen, expected))
        theirs.close()
    assert not wrong


def test_a_stream_that_ends_too_early_is_no_answer(ours: Any) -> None:
    """The official client shows a cut text as if it were whole; ours asks again."""
    early = Scripted(GOOD[:40], finish_reason=None)
    with HolySheepServer([early, early]) as server, official(server) as client:
        chunks = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == GOOD[:40]
        sent = ours(server, stream=True).send(BODY)
        assert (sent.attempts, sent.reply.finish_reason) == (2, "stop")
        assert sent.faults == ("unreadable answer: the stream ends without a finish reason",)


# what the server draws, counts and tells


def test_faults_are_of_the_question_not_of_the_order(ours: Any) -> None:
    kinds = ("429", "500", "cut", "garbage", "truncated", "refusal", "empty", "invalid")
    shares = dict.fromkeys(kinds, 0.1)
    bodies = [BODY | {"seed": n} for n in range(60)]

    def met(threads: int, seed: int) -> list[object]:
        with HolySheepServer(faults=shares, seed=seed, latency=(0.0, "4ms")) as server:
            wire = ours(server, retries=10)
            with ThreadPoolExecutor(threads) as pool:
                sent = list(pool.map(wire.send, bodies))
            assert server.paid == sum(server.answers.values()) == 60 + sum(
                fault.startswith("unreadable") for one in sent for fault in one.faults
            )
            assert {len(one.faults) + 1 - one.attempts for one in sent} == {0}
            return [(one.reply.text, one.reply.finish_reason, one.faults) for one in sent]

    first = met(1, 7)
    assert first == met(8, 7)
    assert first != met(8, 8)
    assert {"stop", "length", "content_filter"} == {row[1] for row in first}  # type: ignore[index]
    chance = Chance(shares, 7)
    drawn = [chance.kind(key_of_body({"n": n}), 1) for n in range(2000)]
    assert all(abs(drawn.count(kind) / 2000 - 0.1) < 0.03 for kind in shares)


def test_latency_is_of_the_question_too() -> None:
    between = Latency(("100ms", 0.3), 7)
    drawn = [between({}, str(n), 1) for n in range(200)]
    assert 0.1 <= min(drawn) < 0.12 < 0.28 < max(drawn) <= 0.3
    assert drawn == [Latency((0.1, "300ms"), 7)({}, str(n), 1) for n in range(200)]
    assert Latency(lambda body: body["n"], 0)({"n": 2.5}, "", 1) == 2.5
    assert Latency("20ms", 0)({}, "", 1) == 0.02


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"faults": {"4O4": 0.1}}, "4O4"), ({"faults": {"200": 0.1}}, "200"),
        ({"faults": {"cut": 1.1}}, "share"),
        ({"faults": {"cut": 0.6, "429": 0.6}}, "more than 1"), ({"schema": ()}, "schema"),
        ({"schema": "text"}, "schema"), ({"schema": ("xml",)}, "schema"), ({"rpm": 0}, "rpm"),
        ({"latency": -1.0}, "latency"), ({"latency": "soon"}, "duration"), ({"plan": [3]}, "holds a int"),
    ],
)  # fmt: skip
def test_parameters_out_of_range(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        HolySheepServer(**options)


def test_the_command_serves_and_counts(tmp_path: Path) -> None:
    options = ["--port", "0", "--latency", "1ms-5ms", "--seed", "3", "--rpm", "60000", "--faults", "503=0.5"]
    command = [sys.executable, "-m", "framework.testing.holysheep", *options, "--log", str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ}) as run:
        assert run.stdout
        lines = [run.stdout.readline() for _ in range(2)]
        given = dict(re.findall(r"export (\w+)=(.+)\n", "".join(lines)))
        client = openai.OpenAI(api_key=given["HOLYSHEEP_API_KEY"], base_url=given["HOLYSHEEP_BASE_URL"],
                               max_retries=0)  # fmt: skip
        with client:
            for n in range(8):
                try:
                    client.chat.completions.create(**BODY, seed=n)  # type: ignore[call-overload]
                except openai.InternalServerError:
                    continue
        run.send_signal(signal.SIGTERM)
        said, _ = run.communicate(timeout=20)
    rows = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    good = sum(row["status"] == 200 for row in rows)
    assert 0 < good < len(rows) == 8
    assert said == f"# 8 calls, {good} answers, {good} different questions\n"
    assert given["HOLYSHEEP_API_KEY"] not in (tmp_path / "log").read_text()


def test_thirty_two_in_flight_stay_thirty_two(ours: Any) -> None:
    gate = threading.Barrier(32, timeout=20)
    rates = {"x-ratelimit-limit-requests": "10000", "x-ratelimit-remaining-requests": "9000",
             "x-ratelimit-reset-requests": "6s", "x-ratelimit-limit-tokens": "9000000"}  # fmt: skip

    def answer(body: dict[str, Any]) -> Scripted:
        gate.wait()  # all at once, or nobody gets through
        return Scripted(headers=rates)

    with HolySheepServer(answer) as server, ThreadPoolExecutor(32) as pool:
        wire = ours(server)
        wire.pause = None  # nobody waits
        sent = list(pool.map(wire.send, [BODY | {"seed": n} for n in range(96)]))
    assert {one.waited_ns for one in sent} == {0}
    assert (wire.limits.rpm, wire.limits.tpm) == (10000, 9000000)


def test_a_limit_is_kept_to(ours: Any) -> None:
    """30 questions by 8 threads where 10 are allowed per second: all answered, few of them told 429 first."""
    with HolySheepServer(rpm=600) as server, ThreadPoolExecutor(8) as pool:
        wire = ours(server, retries=10)
        wire.pause = wire._halted.wait
        sent = list(pool.map(wire.send, [BODY | {"seed": n} for n in range(30)]))
        assert server.paid == 30
        assert server.calls < 30 + 16
    assert max(one.waited_ns for one in sent) > 0.3e9
    assert max(one.latency_ns for one in sent) < 1e9 < sum(one.waited_ns for one in sent)
