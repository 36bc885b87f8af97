"""The store's commands, frames that are refused, and where a store lies."""

from __future__ import annotations

from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from framework.cli import main as sheepfold
from framework.data import Store
from framework.errors import ConfigError, DataError
from tests.test_store import KEY, content, everything, frame, made
from tests.tick_files import DAY, WHAT, T, trade


def test_frames_that_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    day = 86_400_000_000
    for frames, words in (
        ([frame(local_timestamp=T + day)], "outside 2023-04-05"),
        ([frame(), frame(local_timestamp=T - 1)], "row 2: local_timestamp goes back"),
        ([frame().drop("id")], "lacks id"),
        ([frame(), frame(id="é")], "row 2: id = 'é'"),
        ([frame(price=float("nan"))], "row 1: price = nan"),
        ([frame(amount=None)], "row 1: amount = None"),
    ):
        with pytest.raises(DataError, match=words):
            store.add_frame(*KEY, frames, source="test")
    with pytest.raises(ConfigError, match="no UTC midnight"):
        store.add_frame(*KEY[:3], DAY * 1000 + 1, [frame()], source="test")
    assert list(everything(store.folder)) == ["store.json"]
    part = store.add_frame(*KEY, [frame(), frame(price=1.25)], source="test", remarks=["made"])
    assert (part.rows, part.tick_size, part.remarks) == (2, 0.01, ("made",))
    with pytest.raises(DataError, match="is there from test"):
        store.add_frame(*KEY, [frame()], source="test")


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, file = str(tmp_path / "store"), made(tmp_path / "a", trade(), trade(T + 1, price=1.25))
    bad = made(tmp_path / "b", trade(price="x"), name="made,CCC")

    def run(*words: str) -> tuple[int, str]:
        code = sheepfold(["data", *words, "--store", store])
        return code, "".join(capsys.readouterr())

    assert run("import", str(file), str(bad))[0] == 3
    code, said = run("import", str(file))
    assert (code, said.split()[0]) == (0, "same")
    assert run("import", str(tmp_path / "none.csv"))[0] == 3
    code, said = run("ls")
    assert code == 0
    assert "made:AAABBB" in said
    assert run("ls", "made:AAABBX")[0] == 3
    assert run("ls", "AAABBB")[0] == 2
    assert run("verify")[0] == 0
    out = tmp_path / "out"
    assert run("export", "made:AAABBB", str(out))[0] == 0
    assert_frame_equal(content(out / file.name), content(file))
    (part,) = Store(store).parts()
    part.path.write_bytes(part.path.read_bytes()[:-1])
    code, said = run("verify")
    assert code == 3
    assert "sheepfold data rm made:AAABBB" in said
    assert run("export", "made:AAABBB", str(out))[0] == 3
    assert run("rm", "made:AAABBB")[0] == 0
    assert Store(store).parts() == []
    assert run("import", str(file))[0] == 0


def test_a_store_of_another_format(tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text('{"format": 2}')
    with pytest.raises(DataError, match="is of format 2"):
        Store(tmp_path)


def test_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHEEPFOLD_STORE", str(tmp_path / "a"))
    assert Store().folder == tmp_path / "a"
    monkeypatch.delenv("SHEEPFOLD_STORE")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "b"))
    store = Store()
    assert store.folder == tmp_path / "b" / "sheepfold" / "data"
    store.add_csv(made(tmp_path / "in", trade()), instrument=WHAT)
    assert oct(store.folder.stat().st_mode)[-3:] == "700"
