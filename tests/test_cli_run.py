"""What the command does with runs: saved, run again, refused before they begin."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import polars as pl
import pytest

from framework.cli import main
from framework.cli_run import save_somewhere
from framework.errors import ConfigError
from framework.result import Result
from framework.testing import HolySheepServer, Scripted
from tests.made_result import make

ROOT = Path(__file__).parent.parent


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with the shipped strategies."""
    for name in ("ema_cross.py", "pairs.py"):
        (tmp_path / name).write_bytes((ROOT / "strategies" / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def test_two_instruments_are_saved_loaded_and_run_again(
    desk: Path, warm: None, capsys: pytest.CaptureFixture[str]
) -> None:
    span = ["--from", "2018-01-01", "--to", "2018-09-01"]
    assert main(["backtest", "pairs.py", "--out", "two", "--no-report", *span]) == 0
    saved = Result.load("two")
    assert saved.equity.columns[-2:] == ["position:bitstamp:ETHUSD", "position:bitstamp:LTCUSD"]
    assert saved.diff(Result.load("two")) == []
    assert main(["rerun", "two"]) == 0
    assert "same result" in capsys.readouterr().out
    assert main(["report", "two"]) == 0
    assert (desk / "two" / "report.html").is_file()


def test_a_folder_of_another_result_is_refused_before_the_run(
    desk: Path, warm: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ["backtest", "ema_cross.py", "--from", "2019-01-01", "--to", "2019-02-01", "--no-report"]
    assert main([*run, "--out", "one"]) == 0
    assert main([*run, "--out", "one"]) == 0  # the same again is replaced

    def never(*_: object) -> None:
        raise AssertionError("the run began")

    monkeypatch.setattr("framework.cli_run.execute", never)
    capsys.readouterr()
    words = "sheepfold: error: --out one: holds another result (EmaCross, "
    assert main([*run, "-p", "fast=5", "--out", "one"]) == 2
    assert capsys.readouterr().err.startswith(words)
    (desk / "ema_cross.py").write_text("# changed\n" + (desk / "ema_cross.py").read_text(), encoding="utf-8")
    assert main([*run, "--out", "one"]) == 2
    assert capsys.readouterr().err.startswith(words)
    (desk / "one" / "manifest.json").write_text("{}", encoding="utf-8")
    assert main([*run, "--out", "one"]) == 2
    assert "is damaged or altered" in capsys.readouterr().err
    monkeypatch.setattr("os.access", lambda *_: False)
    assert main([*run, "--out", "two"]) == 2
    assert "--out two: cannot be written (permission denied in " in capsys.readouterr().err


def test_an_incomplete_result_is_completed_in_its_folder(desk: Path) -> None:
    half = {"status": "incomplete", "manifest": {"command": {"strategy": "a.py", "record": True}}}
    whole = {"manifest": {"command": {"strategy": "a.py", "record": False}}, "fingerprint": "cd" * 32}
    make(**half).save("asked")
    with pytest.raises(ConfigError, match="another result"):
        make(**{**whole, "manifest": {"command": {"strategy": "b.py"}}}).save("asked")
    make(**whole).save("asked")
    assert Result.load("asked").fingerprint == "cd" * 32
    with pytest.raises(ConfigError, match="another result"):
        make(**{**whole, "fingerprint": "ef" * 32}).save("asked")


def test_check_and_sweep_name_who_decided(
    desk: Path, warm: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (desk / "regime.py").write_bytes((ROOT / "strategies" / "regime_trader.py").read_bytes())
    assert main(["check", "regime.py", "--from", "2019-06-01", "--to", "2019-06-05"]) == 0
    assert "\ndecisions by Rules (stand-in), not a language model\n" in capsys.readouterr().out
    run = ["sweep", "regime.py", "-p", "max_share=0.1,0.2", "--from", "2019-01-01", "--to", "2019-01-15"]
    assert main([*run, "--out", "all.csv"]) == 0
    assert "\ndecisions by Rules (stand-in), not a language model\n" in capsys.readouterr().out
    assert pl.read_csv("all.csv")["analyst"].to_list() == ["Rules (stand-in)"] * 2
    assert main([*run, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["analyst"]["stand_in"], found["headline"]) == (True, None)
    assert found["rows"][0]["analyst"] == "Rules (stand-in)"
    monkeypatch.setenv("SHEEPFOLD_CACHE", str(desk / "store"))
    with HolySheepServer() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        assert main([*run, "--record"]) == 0  # 2019 lies before the cutoff of any model
    shown = capsys.readouterr().out
    assert "\ndecisions by deepseek-v3.2\n168 decisions due, 84 prompts\nno out-of-sample decision: " in shown
    assert main(["sweep", "ema_cross.py", "-p", "fast=5,6", "--json", *run[4:]]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["analyst"] is None
    assert "analyst" not in found["rows"][0]


def test_a_run_without_any_answer_can_be_run_again(
    desk: Path, warm: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from framework.llm.client import HolySheep

    (desk / "regime.py").write_bytes((ROOT / "strategies" / "regime_trader.py").read_bytes())
    made = HolySheep.__init__
    monkeypatch.setattr(
        HolySheep, "__init__", lambda self, *a, **k: made(self, *a, **{**k, "retries": 0})
    )
    monkeypatch.setenv("SHEEPFOLD_CACHE", str(desk / "store"))
    span = ["--from", "2019-01-01", "--to", "2019-01-05", "--no-report"]
    with HolySheepServer(lambda _: Scripted(status=500)) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        assert main(["backtest", "regime.py", "--record", "--out", "none", *span]) == 4
        paid = len(server.requests)
        saved = Result.load("none")
        assert (saved.cassette, saved.decisions["status"].unique().to_list()) == (b"", ["missing"])
        assert set(saved.decisions["instrument"]) == set(saved.price["instrument"])  # ids, as in every table
        assert main(["rerun", "none"]) == 0, capsys.readouterr().err
        assert len(server.requests) == paid
    assert "same result" in capsys.readouterr().out


def test_a_run_whose_folder_is_taken_meanwhile_is_saved_beside_it(tmp_path: Path) -> None:
    """What was run, and paid, is not lost because somebody else saved there first."""
    other, mine = make(rows=20), make(rows=30, fingerprint="cd" * 32)
    other.save(tmp_path / "out")
    source = ROOT / "strategies" / "ema_cross.py"
    folder, refused = save_somewhere(mine, tmp_path / "out", False, source)
    assert folder == tmp_path / "out-cdcdcdcd"
    assert refused is not None
    assert Result.load(tmp_path / "out").fingerprint == other.fingerprint
    assert Result.load(folder).fingerprint == mine.fingerprint
