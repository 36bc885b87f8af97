"""A saved folder: whole in one step with its page and source, cleared of dead leftovers, every file known."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from framework import result_store
from framework.cli import main
from framework.errors import ResultError
from framework.report import page
from framework.result import Result
from framework.result_store import TABLES
from tests.made_result import make

ROOT = Path(__file__).parent.parent


def dead_pid() -> int:
    """Return the id of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_page_picture_and_source_are_there_with_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "mine.py"
    source.write_text("# first\n")
    folder = make(rows=50).save(tmp_path / "x", report=True, source=source)
    expected = {"report.html", "report.png", "mine.py", "manifest.json", "equity.csv"}
    assert expected <= {path.name for path in folder.iterdir()}
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / ".report.html.77").write_text("half a page of a killed process")
    source.write_text("# second\n")
    swap = result_store._swap

    def looked_at(fresh: Path, target: Path) -> None:
        assert {path.name: path.read_bytes() for path in target.iterdir()} == before | {
            ".report.html.77": b"half a page of a killed process"
        }
        assert expected <= {path.name for path in fresh.iterdir()}  # all is written before the one step
        swap(fresh, target)

    monkeypatch.setattr(result_store, "_swap", looked_at)
    make(rows=50, notes=["again"]).save(folder, report=True, source=source)
    assert (folder / "mine.py").read_text() == "# second\n"
    assert not (folder / ".report.html.77").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.py", "x"]


def test_a_page_that_cannot_be_drawn_does_not_cost_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: Any) -> None:
        raise ZeroDivisionError("a defect in a picture")

    monkeypatch.setattr(page, "write", defect)
    with pytest.raises(ZeroDivisionError):
        make().save(tmp_path / "x", report=True)
    assert Result.load(tmp_path / "x").diff(make()) == []


def test_leftovers_of_dead_processes_are_removed_and_no_others(tmp_path: Path) -> None:
    host, dead = result_store._host(), dead_pid()
    gone = [f".x.{host}-{dead}-0", f".other.{host}-{dead}-12", f".x.{host}-{dead}-1-old"]
    kept = [
        f".x.{host}-{os.getpid()}-0", f".x.00000000-{dead}-0", f".x.{dead}-0", f"x.{host}-{dead}-0",
        f".x.{host}-{dead}-0.txt", f".x.{host}-{dead}-old",
    ]  # fmt: skip
    make(notes=["old"]).save(tmp_path / "x")
    for name in (*gone, *kept):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("")
    (tmp_path / f".file.{host}-{dead}-0").write_text("")
    (tmp_path / f".link.{host}-{dead}-0").symlink_to(tmp_path / kept[0])
    make().save(tmp_path / "x")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"x", f".file.{host}-{dead}-0", f".link.{host}-{dead}-0", *kept}
    assert all((tmp_path / name / "file").exists() for name in kept)


def test_a_result_moved_aside_by_a_killed_process_is_put_back(tmp_path: Path) -> None:
    """Where names cannot be swapped there are two renames; one killed between them loses nothing."""
    old = make(notes=["old"]).save(tmp_path / "x")
    aside = f".x.{result_store._host()}-{dead_pid()}-0"
    old.rename(tmp_path / f"{aside}-old")
    (tmp_path / aside).mkdir()
    make(fingerprint="cd" * 32).save(tmp_path / "y")
    assert Result.load(tmp_path / "x").notes == ["old"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x", "y"]


def test_a_damaged_csv_is_a_damaged_folder(tmp_path: Path) -> None:
    folder = make(rows=60, reasoning=["a"]).save(tmp_path / "x")
    for name in TABLES:
        file, good = folder / f"{name}.csv", (folder / f"{name}.csv").read_bytes()
        for bad, why in ((good[:-1], "damaged or altered"), (None, "missing")):
            file.unlink() if bad is None else file.write_bytes(bad)
            words = rf"{name}\.csv: is {why}.*; {name}\.parquet is intact; run"
            with pytest.raises(ResultError, match=words):
                Result.load(folder)
        (folder / f"{name}.parquet").write_bytes(b"PAR1")  # no word of intact where it is not
        with pytest.raises(ResultError, match=rf"{name}\.parquet: is damaged"):
            Result.load(folder)
        make(rows=60, reasoning=["a"]).save(folder)
    assert main(["rerun", str(folder)]) == 2  # whole again, but no command made it
    (folder / "fills.csv").write_text("")
    assert main(["rerun", str(folder)]) == 5


def test_names_no_file_system_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ResultError, match=r"cannot write the result \(File name too long\); nothing"):
        make().save(tmp_path / ("a" * 300))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ema.py").write_bytes((ROOT / "strategies" / "ema_cross.py").read_bytes())
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["backtest", "../ema.py", "--out", "."]) == 2
