"""Faults of files, disks and processes: a store refuses what is damaged, and never holds half a day."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from framework import from_tardis
from framework.data import Store
from framework.data.loading import load
from framework.errors import DataError
from tests import kill_store
from tests.bad_ticks import CORPUS, Bad
from tests.test_store import everything, made
from tests.tick_files import DAY, WHAT, T, change_rows, csv_text, save, trade

NO_ROW = "files holds a row"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(place)]
    if (
        os.geteuid() != 0
        or shutil.which("mount") is None
        or subprocess.run(words, capture_output=True).returncode
    ):
        print(reason := "a small file system cannot be mounted here")
        pytest.skip(reason)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_bad_files_are_refused_as_everywhere_and_leave_nothing(tmp_path: Path) -> None:
    for n, bad in enumerate(CORPUS):
        judge(bad, tmp_path / str(n))


def judge(bad: Bad, place: Path) -> None:
    """Import one file: the verdict of `from_tardis` in the same words."""
    place.mkdir()
    path = save(place, bad.kind, bad.content, packed=bad.packed)
    store = Store(place / "store")
    said = refusal(lambda: from_tardis([path], WHAT))
    if NO_ROW in said:
        assert store.add_csv(path, instrument=WHAT)[0].part.rows == 0, bad.name
        return
    assert refusal(lambda: store.add_csv(path, instrument=WHAT)) == said, bad.name
    assert [part.rows > 0 for part in store.parts()] == ([] if said else [True]), bad.name
    assert not said or list(everything(store.folder)) == ["store.json"], bad.name


def refusal(call: Callable[[], Any]) -> str:
    """Return the error of a call, "" where there is none."""
    try:
        call()
    except DataError as error:
        return str(error)
    return ""


def test_every_damage_is_seen(tmp_path: Path, seed: int) -> None:
    """Random bytes changed, cut or added in rows, manifest and engine form."""
    rng = random.Random(seed)
    (tmp_path / "in").mkdir()
    changes = [
        (DAY + i, DAY + i, i < 20, i % 2, 1000 + (i % 2) * 20 + rng.randint(0, 9), rng.randint(1, 99))
        for i in range(400)
    ]
    files = [
        save(tmp_path / "in", "incremental_book_L2", csv_text("incremental_book_L2", change_rows(changes))),
        save(tmp_path / "in", "trades", csv_text("trades", [trade(T + i, id=f"{i}") for i in range(400)])),
    ]
    whole = Store(tmp_path / "whole")
    whole.add_csv(files, instrument=WHAT)
    parts, facts = whole.parts(), everything(whole.folder)
    targets = [
        name for name in facts if name.endswith((".parquet", ".json", ".book")) and "store.json" not in name
    ]
    assert len(targets) == 6
    found = Counter[str]()
    for _ in range(200):
        name = rng.choice(targets)
        path, data = whole.folder / name, bytearray(facts[name])
        how, at = rng.choice(("flip", "flip", "cut", "grow")), rng.randrange(len(data))
        if how == "flip":
            data[at] ^= 1 << rng.randrange(8)
        elif how == "grow":
            data[at:at] = rng.randbytes(rng.randint(1, 9))
        path.write_bytes(data[:at] if how == "cut" else data)
        seen = len(whole.verify())
        if not seen:  # white space of a manifest
            assert path.suffix == ".json", f"{name} {how} at {at}"
            assert whole.parts() == parts, f"{name} {how} at {at}"
        found[f"{path.suffix} {'seen' if seen else 'harmless'}"] += 1
        path.write_bytes(facts[name])
    assert whole.verify() == []
    print(dict(found))
    assert sum(count for what, count in found.items() if "harmless" in what) < 20


def test_a_full_disk_keeps_the_old_day(tmp_path: Path, small_disk: Path) -> None:
    store = Store(small_disk / "store")
    store.add_csv(made(tmp_path / "a", trade()))
    before = everything(store.folder)
    rng = random.Random(1)
    rows = [trade(T + i, id=str(rng.random()), price=rng.randint(1, 10**6)) for i in range(30_000)]
    large = made(tmp_path / "b", *rows)
    with pytest.raises(DataError, match=r"2023-04-05.*cannot be written .*room"):
        store.add_csv(large, replace=True)
    assert everything(store.folder) == before
    assert store.verify() == []
    for room in range(0, 60_000, 4096):  # full at one place after the other
        filler = small_disk / "filler"
        free = shutil.disk_usage(small_disk).free
        filler.write_bytes(b"0" * max(free - room, 0))
        try:
            store.add_csv(made(tmp_path / "c", *rows[:100]), replace=True)
        except DataError:
            assert everything(store.folder) == before
            assert store.verify() == []
            filler.unlink()
            continue
        break
    assert room > 0
    assert store.verify() == []
    assert [part.rows for part in store.parts()] == [100]


def test_a_disk_that_cannot_be_written(tmp_path: Path, small_disk: Path) -> None:
    file, other = made(tmp_path / "a", trade()), made(tmp_path / "b", trade(price=1.75))
    store = Store(small_disk / "store")
    store.add_csv(file)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert store.add_csv(file)[0].how == "same"
    with pytest.raises(DataError, match="cannot be written"):
        store.add_csv(other, replace=True)
    with pytest.raises(DataError, match="cannot be written"):
        store.remove(store.parts())
    assert store.verify() == []
    assert len(load("made", "AAABBB", "2023-04-05", "2023-04-06", store=store).trades[0]) == 1


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(DataError, match="is a file"):
        Store(tmp_path / "store")


@pytest.mark.parametrize("at", range(6))
def test_a_replacement_cut_off_at_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Whichever rename is the last: the day is the old one or the new one, and the next import completes."""
    old, new = made(tmp_path / "a", trade()), made(tmp_path / "b", trade(price=1.75))
    store = Store(tmp_path / "store")
    store.add_csv(old)
    real, count = os.replace, 0

    def replace(source: Path, target: Path) -> None:
        nonlocal count
        if count == at:
            raise KeyboardInterrupt
        count += 1
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with contextlib.suppress(KeyboardInterrupt):
        store.add_csv(new, replace=True)
    monkeypatch.setattr(os, "replace", real)
    (part,) = store.parts()
    (frame,) = store.frames(part)
    assert frame["price"].to_list() == [1.5 if at < 3 else 1.75]  # pack and rows, manifest, pack in its place
    store.add_csv(new, replace=True)
    assert store.verify() == []
    (frame,) = store.frames(store.parts()[0])
    assert frame["price"].to_list() == [1.75]


def test_kill_9(tmp_path: Path, seed: int) -> None:
    print(kill_store.run(tmp_path, 10, seed))
