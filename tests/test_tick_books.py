"""The compiled book builders against plain dicts written from the rules, on random feeds; seeds printed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework.data import books, from_tardis
from framework.market_ticks import Book
from framework.records import NEVER
from tests.naive.books import Message, from_changes, from_views
from tests.tick_files import WHAT, change_rows, csv_text, random_changes, random_views, save, view_rows

DAYS = ("2023-04-05", "2023-04-06", "2023-04-07")


def messages_of(book: Book) -> list[Message]:
    """A Book as the twin writes it; a level twice in a message, or a wrong sentinel, fails here."""
    assert book.messages[-1].tolist() == (NEVER, NEVER, len(book.keys))
    assert len(book.lots) == len(book.keys)
    found: list[Message] = []
    for row, end in zip(book.messages[:-1].tolist(), book.messages["first"][1:].tolist(), strict=True):
        ts, local, first = row
        keys = [(key & 1, key >> 1) for key in book.keys[first:end].tolist()]
        assert len(set(keys)) == len(keys)
        found.append((ts // 1000, local // 1000, dict(zip(keys, book.lots[first:end].tolist(), strict=True))))
    return found


def read(folder: Path, kind: str, files: list[list[Any]]) -> Any:
    """Write day files and read them as a market."""
    paths = [
        save(folder, kind, csv_text(kind, change_rows(rows) if "L2" in kind else view_rows(rows, kind)), day)
        for rows, day in zip(files, DAYS, strict=False)
    ]
    return from_tardis({kind: paths}, WHAT)


def check_counts(market: Any, counts: dict[str, int]) -> None:
    """Every count of the twin stands in a remark, and none is there without one."""
    words = {
        "skipped": "before the first snapshot",
        "one_sided": "with an empty side",
        "crossed": "removed where",
    }
    for name, text in words.items():
        lines = [line for line in market.remarks if text in line]
        expected = counts.get(name, 0)
        assert len(lines) == (expected > 0), (name, counts, lines)
        assert not lines or f": {expected} " in lines[0], (name, counts, lines)


@pytest.mark.parametrize("n", range(60))
def test_changes_make_the_same_book(n: int, seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed + n)
    files = random_changes(rng, rng.randint(1, 3), rng.choice((5, 60, 400)), rng.choice((2, 6, 40)))
    market = read(tmp_path, "incremental_book_L2", files)
    messages, counts = from_changes(files)
    assert messages_of(market.books[0]) == messages
    check_counts(market, counts)


@pytest.mark.parametrize("kind", ["book_snapshot_5", "quotes", "book_ticker", "book_snapshot_25"])
@pytest.mark.parametrize("n", range(12))
def test_views_make_the_same_book(kind: str, n: int, seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed + n)
    levels = 1 if "snapshot" not in kind else int(kind.rsplit("_", 1)[1])
    files = random_views(rng, rng.randint(1, 3), rng.choice((3, 40, 150)), levels)
    market = read(tmp_path, kind, files)
    messages, counts = from_views(files, levels)
    assert messages_of(market.books[0]) == messages
    check_counts(market, counts)


def test_many_levels_move_into_larger_tables(seed: int, tmp_path: Path) -> None:
    """12,000 prices in one message, changes, other prices again: tables and rows grow inside a message."""
    rng = random.Random(seed)
    rows = random_changes(rng, 1, 50, 5)[0]
    local = rows[-1][1]
    ticks = list(range(5_000, 25_000))
    rng.shuffle(ticks)
    rows += [(local, local + 1, True, 1, tick, tick) for tick in ticks[:12_000]]
    rows += [(local, local + 2 + i // 60, False, 1, t, t % 3) for i, t in enumerate(ticks[:6_000])]
    rows += [(local, local + 5_000, True, 1, tick, tick + tick % 2) for tick in ticks[8_000:]]
    market = read(tmp_path, "incremental_book_L2", [rows])
    messages, counts = from_changes([rows])
    assert messages_of(market.books[0]) == messages
    check_counts(market, counts)


def test_small_tables_give_the_same_book(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for 16 levels at first the tables are rebuilt all the time."""
    monkeypatch.setattr(books, "FIRST_TABLE", 16)
    rng = random.Random(seed)
    for _ in range(10):
        files = random_changes(rng, 2, 400, 60)
        market = read(tmp_path, "incremental_book_L2", files)
        assert messages_of(market.books[0]) == from_changes(files)[0]


def test_rules_by_hand(tmp_path: Path) -> None:
    """B2 to B7 on a few rows."""
    t = 1_680_652_800_000_000
    rows = [
        (t + 1, t + 5, False, 0, 999, 7),  # before the snapshot
        (t + 2, t + 10, True, 1, 1001, 5), (t + 3, t + 10, True, 0, 1000, 4),
        (t + 3, t + 10, True, 0, 998, 0),
        (t + 12, t + 11, False, 0, 1000, 4),  # as known: a message without rows; stamped after its arrival
        (t + 13, t + 14, False, 0, 1002, 1),  # crosses: the older ask goes
        (t + 13, t + 15, True, 1, 1003, 5), (t + 14, t + 15, True, 0, 1002, 1),
        (t + 14, t + 15, True, 0, 1002, 3),
    ]  # fmt: skip
    market = read(tmp_path, "incremental_book_L2", [rows])
    assert messages_of(market.books[0]) == [
        (t + 3, t + 10, {(1, 1001): 5, (0, 1000): 4}),
        (t + 11, t + 11, {}),
        (t + 13, t + 14, {(0, 1002): 1, (1, 1001): 0}),
        (t + 14, t + 15, {(0, 1002): 3, (0, 1000): 0, (1, 1003): 5}),
    ]
    check_counts(market, {"skipped": 1, "crossed": 1})
    book = market.books[0]
    assert book.source == "incremental_book_L2"
    for rows_ in (book.messages, book.keys, book.lots):
        assert not rows_.flags.writeable
    assert (book.keys.dtype, book.lots.dtype) == (np.int32, np.int64)
