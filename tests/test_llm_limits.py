"""How fast a relay is asked, learnt from its headers, and what is kept of an answer besides its text."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from framework.llm.limits import Limits, seconds_of
from framework.llm.wire import Unanswered
from framework.testing.holysheep import Scripted
from tests.llm_serve import BODY, Serve, serve

__all__ = ["serve"]  # fixture


class Clock:
    """Time that passes when somebody waits."""

    def __init__(self, *, rpm: float | None = None, tpm: float | None = None) -> None:
        self.now, self.limits = 1000.0, Limits(rpm, tpm)
        self.limits.clock = lambda: self.now

    def pause(self, seconds: float) -> None:
        assert seconds > 0.0
        self.now += seconds

    def send(self, tokens: int = 100, status: int = 200, **headers: str) -> float:
        waited = self.limits.wait(tokens, self.pause)
        named = {f"x-ratelimit-{name.replace('_', '-')}": value for name, value in headers.items()}
        self.limits.learn(status, named, 1.7e9)
        return waited


def test_nobody_waits_where_nothing_limits() -> None:
    clock = Clock()
    assert {clock.send() for _ in range(1000)} == {0.0}
    unreadable = {"limit_requests": "no", "remaining_requests": "-1", "reset_requests": "soon"}
    assert {clock.send(**unreadable) for _ in range(9)} == {0.0}
    assert (clock.limits.rpm, clock.limits.tpm) == (None, None)


def test_never_more_than_so_many_in_any_minute() -> None:
    clock, times = Clock(rpm=7), []
    for n in range(40):
        clock.send(limit_requests="1000", remaining_requests="0", reset_requests="99s")  # the user's wins
        times.append(clock.now)
        clock.now += 0.1 * (n % 5)
    assert all(later - first >= 60.0 for first, later in zip(times, times[7:], strict=False))
    assert times[-1] - times[0] < 60.0 * 6
    clock = Clock(tpm=1000)
    waits = [clock.send(400) for _ in range(5)]
    assert [round(wait) for wait in waits] == [0, 0, 60, 0, 60]
    assert clock.send(5000) > 0.0  # more than ever fits is let through alone


def test_limits_are_learnt_from_headers() -> None:
    clock = Clock()
    clock.send(limit_requests="3", limit_tokens="1000")
    assert (clock.limits.rpm, clock.limits.tpm) == (3.0, 1000.0)
    assert [round(clock.send()) for _ in range(4)] == [0, 0, 0, 60]
    clock = Clock()
    clock.send(remaining_tokens="250", reset_tokens="6m0s")  # too long to be believed
    assert clock.send(300) == 0.0
    clock.send(remaining_tokens="250", reset_tokens="6s")
    assert clock.send(200) == 0.0
    assert clock.send(200) == pytest.approx(6.0)


@pytest.mark.parametrize("reset", ["1700000004", "1700000004000", "4", "4.0", "4s", "4000ms", "0m4s"])
def test_nothing_is_sent_until_the_reset(reset: str) -> None:
    for names in (("remaining", "reset"), ("remaining_requests", "reset_requests")):
        clock = Clock()
        clock.send(**dict(zip(names, ("0", reset), strict=True)))
        assert clock.send() == pytest.approx(4.0)


def test_forms_of_a_reset() -> None:
    good = ("1s", "6m0s", "120ms", "1h2m3.5s", "2m59.56s", "1d", "30", "0", "1699999999")
    read = [seconds_of(text, 1.7e9) for text in good]
    assert read == [1, 360, 0.12, 3723.5, pytest.approx(179.56), 86400, 30, 0, 0]
    bad = (None, "", "-3", "1e9", "soon", "1s x", "nan", "\u0663", "9" * 30)
    assert {seconds_of(text, 1.7e9) for text in bad} == {None}


def test_a_429_holds_everybody_back(serve: Serve) -> None:
    """One is told to wait; whoever comes then waits too, and it is no latency."""
    hold, said = threading.Event(), Scripted(status=429, headers={"Retry-After": "0.4"})
    server, wire = serve([said])
    wire.pause = lambda seconds: hold.set() or threading.Event().wait(seconds)
    first: list[Any] = []
    thread = threading.Thread(target=lambda: first.append(wire.send(BODY)))
    thread.start()
    assert hold.wait(10)
    second = wire.send(BODY | {"seed": 1})
    thread.join()
    assert (first[0].faults, second.attempts, server.calls) == (("HTTP 429",), 1, 3)
    assert second.waited_ns > 0.2e9
    assert second.latency_ns < second.waited_ns + 2e9


# what is kept of an answer


def test_a_few_headers_are_kept_and_none_that_names_the_account(serve: Serve) -> None:
    given = {"openai-processing-ms": "31", "Server-Timing": "edge;dur=1",
             "openai-organization": "me", "openai-project": "mine", "Set-Cookie": "a=b", "x-other": "y",
             **{f"x-ratelimit-{n}": "z" * 500 for n in range(50)}}  # fmt: skip
    _, wire = serve([Scripted(headers={**given, "x-request-id": "k"})])
    kept = wire.send(BODY).reply.headers
    assert kept["x-ratelimit-0"] == "z" * 200
    assert (kept["openai-processing-ms"], kept["server-timing"], len(kept)) == ("31", "edge;dur=1", 24)
    assert not {"openai-organization", "openai-project", "set-cookie", "x-other"} & kept.keys()
    assert json.loads(json.dumps(kept)) == kept


def test_what_was_paid_and_is_of_no_use_is_told(serve: Serve) -> None:
    lost = Scripted(body=b'{"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}')
    _, wire = serve([lost, Scripted(body=b"[]"), lost], retries=2)
    with pytest.raises(Unanswered) as info:
        wire.send(BODY)
    assert info.value.tries.lost == ({"prompt_tokens": 7, "completion_tokens": 2},) * 2
    assert info.value.tries.attempts == 3
