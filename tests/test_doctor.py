"""The data doctor finds planted faults and has no complaint of clean files; every bad file has a verdict."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

from framework import from_tardis
from framework.data.checks import INFO, REFUSE, WARN
from framework.data.doctor import check
from framework.errors import DataError
from tests.bad_ticks import ACCEPT, CORPUS, Bad, plain
from tests.bad_ticks import REFUSE as REFUSED
from tests.made_day import FUNDING, L2, LONG, TICKER, TRADES, clean, write
from tests.mutate_ticks import KINDS
from tests.mutate_ticks import damaged as damaged_text
from tests.planted_faults import DAMAGES, FAULTS, Damage, Fault, damaged, planted
from tests.tick_files import DAY, WHAT, save

NO_ROWS = ("empty gzip, nothing else", "header and no row")


def test_a_whole_day_without_fault_is_clean(tmp_path: Path) -> None:
    done = check(write(tmp_path, clean(L2, TRADES, TICKER, FUNDING)))
    assert [exam.verdict for exam in done.exams] == ["clean"] * 4, done.page()
    assert done.codes() == set()
    assert [exam.rows for exam in done.exams if exam.kind == TRADES] == [LONG // 20_000_000]
    assert "Verdict: clean" in done.page()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_planted(fault: Fault, tmp_path: Path) -> None:
    done = planted(fault, tmp_path)
    found = [f for exam in done.exams for f in exam.findings if f.code == fault.code]
    assert found, done.page()
    assert {f.severity for f in found} == {fault.severity}, done.page()
    assert done.verdict == ("clean" if fault.severity == INFO and not done.codes(WARN) else done.verdict)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_damaged(damage: Damage, tmp_path: Path) -> None:
    done = damaged(damage, tmp_path)
    assert done.codes(REFUSE) == {damage.code}, done.page()
    assert done.verdict == REFUSE


def test_where_a_finding_begins(tmp_path: Path) -> None:
    files = clean(TRADES)
    row = files[TRADES][2_000]
    row[4] = "1030.0"
    done = check(write(tmp_path, files))
    (found,) = done.exams[0].findings
    assert (found.code, found.first_row, found.ts) == ("outlier_price", 2_001, int(row[1]) * 1_000)


def test_missing_and_thin_days(tmp_path: Path) -> None:
    for n in (0, 1, 3, 4):
        files = clean(TRADES, day=DAY + n * LONG)
        if n == 1:
            files[TRADES][:] = files[TRADES][::6]
        write(tmp_path, files, f"2023-04-0{5 + n}")
    done = check(tmp_path)
    (gone,) = done.missing
    assert (gone.kind, gone.day, gone.finding.code) == (TRADES, (DAY + 2 * LONG) * 1_000, "missing_day")
    assert "2023-04-07" in gone.finding.words
    thin = [exam.date for exam in done.exams if "thin_day" in [f.code for f in exam.findings]]
    assert thin == ["2023-04-06"]


def test_a_kind_missing_on_one_day(tmp_path: Path) -> None:
    write(tmp_path, clean(L2, TRADES))
    write(tmp_path, clean(TRADES, day=DAY + LONG), "2023-04-06")
    done = check(tmp_path)
    assert [(one.kind, one.day) for one in done.missing] == [(L2, (DAY + LONG) * 1_000)]


@pytest.mark.parametrize("folder", ["demo", "tardis-form"])
def test_clean_real_files(folder: str, data_dir: Path) -> None:
    """Minutes of real days: nothing but that they are minutes of a day."""
    done = check(data_dir / folder)
    assert done.codes(REFUSE, WARN) == {"partial_day"}, done.page()
    assert done.codes(INFO) <= {"clock_ahead", "no_exchange_time", "amount_grid", "id_jump"}


def test_the_insurance_fund_trade(data_dir: Path, tmp_path: Path) -> None:
    """The trade Tardis drops (28722.5 in a market at 28155), put back from the raw capture."""
    name = "binance-futures_trades_2023-04-05_BTCUSDT.csv.gz"
    lines = gzip.decompress((data_dir / "tardis-form" / name).read_bytes()).decode().splitlines()
    with gzip.open(data_dir / "raw-binance" / "usdm_BTCUSDT_2023-04-05.gz", "rt") as raw:
        local, text = next(line for line in raw if "INSURANCE_FUND" in line).split(" ", 1)
    t = json.loads(text)["data"]
    side = "sell" if t["m"] else "buy"
    row = f"binance-futures,BTCUSDT,{t['T']}000,{local},{t['t']},{side},{t['p']},{t['q']}"
    place = next(n for n, line in enumerate(lines) if n and line.split(",")[3] > local)
    content = "\n".join([*lines[:place], row, *lines[place:]]) + "\n"
    path = tmp_path / name
    path.write_bytes(gzip.compress(content.encode(), 1))
    book = data_dir / "tardis-form" / name.replace("trades", "incremental_book_L2")
    done = check([book, path])
    found = {f.code: f for exam in done.exams for f in exam.findings if exam.kind == TRADES}
    assert found["outlier_price"].first_row == found["off_book"].first_row == place
    assert found["outlier_price"].ts == int(local) * 1_000
    assert "id_jump" not in found


def test_corpus(tmp_path: Path) -> None:
    """Every bad file of the reader's corpus gets a verdict, the reader's where it refuses."""
    wrong = []
    for n, bad in enumerate(CORPUS):
        folder = tmp_path / str(n)
        folder.mkdir()
        wrong += [bad.name] if not is_proper(bad, folder) else []
    assert not wrong


def is_proper(bad: Bad, folder: Path) -> bool:
    """True when the doctor's verdict on a bad file is the right one."""
    path = save(folder, bad.kind, bad.content, packed=bad.packed)
    if not bad.packed:
        path = path.rename(path.with_name(path.name.removesuffix(".gz") + ".gz"))
    done = check(path, instrument=WHAT)
    (exam,) = done.exams
    if bad.name in NO_ROWS:
        return done.codes() == {"empty_day"}
    if bad.verdict == REFUSED:
        return exam.verdict == REFUSE and (not bad.row or exam.findings[0].first_row == bad.row)
    words = {f.code for f in exam.findings} - {"partial_day"}
    return exam.verdict == WARN and (bad.verdict != ACCEPT or not words & {"crossed", "repeated_id"})


def test_random_damage(seed: int, tmp_path: Path) -> None:
    """Whatever is done to a file: refused where the reader refuses it, else looked at; never an error."""
    assert mutated(40, seed, tmp_path) == ""


def mutated(cases: int, seed: int, folder: Path) -> str:
    """Return the first damaged file whose verdict is improper, "" where there is none."""
    for n in range(seed, seed + cases):
        rng = random.Random(n)
        kind = rng.choice(KINDS)
        path = save(folder, kind, damaged_text(rng, plain(kind)))
        try:
            from_tardis([path], WHAT)
            refused = False
        except DataError as error:
            refused = "holds a row" not in str(error)  # no row is no refusal here
        try:
            verdict = check(path, instrument=WHAT).verdict
        except Exception as error:
            return f"seed {n}: {type(error).__name__}: {error}"
        if (verdict == REFUSE) != refused and not (verdict == REFUSE and kind == L2):
            return f"seed {n}: {verdict}"
    return ""
