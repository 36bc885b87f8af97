"""The cache of compiled code: what lies in it is run, so nobody else may put anything there."""

from __future__ import annotations

import os
import pickle
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from framework import jit

ROOT = Path(__file__).parent.parent
KERNEL = """
from framework import jit
@jit.kernel("int64(int64)")
def twice(a):
    return a + a
print(twice(4))
"""
pytestmark = pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what was checked, before and after; a mask that lets the group write."""
    before = os.umask(0o002)
    jit.trusted.cache_clear()
    yield
    jit.trusted.cache_clear()
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refused(place: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Check that a folder is not used but a private temporary one, and return the line that says so."""
    other = jit.trusted(str(place))
    said = capsys.readouterr().err
    try:
        assert other != place
        assert place not in other.parents
        assert other.name not in ("sheepfold", f"sheepfold-{os.getuid()}")
        assert mode(other) == 0o700
        assert list(other.iterdir()) == []
        assert said.count("\n") == 1
        assert "SHEEPFOLD_CACHE" in said
        assert jit.trusted(str(place)) == other  # once a process, and said once
        assert capsys.readouterr().err == ""
    finally:
        jit.remove_own(str(other), os.getpid())
    assert not other.exists()
    return said


def test_it_is_made_private_whatever_the_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHEEPFOLD_CACHE", str(tmp_path / "a" / "b"))
    assert jit.cache_root() == tmp_path / "a" / "b"
    for folder in (jit.cache_root(), jit.cache_folder().parent, jit.cache_folder()):
        assert mode(folder) == 0o700
    monkeypatch.delenv("SHEEPFOLD_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert jit.cache_root() == tmp_path / "x" / "sheepfold"
    assert mode(tmp_path / "x" / "sheepfold") == 0o700


def test_rights_to_read_are_taken_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c" / "compiled").mkdir(parents=True)
    (tmp_path / "c").chmod(0o755)
    (tmp_path / "c" / "compiled").chmod(0o755)
    (tmp_path / "link").symlink_to(tmp_path / "c")  # to a larger disk of one's own
    assert jit.trusted(str(tmp_path / "link")) == tmp_path / "link"
    assert mode(tmp_path / "c") == mode(tmp_path / "c" / "compiled") == 0o700
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("part", ["", "compiled", "digest"])
@pytest.mark.parametrize("bits", [0o775, 0o757, 0o1777])
def test_others_could_have_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str, bits: int
) -> None:
    place = tmp_path / "c"
    open_one = {"": place, "compiled": place / "compiled", "digest": place / "compiled" / jit.digest()}[part]
    open_one.mkdir(parents=True)
    for folder in (place, place / "compiled", place / "compiled" / jit.digest()):
        if folder.exists():
            folder.chmod(0o700)
    open_one.chmod(bits)
    assert f"others can write to {open_one}" in refused(place, capsys)
    assert mode(open_one) == bits  # it is not ours to say that all is well again


@pytest.mark.parametrize("part", ["", "compiled", "file"])
def test_somebody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    place = jit.trusted(str(tmp_path / "c"))
    theirs = {"": place, "compiled": place / "compiled",
              "file": place / "compiled" / jit.digest() / "engine_1" / "x.nbi"}[part]  # fmt: skip
    if part == "file":
        theirs.parent.mkdir()
        theirs.write_bytes(b"")
    jit.trusted.cache_clear()
    inode = theirs.stat().st_ino
    plain = jit.check_owner

    def check(path: Path | str, info: os.stat_result) -> None:
        plain(path, os.stat_result((*info[:4], info.st_uid + (info.st_ino == inode), *info[5:])))

    monkeypatch.setattr(jit, "check_owner", check)
    assert f"{theirs} belongs to another user" in refused(place, capsys)


def test_links_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "c").mkdir(mode=0o700)
    (tmp_path / "c" / "compiled").symlink_to(tmp_path / "elsewhere")
    assert "is a link or a file" in refused(tmp_path / "c", capsys)
    (tmp_path / "f").write_text("")
    assert "File exists" in refused(tmp_path / "f", capsys)


def test_a_planted_pickle_is_not_run(tmp_path: Path) -> None:
    """numba unpickles its index files: one that somebody left in an open folder must not be read."""
    place, trap = tmp_path / "c", tmp_path / "executed"
    file = tmp_path / "planted.py"
    file.write_text(KERNEL)
    env = {**os.environ, "SHEEPFOLD_CACHE": str(place), "PYTHONPATH": str(ROOT)}

    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(file)]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True)

    assert (run().stdout, run().stderr) == ("8\n", "")
    indexes = list(place.rglob("*.nbi"))
    assert indexes
    for index in indexes:
        with index.open("rb") as opened:
            version = pickle.load(opened)
        index.write_bytes(pickle.dumps(version) + pickle.dumps(Bomb(str(trap))))
    place.chmod(0o777)
    done = run()
    assert (done.stdout, done.stderr.count("\n")) == ("8\n", 1)
    assert "others can write" in done.stderr
    assert not trap.exists()


class Bomb:
    """Unpickling this makes a folder."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (self.path,))
