"""Verdicts and waivers in a store; the page, the picture and the commands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pytest

from framework.cli import main
from framework.data.checks import (
    INFO,
    REFUSE,
    WARN,
    Finding,
    Verdict,
    save_verdict,
    verdict_of,
    verdict_path,
)
from framework.data.doctor import check
from framework.data.schema import COLUMNS
from framework.data.waivers import read_waivers, standing, waive, waiver_of
from framework.errors import ConfigError, DataError
from tests.made_day import L2, TICKER, TRADES, clean, write
from tests.planted_faults import FAULTS
from tests.tick_files import DAY, csv_text, save

BAD = Finding("crossed", REFUSE, 3, 7, DAY * 1_000, "crossed; get the day again")
ODD = Finding("gap", WARN, 1, 0, -1, "a gap")
NOTE = Finding("resets", INFO, 1, 0, -1, "a reset")


@dataclass(frozen=True)
class House:
    """A store as far as verdicts need it."""

    folder: Path


@dataclass(frozen=True)
class Part:
    """A part of it."""

    path: Path
    file_sha256: str = "a" * 64
    venue: str = "made"
    kind: str = "trades"
    symbol: str = "AAABBB"
    day: int = DAY * 1_000


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
def part(house: House) -> Part:
    return Part(house.folder / "made" / "trades" / "AAABBB" / "2023-04-05.parquet")


def test_a_verdict_is_kept_for_the_bytes_it_was_given_for(house: House, part: Part) -> None:
    assert verdict_of(house, part) is None
    given = save_verdict(house, part, [NOTE, ODD, BAD])
    assert given == Verdict("refuse", (BAD, ODD, NOTE), "a" * 64)
    assert verdict_of(house, part) == given
    assert verdict_path(house, part) == house.folder / "_checks/made/trades/AAABBB/2023-04-05.json"
    assert verdict_of(house, replace(part, file_sha256="b" * 64)) is None
    assert given.codes(REFUSE, WARN) == ["crossed", "gap"]
    assert save_verdict(house, part, [NOTE]).verdict == "clean"
    assert sorted(p.name for p in verdict_path(house, part).parent.iterdir()) == ["2023-04-05.json"]


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format": 1}', '{"format": 2, "verdict": "clean"}', "\0", "null",
             '{"format": 1, "verdict": "clean", "findings": [{"code": "x"}], "file_sha256": "a"}',
             json.dumps({"format": 1, "verdict": "clean", "findings": [BAD.__dict__], "file_sha256": "a"})],
)  # fmt: skip
def test_a_damaged_verdict_is_refused(text: str, house: House, part: Part) -> None:
    path = verdict_path(house, part)
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="check") as caught:
        verdict_of(house, part)
    assert str(path) in str(caught.value)


def test_a_waiver_names_its_findings_and_dies_with_the_file(house: House, part: Part) -> None:
    with pytest.raises(ConfigError, match="was not checked"):
        waive(house, part, "looked at it")
    save_verdict(house, part, [BAD, ODD])
    assert standing(house, part) == [BAD]
    (one,) = waive(house, part, " looked at it,\n the venue was moving ")
    assert (
        one.line() == "made:AAABBB trades 2023-04-05: waived crossed, gap: looked at it, the venue was moving"
    )
    assert standing(house, part) == []
    assert waiver_of(house, part) == one
    changed = replace(part, file_sha256="b" * 64)
    assert waiver_of(house, changed) is None
    save_verdict(house, changed, [BAD])
    assert standing(house, changed) == [BAD]
    other = replace(BAD, code="wrong_clock")
    save_verdict(house, part, [BAD, other])
    assert standing(house, part) == [other]  # what is found on top is not waived


def test_waive_some_codes_and_again(house: House, part: Part) -> None:
    save_verdict(house, part, [BAD, ODD])
    with pytest.raises(ConfigError, match="no finding 'crosed'; did you mean crossed"):
        waive(house, part, "why", ["crosed"])
    waive(house, part, "why", ["gap"])
    assert standing(house, part) == [BAD]
    waive(house, [part], "better", ["crossed"])
    assert [one.codes for one in read_waivers(house)] == [("crossed",)]
    for why in ("", " \n ", "x" * 501):
        with pytest.raises(ConfigError, match="why"):
            waive(house, part, why)
    save_verdict(house, part, [NOTE])
    with pytest.raises(ConfigError, match="nothing to waive"):
        waive(house, part, "why")


def test_waivers_of_two_at_once(house: House, part: Part) -> None:
    """No waiver is lost when two write: each holds the lock from reading to renaming."""

    def days(start: int) -> None:
        for n in range(start, start + 15):
            mine = replace(
                part, path=part.path.with_name(f"{n}.parquet"), day=part.day + n * 86_400_000_000_000
            )
            save_verdict(house, mine, [BAD])
            waive(house, mine, f"day {n}")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(days, (0, 50)))
    assert len(read_waivers(house)) == 30


def test_waivers_that_are_no_list(house: House, part: Part) -> None:
    (house.folder / "waivers.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"waivers\.json"):
        waiver_of(house, part)


def test_the_page_is_aligned_and_of_text(tmp_path: Path) -> None:
    files = clean(L2, TRADES)
    next(f for f in FAULTS if f.code == "gap_alone").plant(files)
    done = check(write(tmp_path, files))
    lines = done.page().splitlines()
    assert all(len(line) <= 110 and line.isprintable() for line in lines)
    heads = [line for line in lines if line.startswith("  2023-04-05  ")]
    assert len({line.index("00:00:00") for line in heads}) == 1
    assert any(line.startswith("  warn   gap_alone: 1 silence while other files") for line in lines)
    assert done.page() == check(write(tmp_path, files)).page()


def test_the_picture(tmp_path: Path) -> None:
    write(tmp_path, clean(L2, TRADES))
    done = check(tmp_path)
    image = done.picture()
    assert image.startswith(b"\x89PNG")
    assert len(image) > 20_000
    assert image == done.picture()
    save(tmp_path, "quotes", b"", "2023-04-06")
    assert check(tmp_path / "made_quotes_2023-04-06_AAABBB.csv.gz").picture().startswith(b"\x89PNG")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(path) for path in write(tmp_path, clean(TRADES))]
    assert main(["data", "check", *paths, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "Verdict: clean" in said
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["check.json", "check.png", "check.txt"]
    (tmp_path / "made_trades_2023-04-06_AAABBB.csv.gz").write_bytes(b"junk")
    assert main(["data", "check", str(tmp_path), "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert [(one["day"], one["verdict"]) for one in found["files"]] == [
        ("2023-04-05", "clean"), ("2023-04-06", "refuse"),
    ]  # fmt: skip
    assert main(["data", "check", str(tmp_path), "--to", "2023-04-06"]) == 0


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["{}/none.csv.gz"], 3, "there is no such file"),
        (["{}"], 3, "holds no tick file"),
        (["{}", "--kinds", "trade"], 2, "did you mean trades"),
        (["{}", "--from", "2024-01-02", "--to", "2024-01-01"], 2, "swap them"),
        (["{}", "made:AAABBB"], 2, "is of a store"),
    ],
)
def test_mistakes(
    args: list[str], code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("no csv", encoding="utf-8")
    assert main(["data", "check", *(arg.replace("{}", str(tmp_path)) for arg in args)]) == code
    assert words in capsys.readouterr().err


def test_a_grouped_file_is_told_apart(tmp_path: Path) -> None:
    rows = [[DAY + 5, DAY + 9, 1, "buy", "1.5", "2"]]
    text = (
        csv_text("trades", rows)[:-1] + b"\n" + csv_text("trades", rows, "made,CCC").split(b"\n")[1] + b"\n"
    )
    path = save(tmp_path, "trades", text)
    done = check(path.rename(path.with_name("made_trades_2023-04-05_PERPETUALS.csv.gz")))
    assert done.codes() == {"grouped"}
    assert done.verdict == WARN


class Shelf:
    """A store in memory: parts with frames."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held: dict[tuple[str, int], list[pl.DataFrame]] = {}

    def put(self, kind: str, rows: list[list[str]], day: int = DAY) -> None:
        """Keep the rows of a day, in two frames, as a store has them."""
        names = COLUMNS[kind][2:]
        times = [name for name in names if name.endswith("timestamp")]
        frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row").with_columns(
            pl.col(times).cast(pl.Int64).cast(pl.Datetime("us", "UTC")),
            pl.col([name for name in names if name not in (*times, "id", "side")]).cast(pl.Float64),
        )
        self.held[kind, day * 1_000] = [frame[:1_000], frame[1_000:]]

    def parts(self) -> list[Part]:
        """Return the parts."""
        return [
            Part(self.folder / "made" / kind / "AAABBB" / f"{day}.parquet", kind=kind, day=day)
            for kind, day in self.held
        ]

    def frames(self, part: Part) -> Iterator[pl.DataFrame]:
        """Yield the rows of a part."""
        yield from self.held[part.kind, part.day]


