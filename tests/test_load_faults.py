"""`load`: files that are damaged, days that lack, days the doctor refused, words that are wrong."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from framework import load
from framework.data.checks import Finding, save_verdict
from framework.data.rebuild import PACKED, repack, replay_path
from framework.data.store import Store
from framework.data.waivers import waive
from framework.errors import ConfigError, DataError
from tests.stored_days import date, made_days, made_store
from tests.tick_files import WHAT


@pytest.mark.parametrize("stream", [False, True])
def test_a_damaged_replay_file_is_made_again(stream: bool, tmp_path: Path, seed: int) -> None:
    """Any bit that is flipped, a cut, another day's file: the same market, and a remark."""
    store = made_store(tmp_path, seed)
    span = ("made", "AAABBB", date(0), date(2))
    good = load(*span, store=store)
    rng = random.Random(seed)
    paths = [replay_path(part) for part in store.parts()]
    assert all(path.exists() for path in paths)
    for n in range(30):
        path = rng.choice(paths)
        content = path.read_bytes()
        at, bit = rng.randrange(len(content)), 1 << rng.randrange(8)
        bad = content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]
        path.write_bytes((content[:at], paths[paths.index(path) - 1].read_bytes(), bad)[min(n, 2)])
        print(f"damage {n}: {path.name}, byte {at} of {len(content)}")
        market = load(*span, store=store, stream=stream)
        assert market.content_hash() == good.content_hash()
        assert [line for line in market.remarks if "made again from the raw rows" in line]
        assert path.read_bytes() == content
        assert load(*span, store=store, stream=stream).remarks == good.remarks


def test_damaged_rows_are_refused(tmp_path: Path, seed: int) -> None:
    """The raw file is named where its rows are needed."""
    store = made_store(tmp_path, seed)
    part = store.parts(kind="trades")[0]
    replay_path(part).unlink()
    content = bytearray(part.path.read_bytes())
    content[len(content) // 2] ^= 1
    part.path.write_bytes(content)
    with pytest.raises(DataError, match=f"{part.path.name}.*import it again"):
        load("made", "AAABBB", date(0), date(2), store=Store(store.folder))


def test_import_and_rebuild_make_the_same_file(tmp_path: Path, seed: int) -> None:
    """What the import packs from text is what is packed from stored rows, for every kind that has a pack."""
    rng = random.Random(seed)
    store = Store(tmp_path / "store")
    for kind in PACKED:
        made_days(tmp_path, rng, kind, (0, 1), 70)
    store.add_csv(tmp_path, instrument=WHAT)
    seen = set()
    for part in store.parts():
        if part.rows:
            made = replay_path(part).read_bytes()
            repack(store, part)
            assert replay_path(part).read_bytes() == made, part.kind
            seen.add(part.kind)
    assert seen == set(PACKED)


def test_days_that_lack(tmp_path: Path, seed: int) -> None:
    """Missing days are told or refused; ranges and names without data say what there is."""
    store = made_store(tmp_path, seed)
    market = load("made", "AAABBB", date(0), "2023-04-12", store=store)
    lacks = "not in the store: 2023-04-07 .. 2023-04-11 (5 days)"
    assert f"made:AAABBB trades: {lacks}" in market.remarks
    with pytest.raises(DataError, match=r"trades: not in the store: 2023-04-07 \(1 day\); download"):
        load("made", "AAABBB", date(0), date(3), store=store, gaps="refuse")
    with pytest.raises(DataError, match=r"has no row of made:AAABBB .*it has incremental_book_L2 2023-"):
        load("made", "AAABBB", date(2), date(3), store=store)
    with pytest.raises(DataError, match="holds nothing of made:AAABBC; did you mean made:AAABBB"):
        load("made", "AAABBC", date(0), date(2), store=store)
    with pytest.raises(DataError, match="holds no liquidations of made:AAABBB; it has"):
        load("made", "AAABBB", date(0), date(2), "liquidations", store=store)
    with pytest.raises(ConfigError, match="streams: unknown 'trade'; did you mean trades"):
        load("made", "AAABBB", date(0), date(2), ["trade"], store=store)
    with pytest.raises(ConfigError, match="stop: 2023-04-05T00:00:00Z is not after start"):
        load("made", "AAABBB", date(1), date(0), store=store)
    with pytest.raises(ConfigError, match="gaps: unknown 'no'"):
        load("made", "AAABBB", date(0), date(2), store=store, gaps="no")
    with pytest.raises(ConfigError, match="one is given twice"):
        load("made", ["AAABBB", "aaabbb"], date(0), date(2), store=store)


def test_what_the_doctor_says(tmp_path: Path, seed: int) -> None:
    """A refused day is not loaded until it is waived; a result tells of the waiver."""
    store = made_store(tmp_path, seed)
    span = ("made", "AAABBB", date(0), date(2))
    part = store.parts(kind="trades")[0]
    save_verdict(store, part, [Finding("crossed", "refuse", 3, 1, -1, "3 rows are crossed")])
    with pytest.raises(DataError, match=f"{part.path.name}: the check of made:AAABBB trades .*3 rows are"):
        load(*span, store=store)
    waive(store, part, "known outage")
    remarks = load(*span, store=store).remarks
    assert "made:AAABBB trades 2023-04-05: waived crossed: known outage" in remarks
    assert any("trades: 1 of 2 days were never checked" in line for line in remarks)
