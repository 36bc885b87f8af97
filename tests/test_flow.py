"""From a question to a fingerprint: planned, priced, recorded once; replayed and swept with nobody to ask."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal

from framework import HolySheep, Strategy, backtest, market_brief, samples, sweep
from framework.cli import main
from framework.cli_ask import analysts_of, confirm
from framework.cli_job import Job, replies_of
from framework.errors import ConfigError
from framework.replies import Replies
from framework.research.inquiry import Inquiry, reads
from framework.result import Result
from framework.testing import HolySheepServer
from strategies.llm_portfolio import LlmPortfolio
from strategies.regime_trader import RegimeTrader

ROOT = Path(__file__).parent.parent
WEEK = samples.load("btcusd-1h").slice("2018-01-01", "2018-01-08")
SPAN = ["--from", "2019-01-01", "--to", "2019-01-05", "--no-report"]
NO_KEY = {"HOLYSHEEP_API_KEY": "", "HOLYSHEEP_BASE_URL": "http://127.0.0.1:9/v1"}


class Asks(RegimeTrader):
    """Ask less often where a parameter says so."""

    least: float = 0.0
    deep: bool = False

    def ask(self, view):
        return market_brief(view) if view.price() > self.least else None


class Unclear(Asks):
    """Ask by a method of its own."""

    def ask(self, view):
        return self.brief(view)

    def brief(self, view):
        return market_brief(view)


class Slower(RegimeTrader):
    """Ask at times that a parameter decides."""

    days: int = 1

    def setup(self):
        super().setup()
        self.ask_every = f"{self.days}d"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with a store of its own and the shipped strategies."""
    no_cache = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "strategies", tmp_path / "strategies", ignore=no_cache)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("SHEEPFOLD_CACHE", str(tmp_path / "store"))
    for name in NO_KEY:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def at(monkeypatch: pytest.MonkeyPatch, server: HolySheepServer) -> None:
    """Point the client at a server."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)


def cut_off() -> None:
    """Leave this process without key and without sockets."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    os.environ.pop("HOLYSHEEP_API_KEY", None)
    for name in ("connect", "connect_ex"):
        setattr(socket.socket, name, refuse)


# ---- sweeps ----------------------------------------------------------------------------------------------


def test_a_sweep_asks_each_prompt_once_and_its_workers_nobody(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Inquiry] = []
    grid = {"min_confidence": [0.5, 0.6, 0.7], "max_share": [0.1, 0.2]}
    with HolySheepServer() as server:
        at(monkeypatch, server)
        with HolySheep(mode="record") as client:
            table = sweep(RegimeTrader, WEEK, analyst=client, confirm=seen.append, **grid)
        due = seen[0].due
        assert len(server.requests) == len(seen[0].prompts) == due // 6
        assert seen[0].words == f"{due:,} decisions due, {due // 6:,} prompts"
    for name, value in NO_KEY.items():
        monkeypatch.setenv(name, value)
    spawn = multiprocessing.get_context("spawn")
    with HolySheep() as client, ProcessPoolExecutor(1, spawn, initializer=cut_off) as pool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket.socket, "connect", None)  # nobody here may call it either
            assert_frame_equal(sweep(RegimeTrader, WEEK, analyst=client, **grid), table)
        assert_frame_equal(sweep(RegimeTrader, WEEK, analyst=client, executor=pool, **grid), table)
        single = backtest(RegimeTrader(min_confidence=0.7, max_share=0.2), WEEK, analyst=client)
    assert table["fingerprint"][5] == single.fingerprint


def test_sets_that_ask_the_same_share_prompts() -> None:
    assert reads(RegimeTrader) == ()
    assert reads(Asks) == ("least",)
    assert reads(Unclear) == ("min_confidence", "max_share", "least", "deep")
    assert reads(Slower) == ("min_confidence", "max_share", "days")
    seen: list[Inquiry] = []
    table = sweep(Asks, WEEK, least=[0.0, 14_000.0, 1e9], deep=[False, True], confirm=seen.append)
    assert len(seen[0].prompts) == backtest(Asks, WEEK).decisions.height
    assert seen[0].due > 2 * len(seen[0].prompts)
    for row in table.iter_rows(named=True):
        assert row["fingerprint"] == backtest(Asks(least=row["least"]), WEEK).fingerprint
    slow = sweep(Slower, WEEK, days=[1, 0, 2], metrics=())
    assert slow["error"].is_null().to_list() == [True, False, True]
    assert slow["fingerprint"][2] == backtest(Slower(days=2), WEEK).fingerprint


