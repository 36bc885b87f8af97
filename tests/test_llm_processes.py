"""Several processes record into one store: each question is paid once, by one of them, whoever dies."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from framework.llm.budget import Budget
from framework.llm.client import HolySheep
from tests import kill_recording
from tests.kill_recording import EACH
from tests.llm_bench import prompts_of
from tests.llm_workers import CONTEXT, LIMIT, Relay, start, stored


def test_from_cold_each_question_is_paid_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way of asking is not known either: one process finds it out, the others wait for it."""
    print(kill_recording.cold(tmp_path, 4, 40))
    monkeypatch.setenv("HOLYSHEEP_BASE_URL", "http://127.0.0.1:9/v1")  # the port is no part of a key
    with HolySheep(store=tmp_path / "cold") as client:
        assert {one.status for one in client.decide(prompts_of(40))} == {"ok"}


def test_two_clients_of_one_process_pay_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[list[str]] = []

    def decide() -> None:
        with HolySheep(mode="record", store=tmp_path / "s", canary=False) as client:
            found.append([one.status for one in client.decide(prompts_of(20))])

    with Relay() as relay:
        for name, value in relay.server.environment.items():
            monkeypatch.setenv(name, value)
        threads = [threading.Thread(target=decide) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
    assert found == [["ok"] * 20] * 3
    assert relay.asked == dict.fromkeys(relay.asked, 1)
    assert relay.total == 20


def test_killed_and_resumed(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1, 2**31)
    print(f"seed {seed}")
    assert "same cassette" in kill_recording.campaign(tmp_path, 4, 30, seed)


def test_a_shared_budget_is_never_exceeded(tmp_path: Path) -> None:
    """Four processes, eight in flight: the relay is asked for what fits, and not for a cent more."""
    limit = 20.5 * EACH
    out = CONTEXT.Queue()
    with Relay() as relay:
        budget = Budget(limit, name="run", folder=tmp_path)
        workers = [start(relay, tmp_path / "s", 40, out, concurrency=2, budget=budget, repairs=0)
                   for _ in range(4)]  # fmt: skip
        told = [out.get(timeout=LIMIT) for _ in workers]
        for worker in workers:
            worker.join(LIMIT)
        assert {error for _, error, _ in told} == {"BudgetExceeded"}
        assert 15 <= relay.total <= 20  # the last may be refused for its worst case
        assert relay.total * EACH <= limit
        assert len(stored(tmp_path / "s")) == relay.total  # a clean stop: all that was paid is kept
        state = budget.state()
        assert state.usd == pytest.approx(relay.total * EACH)
        assert (state.open, state.calls) == (0, relay.total)
        more = start(relay, tmp_path / "s", 40, out, budget=Budget(1.0, name="run", folder=tmp_path))
        assert out.get(timeout=LIMIT)[1:] == ("", ["ok"] * 40)
        more.join(LIMIT)
    assert set(relay.asked.values()) == {1}
