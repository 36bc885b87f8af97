"""Tick files made in code: rows as Tardis writes them, and random feeds."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from framework import Instrument, Market, from_tardis
from framework.data.schema import COLUMNS

ID = "made:AAABBB"
NAME = "made,AAABBB"
DAY = 1_680_652_800_000_000  # 2023-04-05 in microseconds
T = DAY + 1_000_000
WHAT = Instrument(ID, "linear", tick_size=0.1, lot_size=0.001)


def csv_text(kind: str, rows: Iterable[Any], name: str = NAME) -> bytes:
    """Return a file of rows of cells behind exchange and symbol."""
    lines = [",".join(COLUMNS[kind]), *(f"{name},{','.join(str(cell) for cell in row)}" for row in rows)]
    return ("\n".join(lines) + "\n").encode()


def save(
    folder: Path, kind: str, content: bytes, day: str | None = "2023-04-05", packed: bool = True
) -> Path:
    """Write a file under the name Tardis gives it."""
    middle = f"_{day}" if day else ""
    path = folder / f"made_{kind}{middle}_AAABBB.csv{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(content, 1, mtime=0) if packed else content)
    return path


def decimal(count: int, places: int) -> str:
    """Return count / 10^places as text without trailing zeros, as JavaScript prints it."""
    text = f"{count // 10**places}.{count % 10**places:0{places}d}" if places else str(count)
    return text.rstrip("0").rstrip(".") if places else text


def change_rows(rows: Iterable[Any]) -> list[list[str]]:
    """Return cells of incremental_book_L2: prices with one decimal, amounts with three."""
    return [
        [str(ts), str(local), "true" if snapshot else "false", "ask" if side else "bid", decimal(tick, 1),
         decimal(lots, 3)]
        for ts, local, snapshot, side, tick, lots in rows
    ]  # fmt: skip


def view_rows(rows: Iterable[Any], kind: str) -> list[list[str]]:
    """Return cells of quotes or book snapshots, empty where a side is thinner."""
    levels = 1 if kind in ("quotes", "book_ticker") else int(kind.rsplit("_", 1)[1])
    result = []
    for ts, local, asks, bids in rows:
        cells = []
        for i in range(levels):
            pairs = [
                (decimal(side[i][0], 1), decimal(side[i][1], 3)) if i < len(side) else ("", "")
                for side in (asks, bids)
            ]
            cells += [*pairs[0][::-1], *pairs[1]] if levels == 1 else [*pairs[0], *pairs[1]]
        result.append([str(ts), str(local), *cells])
    return result


def random_times(rng: random.Random, start: int, count: int) -> list[tuple[int, int]]:
    """Return (ts, local) of rows: local never falls and often repeats, ts jumps around it."""
    local, result = start, []
    for _ in range(count):
        local += rng.choice((0, 0, 0, 1, 7, 1500))
        result.append((local + rng.randint(-40, 25), local))
    return result


def random_changes(rng: random.Random, files: int, count: int, reach: int) -> list[list[Any]]:
    """Return rows of day files: narrow prices that cross often, snapshots anywhere, some before any."""
    result = []
    for n in range(files):
        snapshot, rows = False, []
        for i, (ts, local) in enumerate(random_times(rng, DAY + n * 86_400_000_000 + 100, count)):
            if rng.random() < (0.3 if snapshot or i > count // 2 else 0.05):
                snapshot = not snapshot
            side = rng.randint(0, 1)
            tick = 1000 + side * 2 + rng.randint(-reach, reach)
            lots = rng.choice((0, 0, rng.randint(1, 3), rng.randint(1, 9999)))
            rows.append((ts, local, snapshot, side, tick, lots))
        if not any(row[2] for row in rows):
            rows[-1] = (*rows[-1][:2], True, *rows[-1][3:])
        result.append(rows)
    return result


def random_views(rng: random.Random, files: int, count: int, levels: int) -> list[list[Any]]:
    """Return rows that each show the top of a book; thin, empty and crossed ones too."""
    result = []
    for n in range(files):
        rows = []
        for ts, local in random_times(rng, DAY + n * 86_400_000_000 + 100, count):
            sides = []
            for sign in (1, -1):
                depth = rng.choice((levels, levels, levels, rng.randint(0, levels)))
                ticks = sorted(rng.sample(range(levels * 2), depth))
                sides.append([(1000 + sign * (t - 1), rng.choice((0, 1, 2, 5, 5, 5))) for t in ticks])
            rows.append((ts, local, *sides))
        result.append(rows)
    return result


def trade(
    ts: int = T, local: int | None = None, id: Any = "", side: str = "buy", price: Any = 1.5, amount: Any = 2
) -> list[Any]:
    """Return the cells of a trade."""
    return [ts, ts + 5 if local is None else local, id, side, price, amount]


def read(folder: Path, kind: str, rows: list[list[Any]], what: Any = WHAT, **options: Any) -> Market:
    """Return the market of one file."""
    return from_tardis([save(folder, kind, csv_text(kind, rows))], what, **options)