def test_several_analysts_are_rows(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with HolySheepServer() as server:
        at(monkeypatch, server)
        ways = [("deepseek-v3.2", 0.0, 0), ("deepseek-v3.2", 0.0, 1), ("gpt-4.1", 0.3, 0)]
        made = [HolySheep(m, temperature=t, sample=s, mode="record") for m, t, s in ways]
        table = sweep(RegimeTrader, WEEK, analyst=made, max_share=[0.1, 0.2], metrics=())
        assert table.select("model", "temperature", "sample").rows() == [way for way in ways for _ in (0, 1)]
        single = backtest(RegimeTrader(max_share=0.2), WEEK, analyst=made[2])
        assert table["fingerprint"][5] == single.fingerprint
        for one in made:
            one.close()
    with pytest.raises(ConfigError, match="a list names whom to ask"):
        sweep(RegimeTrader, WEEK, analyst=[], max_share=[0.1])


def test_what_is_not_confirmed_is_not_asked(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with HolySheepServer() as server:
        at(monkeypatch, server)
        with HolySheep(mode="record") as client, pytest.raises(ConfigError, match="nothing was asked"):
            sweep(RegimeTrader, WEEK, analyst=client, max_share=[0.1, 0.2], confirm=lambda _: False)
        assert server.calls == 0


def test_portfolio_questions_run_in_a_sweep(desk: Path) -> None:
    table = sweep(LlmPortfolio, WEEK, max_share=[0.1, 0.2])
    single = backtest(LlmPortfolio(max_share=0.2), WEEK)
    assert single.decisions.height == 7
    assert table["fingerprint"][1] == single.fingerprint
    with ProcessPoolExecutor(1) as pool, pytest.raises(ConfigError, match="leave executor away"):
        sweep(LlmPortfolio, WEEK, max_share=[0.1], executor=pool)


# ---- the command -----------------------------------------------------------------------------------------


def sheepfold(folder: Path, env: dict[str, str], *args: str) -> dict[str, Any]:
    """Run the command as a process of its own, uncompiled, and return its JSON."""
    command = [sys.executable, "-m", "framework", *args, "--json"]
    own = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "NUMBA_DISABLE_JIT": "1", **env}
    done = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "said": done.stderr}


def test_recorded_then_replayed_with_the_server_stopped(desk: Path) -> None:
    """The whole road with real processes: one fingerprint, and the replay has neither key nor server."""
    relay = [sys.executable, "-m", "framework.testing.holysheep", "--port", "0"]
    own = {**os.environ, "PYTHONPATH": str(ROOT)}
    env: dict[str, str] = {}
    with subprocess.Popen(relay, cwd=desk, env=own, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            while len(env) < 2:
                name, _, value = server.stdout.readline().removeprefix("export ").strip().partition("=")
                env[name] = value
            run = ["backtest", "strategies/regime_trader.py", *SPAN]
            asked = sheepfold(desk, env, *run, "--record", "--out", "asked")
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=20)
    env = {**env, "HOLYSHEEP_API_KEY": ""}
    again = sheepfold(desk, env, *run, "--replay", "--out", "asked")  # the same command: the same folder
    assert again["fingerprint"] == asked["fingerprint"]
    assert re.search(r"deepseek-v3.2: (\d+) prompts, 0 cached, \1 to ask, at most \$\d", asked["said"])
    assert "spent" not in again["said"]
    assert asked["analyst"]["stand_in"] is False


