"""The doctor on a store as it is: verdicts kept, days refused and waived for loading, damage seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from framework.cli import main
from framework.data import Store, check, load, waive
from framework.data.checks import REFUSE, verdict_of, verdict_path
from framework.errors import DataError
from tests.made_day import LONG, TICKER, TRADES, clean, write
from tests.planted_faults import FAULTS
from tests.tick_files import DAY, ID


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with two days of trades and best prices; the trades of the second have clocks an hour off."""
    files = tmp_path / "files"
    files.mkdir()
    write(files, clean(TRADES, TICKER))
    late = clean(TRADES, TICKER, day=DAY + LONG)
    next(fault for fault in FAULTS if fault.code == "wrong_clock").plant(late)
    write(files, late, "2023-04-06")
    found = Store(tmp_path / "store")
    found.add_csv(files)
    return found


def test_a_refused_day_is_loaded_only_with_a_waiver(store: Store) -> None:
    done = check(store=store)
    assert [(e.kind, e.date) for e in done.exams if e.verdict == REFUSE] == [(TRADES, "2023-04-06")]
    assert len([part for part in store.parts() if verdict_of(store, part)]) == 4
    days = ("made", "AAABBB", "2023-04-05", "2023-04-07", ["trades"])
    with pytest.raises(DataError, match="says refuse"):
        load(*days, store=store)
    remarks = load("made", "AAABBB", "2023-04-05", "2023-04-06", ["trades"], store=store).remarks
    assert not [line for line in remarks if "check" in line]
    bad = [part for part in store.parts() if part.kind == TRADES and part.day > DAY * 1_000]
    waive(store, bad, "the venue's clock was an hour off, arrival is right")
    remarks = load(*days, store=store).remarks
    assert any("waived wrong_clock" in line and "an hour off" in line for line in remarks), remarks


def test_a_file_that_was_altered(store: Store) -> None:
    part = store.parts(kind=TICKER)[0]
    data = bytearray(part.path.read_bytes())
    data[len(data) // 2] ^= 1
    part.path.write_bytes(bytes(data))
    done = check(ID, kinds=TICKER, store=Store(store.folder))
    assert [exam.verdict for exam in done.exams] == [REFUSE, "clean"]
    assert done.codes(REFUSE) == {"altered"}


def test_a_verdict_dies_with_the_day(store: Store, tmp_path: Path) -> None:
    check(store=store, kinds=TICKER)
    part = store.parts(kind=TICKER)[0]
    assert verdict_of(store, part) is not None
    files = clean(TICKER)
    del files[TICKER][50:]
    store.add_csv(write(tmp_path, files), replace=True)
    again = store.parts(kind=TICKER)[0]
    assert verdict_of(store, again) is None
    store.remove([again])
    assert not verdict_path(store, again).exists()


def test_the_commands(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--store", str(store.folder)]
    assert main(["data", "check", ID, "--to", "2023-04-06", *where]) == 0
    assert "2 files: 2 clean. Verdict: clean" in capsys.readouterr().out
    assert main(["data", "check", "--json", *where]) == 3
    assert json.loads(capsys.readouterr().out)["verdict"] == REFUSE
    assert main(["data", "waive", ID, "--why", "seen", "--kinds", "trades", *where]) == 0
    assert capsys.readouterr().out == f"{ID} trades 2023-04-06: waived wrong_clock: seen\n"
    assert main(["data", "waive", ID, "--why", "seen", "--codes", "gap", *where]) == 2
    assert main(["data", "check", *where]) == 0
    said = capsys.readouterr().out
    assert "waived made:AAABBB trades 2023-04-06: waived wrong_clock: seen" in said
    assert "Verdict: refuse" in said
    assert main(["data", "check", "made:AAABBC", *where]) == 3
    assert "did you mean made:AAABBB" in capsys.readouterr().err
