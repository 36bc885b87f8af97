"""What the command does with runs: saved, run again, refused before they begin."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from framework.cli import main
from framework.result import Result

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