def test_a_budget_stops_a_recording_and_nothing_is_paid_twice(
    desk: Path, warm: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["backtest", "strategies/regime_trader.py", *SPAN, "--record", "--concurrency", "1"]
    with HolySheepServer() as server:
        at(monkeypatch, server)
        assert main([*run, "--budget", "0"]) == 4
        assert server.calls == 0
        assert main([*run[:2], *SPAN[:2], "--to", "2019-01-02", "--no-report", "--record"]) == 0
        first = len(server.requests)
        assert main([*run, "--budget", "0.0015"]) == 4  # a question may cost 0.0013, and costs 0.0001
        assert "INCOMPLETE: the budget of $0.0015 is used up" in capsys.readouterr().err
        paid = len(server.requests)
        assert first < paid < 24
        assert main([*run, "--out", "whole"]) == 0
        assert len(server.requests) == 24
        assert f"24 prompts, {paid} cached, {24 - paid} to ask" in capsys.readouterr().err
    assert Result.load("whole").status == "done"


def test_money_is_spent_after_a_yes_only(
    desk: Path, warm: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOLYSHEEP_API_KEY", "never-sent")
    monkeypatch.setenv("HOLYSHEEP_BASE_URL", "https://relay.invalid/v1")
    monkeypatch.setattr(sys, "stdin", io.StringIO())  # no terminal
    regime = "strategies/regime_trader.py"
    assert main(["backtest", regime, *SPAN, "--record"]) == 2
    assert re.search(r"24 to ask, at most \$0\.\d+ .*: say --yes to ask", capsys.readouterr().err)
    assert main(["sweep", regime, *SPAN[:4], "-p", "max_share=0.1,0.2", "--record"]) == 2
    assert "say --yes" in capsys.readouterr().err
    assert main(["backtest", "strategies/llm_portfolio.py", *SPAN, "--record", "--yes"]) == 2
    assert "say --yes and --budget USD" in capsys.readouterr().err
    job = Job(regime, record=True)
    with HolySheep() as client:
        plans = [client.plan([])]
        confirm(job, plans, print)  # nothing to ask: no question
    assert "0 to ask" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="a terminal the POSIX way")
@pytest.mark.parametrize(("typed", "is_yes"), [("y\n", True), ("\n", False)])
def test_a_terminal_is_asked(
    typed: str, is_yes: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOLYSHEEP_BASE_URL", "https://relay.invalid/v1")
    keyboard, screen = os.openpty()
    with os.fdopen(screen, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        os.write(keyboard, typed.encode())
        with HolySheep(store=None) as client:
            from framework.questions import prompts_of

            plans = [client.plan(prompts_of(RegimeTrader(), WEEK.slice(None, "2018-01-02")))]
        if is_yes:
            confirm(Job("a.py", record=True), plans, print)
        else:
            with pytest.raises(ConfigError, match="nothing was asked"):
                confirm(Job("a.py", record=True), plans, print)
    os.close(keyboard)
    assert "go? [y/N]" in capsys.readouterr().err


def test_the_command_sweeps_models(
    desk: Path, warm: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["sweep", "strategies/regime_trader.py", "-p", "max_share=0.1,0.2", *SPAN[:4], "--record",
           "--model", "deepseek-v3.2", "--model", "gpt-4.1", "--temperature", "0,0.3"]  # fmt: skip
    with HolySheepServer() as server:
        at(monkeypatch, server)
        assert main([*run, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["questions"] == {"due": 8 * 24, "prompts": 24}
        assert len(server.requests) == 4 * 24
        assert [row["model"] for row in found["rows"]][::4] == ["deepseek-v3.2", "gpt-4.1"]
        assert len(found["analyst"]) == 4
        assert main(run) == 0
        assert len(server.requests) == 4 * 24
    shown = capsys.readouterr()
    assert "decisions by deepseek-v3.2, gpt-4.1\n192 decisions due, 24 prompts\n" in shown.out
    assert "gpt-4.1: 24 prompts, 24 cached, 0 to ask" in shown.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"replay": True, "record": True}, "--replay"),
        ({"yes": True}, "--yes: is for a recording"),
        ({"budget": 0.0}, "--budget: is for a recording"),
        ({"cassette": "a.jsonl", "replay": True}, "leave out --replay"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        analysts_of(Job("a.py", **options), RegimeTrader, [], [])
    with pytest.raises(ConfigError, match="asks nothing"):
        analysts_of(Job("a.py", temperature=0.0), Strategy, [], [])


def test_replies_are_read() -> None:
    assert replies_of(None) == Replies()
    text = "latency=2s,overlap=skip,max_age=1m,charge=false,seed=3"
    assert replies_of(text) == Replies("2s", "skip", "1m", charge=False, seed=3)
    with pytest.raises(ConfigError, match="did you mean overlap"):
        replies_of("overlp=skip")
