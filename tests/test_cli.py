"""The command: what it prints, saves and returns; every mistake is one line with the right exit code."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from framework.cli import main
from framework.cli_job import Job, fills_of, latency_of
from framework.cli_sweep import values_of
from framework.errors import ConfigError, FrameworkError
from framework.options import Fills
from framework.result import Result
from framework.testing import HolySheepServer
from tests.bad_commands import BAD, CANDLES, CODE, CSV, FIRST, HEAD, LONG, OTHER

ROOT = Path(__file__).parent.parent
EMA = ROOT / "strategies" / "ema_cross.py"
REGIME = ROOT / "strategies" / "regime_trader.py"
SHORT = ["--from", "2019-01-01", "--to", "2019-01-15"]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with strategies, candles and no key; what the command changes is put back."""
    for name, rows in CANDLES.items():
        (tmp_path / name).write_text(HEAD + rows, encoding="utf-8")
    for name, text in OTHER.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    for name, text in CODE.items():
        (tmp_path / name).write_text("from framework import Strategy, compiled\n" + text, encoding="utf-8")
    (tmp_path / "ema.py").write_bytes(EMA.read_bytes())
    (tmp_path / "regime.py").write_bytes(REGIME.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("HOLYSHEEP_API_KEY", "HOLYSHEEP_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def sheepfold(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-m", "framework", *args]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_backtest_saves_a_run_that_can_be_run_again(desk: Path, warm: None) -> None:
    done = sheepfold(
        desk, "backtest", "ema.py", "-p", "fast=9", "--from", "2018-01-01", "--fills", "backtrader"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    folder = next((desk / "results").iterdir())
    assert f"saved {Path('results') / folder.name}" in done.stdout
    saved = Result.load(folder)
    assert saved.fingerprint in done.stdout
    assert folder.name == f"EmaCross-{saved.fingerprint[:8]}"
    assert {"report.html", "report.png", "ema.py", "equity.csv"} <= {path.name for path in folder.iterdir()}
    command = saved.manifest["command"]
    assert (command["strategy"], command["params"], command["fills"]) == ("ema.py", ["fast=9"], "backtrader")
    assert str(desk) not in (folder / "manifest.json").read_text(encoding="utf-8")
    (desk / "ema.py").write_text("from framework import Strategy\n", encoding="utf-8")
    again = sheepfold(desk, "rerun", str(folder))
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith(f"same result: fingerprint {saved.fingerprint}")


def test_json_is_one_object_and_nothing_else(desk: Path, warm: None) -> None:
    done = sheepfold(desk, "backtest", "prints.py", "--json", "--no-report", *SHORT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert {"metrics", "fingerprint", "status", "folder", "notes"} <= found.keys()
    assert found["metrics"]["sharpe"] is None or isinstance(found["metrics"]["sharpe"], float)
    assert set(done.stderr.split()) == {"hello"}  # what the strategy prints
    assert not (desk / found["folder"] / "report.html").exists()


def test_damage_and_difference_end_with_5(desk: Path, warm: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest", "random_walk.py", "--no-report", "--out", "run", *SHORT]) == 0
    capsys.readouterr()
    assert main(["rerun", "run"]) == 5
    error = capsys.readouterr().err
    assert error.startswith("sheepfold: error: run: the rerun differs: ")
    assert error.count("\n") == 1
    (desk / "run" / "equity.parquet").write_bytes(b"PAR1")
    assert main(["rerun", "run"]) == 5
    assert "run/equity.parquet" in capsys.readouterr().err
    own = ["--market", "candles:ok.csv", *CSV]
    assert main(["backtest", "ema.py", "--no-report", "--out", "more", *own]) == 0
    (desk / "ok.csv").write_text(HEAD + FIRST, encoding="utf-8")
    assert main(["rerun", "more"]) == 5
    assert "the market has other content now" in capsys.readouterr().err



def test_recorded_decisions_are_paid_once(
    desk: Path, warm: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask(*more: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = main(["backtest", "regime.py", "--json", "--no-report", *SHORT, *more])
        out, err = capsys.readouterr()
        said.append(err)
        return code, json.loads(out) if out else {}

    said: list[str] = []
    monkeypatch.setenv("SHEEPFOLD_CACHE", str(desk / "store"))
    with HolySheepServer() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        code, offline = ask()
        assert (code, len(server.requests)) == (0, 0)  # a key alone never spends
        assert offline["analyst"]["stand_in"] is True
        assert ask("--model", "deepseek-v3.2")[0] == 4  # never recorded
        assert len(server.requests) == 0
        code, paid = ask("--model", "deepseek-v3.2", "--record")
        assert (code, paid["status"], paid["analyst"]["stand_in"]) == (0, "done", False)
        asked = len(server.requests)
        assert asked == paid["analyst"]["questions"] + 10  # and five of the canary at both ends
        assert f" on {asked} answers (" in said[-1]  # what it cost
        assert ask("--model", "deepseek-v3.2")[1]["fingerprint"] == paid["fingerprint"]
        assert "spent" not in said[-1]
        assert ask("--model", "deepseek-v3.2", "--record", "--refresh", "--out", "fresh")[0] == 0
        asked_again = len(server.requests)
        assert ask("--model", "deepseek-v3.2", "--record", "--refresh", "--out", "fresh")[0] == 2
        assert "--refresh asks anew" in said[-1]
        assert len(server.requests) == asked_again == 2 * asked  # refused before anything was paid
    for name in ("HOLYSHEEP_API_KEY", "HOLYSHEEP_BASE_URL"):
        monkeypatch.delenv(name)
    tape = f"{paid['folder']}/cassette.jsonl.gz"
    assert ask("--cassette", tape)[1]["fingerprint"] == paid["fingerprint"]
    assert main(["rerun", paid["folder"]]) == 0
    shown = capsys.readouterr()
    assert "same result" in shown.out


def test_an_incomplete_run_is_saved_and_ends_with_4(
    desk: Path, warm: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from framework.llm.client import HolySheep
    from framework.testing import Scripted

    made = HolySheep.__init__

    def impatient(self: HolySheep, *args: Any, **options: Any) -> None:
        made(self, *args, **{**options, "retries": 0})

    monkeypatch.setattr(HolySheep, "__init__", impatient)
    monkeypatch.setenv("SHEEPFOLD_CACHE", str(desk / "store"))
    fails = 20  # one question after those of the canary

    def plan(_: Any) -> Scripted:
        return Scripted(status=500 if len(server.requests) == fails else 200)

    with HolySheepServer(plan) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        options = ["backtest", "regime.py", "--json", "--no-report", "--record", *SHORT]
        assert main(options) == 4
        first = json.loads(capsys.readouterr().out)
        assert first["status"] == "incomplete"
        asked = len(server.requests)
        assert main(["rerun", first["folder"]]) == 0  # the same, with the same decision missing
        assert "INCOMPLETE as it was" in capsys.readouterr().out
        assert len(server.requests) == asked
        assert main(options) == 0
        assert len(server.requests) == asked + 1




@pytest.mark.parametrize(("command", "code", "words"), BAD, ids=[row[0].replace(LONG, "LONG") for row in BAD])
def test_a_mistake_is_one_line(
    command: str, code: int, words: str, desk: Path, warm: None, capsys: pytest.CaptureFixture[str]
) -> None:
    given = shlex.split(command.replace("CSV", shlex.join(CSV)))
    assert main(given) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("sheepfold: error: ")
    assert shown.err.count("\n") == 1
    assert words in shown.err
    assert "Traceback" not in shown.err
    assert not (desk / "results").exists()


def test_debug_shows_the_traceback(desk: Path, warm: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest", "divides.py", "--debug"]) == 2
    assert "ZeroDivisionError" in (shown := capsys.readouterr().err)
    assert "Traceback" in shown


def test_other_ends(
    desk: Path, warm: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backtest", "stops.py"]) == 130
    assert capsys.readouterr().err == "sheepfold: interrupted\n"

    def defect(*_: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("framework.cli_run.execute", defect)
    assert main(["backtest", "ema.py"]) == 1
    assert capsys.readouterr().err == (
        "sheepfold: error: unexpected RuntimeError: two lines; this is a defect: "
        "run it again with --debug and report it\n"
    )


def test_sweep_rows_are_backtests(desk: Path, warm: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "ema.py", "-p", "fast=5:9:2", "-p", "slow=30,40", "--out", "all.csv", *SHORT]) == 0
    assert "4 backtests" in capsys.readouterr().out
    assert (desk / "all.csv").read_text(encoding="utf-8").count("\n") == 5
    assert main(["sweep", "ema.py", "-p", "fast=7", "-p", "slow=30", "--json", *SHORT]) == 0
    row = json.loads(capsys.readouterr().out)["rows"][0]
    assert main(["backtest", "ema.py", "-p", "fast=7", "-p", "slow=30", "--json", "--no-report", *SHORT]) == 0
    assert json.loads(capsys.readouterr().out)["fingerprint"] == row["fingerprint"]


def test_check_proves_or_says_what_is_wrong(
    desk: Path, warm: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "ema.py", *SHORT]) == 0
    assert "clean" in capsys.readouterr().out
    assert main(["check", "ema.py", "--json", *SHORT]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rehearsal"]["problems"] == []
    assert found["lookahead"]["verdict"] == "clean"
    assert main(["check", "random_walk.py", *SHORT]) == 2
    assert "two runs differ" in capsys.readouterr().err
    assert main(["check", "peeks.py", *SHORT]) == 5
    assert "LOOK-AHEAD" in capsys.readouterr().out


def test_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["samples"]) == 0
    shown = capsys.readouterr().out
    assert "btcusd-1h: coinbase:BTC-USD; 1h; 2017-07-01 to 2019-10-17" in shown
    assert "SYNTHETIC" in shown
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith("sheepfold ")
    assert main([]) == 0
    assert "Exit codes" in capsys.readouterr().out


def test_values_of_a_range() -> None:
    assert values_of("fast", "5:8", int) == [5, 6, 7]
    assert values_of("slow", "30:70:20", int) == [30, 50]
    assert values_of("stop", "0.01:0.04:0.01", float) == [0.01, 0.02, 0.03]
    assert values_of("fast", "9:5:-2", int) == [9, 7]
    assert values_of("name", "a,b", str) == ["a", "b"]


def test_options_read_back() -> None:
    assert fills_of("at=close,intrabar=best") == Fills(at="close", intrabar="best")
    assert fills_of("backtrader,grace=0.5") == Fills(
        **{**Fills.like("backtrader").__dict__, "grace": 0.5}
    )
    assert fills_of("volume_share=0.1").volume_share == 0.1
    assert (latency_of("5ms").order, latency_of("order=1s,feed=2s").feed) == ("5ms", "2s")
    job = Job("a.py", ("fast=3",), market="candles:x.csv", start="2019-01-01", strict=True)
    assert Job.from_words(json.loads(json.dumps(job.words())), "run") == job
    with pytest.raises(ConfigError, match="was saved by a program"):
        Job.from_words(None, "run")
    with pytest.raises(FrameworkError, match="which this version does not have"):
        Job.from_words({**job.words(), "newer": 1}, "run")


def test_the_meter_waits_and_then_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    from framework import cli_show

    clock = iter([0.0, 0.1, 1.0])
    monkeypatch.setattr(cli_show, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with cli_show.Meter("Slow", 1000, "bars") as meter:
        meter(100)
        assert meter.bar is None
        meter(200)
        assert meter.bar is not None
        assert meter.bar.tasks[0].fields["words"] == "200 bars/s, 4 s left"
    assert meter.bar is None