def test_a_store_keeps_what_was_found(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    files = clean(TRADES, TICKER)
    files[TRADES][2_000][4] = "1030.0"
    shelf.put(TRADES, files[TRADES])
    shelf.put(TICKER, files[TICKER])
    done = check("made:AAABBB", store=shelf)
    assert [(exam.kind, exam.verdict) for exam in done.exams] == [(TICKER, "clean"), (TRADES, "warn")]
    verdicts = {part.kind: verdict_of(shelf, part) for part in shelf.parts()}
    assert [f.code for f in verdicts[TRADES].findings] == ["outlier_price", "off_book"]  # type: ignore[union-attr]
    assert verdicts[TICKER].verdict == "clean"  # type: ignore[union-attr]
    assert [one.kind for one in waive(shelf, shelf.parts(), "seen")] == [TRADES]
    check("made:AAABBB", store=shelf, kinds=TICKER, save=False)
    with pytest.raises(DataError, match="holds nothing of made:CCC"):
        check("made:CCC", store=shelf)


def test_a_gap_the_venue_reported(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    files = clean(TRADES)
    next(f for f in FAULTS if f.code == "id_jump").plant(files)
    shelf.put(TRADES, files[TRADES])
    assert check(store=shelf).codes(WARN) == {"gap", "id_jump"}
    reports = [{"from": "2023-04-05T09:55:00.000Z", "to": "2023-04-05T10:30:00.000Z", "details": "down"}]
    (tmp_path / "_meta").mkdir()
    (tmp_path / "_meta" / "made.json").write_text(json.dumps({"incidentReports": reports}))
    done = check(store=shelf)
    assert done.codes(WARN) == {"id_jump"}
    assert done.codes(INFO) == {"incident"}
