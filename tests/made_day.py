"""The rows of a made day without fault: a book, its best prices, trades, a derivative ticker."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

from tests.tick_files import DAY, csv_text, decimal, save

Rows = list[list[str]]
Files = dict[str, Rows]
L2, TRADES, TICKER, FUNDING = "incremental_book_L2", "trades", "book_ticker", "derivative_ticker"
S, HOUR, LONG = 1_000_000, 3_600_000_000, 86_400_000_000
STEP = 20 * S  # between messages
TS, LOCAL = 0, 1


@cache
def whole_day(day: int = DAY, seed: int = 7) -> tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]:
    """Return the rows of a day without fault: a book, its best prices, trades, a derivative ticker."""
    rng = random.Random(seed)
    book: dict[tuple[str, int], int] = {}
    rows: Files = {L2: [], TRADES: [], TICKER: [], FUNDING: []}
    mid, trade_id = 10_000, 1_000
    for n in range(LONG // STEP):
        local = day + n * STEP + rng.randrange(200_000, 900_000)
        ts = local - rng.randrange(4_000, 9_000)
        mid += rng.choice((-1, 0, 0, 1))
        bids, asks = range(mid - 8, mid), range(mid + 1, mid + 9)
        wanted = {("bid", tick): 5 + tick % 7 for tick in bids} | {
            ("ask", tick): 5 + tick % 7 for tick in asks
        }
        wanted[rng.choice(list(wanted))] = rng.randrange(1, 5_000)
        new = {key: 0 for key in book if key not in wanted} | {
            key: lots for key, lots in wanted.items() if book.get(key) != lots
        }
        for (side, tick), lots in new.items():
            first = "true" if n == 0 else "false"
            rows[L2].append([str(ts), str(local), first, side, decimal(tick, 1), decimal(lots, 3)])
        book = wanted
        top = [decimal(v, p) for v, p in ((5, 3), (mid + 1, 1), (mid - 1, 1), (5, 3))]
        rows[TICKER].append([str(ts), str(local + 1_000), *top])
        side, tick = rng.choice((("buy", mid + 1), ("sell", mid - 1)))
        trade_id += 1
        cells = [str(trade_id), side, decimal(tick, 1), decimal(rng.randrange(1, 9_000), 3)]
        rows[TRADES].append([str(ts + 1_500), str(local + 3_000), *cells])
        if n % 3 == 0:
            boundary = (local - day) // (8 * HOUR) * 8 * HOUR + 8 * HOUR + day
            price = [decimal(mid + rng.randrange(3), 1) for _ in range(3)]
            rows[FUNDING].append([str(ts), str(local), str(boundary), "0.0001", "", "100", *price])
    return tuple((kind, tuple(map(tuple, some))) for kind, some in rows.items())


def clean(*kinds: str, day: int = DAY) -> Files:
    """Return fresh rows of the day without fault, or of another day."""
    times = {FUNDING: (TS, LOCAL, 2)}
    found = {kind: [list(row) for row in rows] for kind, rows in whole_day() if kind in kinds}
    for kind, rows in found.items() if day != DAY else ():
        for row in rows:
            for column in times.get(kind, (TS, LOCAL)):
                row[column] = str(int(row[column]) + day - DAY)
    return found


def write(folder: Path, files: Files, day: str = "2023-04-05") -> list[Path]:
    """Write rows as files; none = an empty gzip, as Tardis sends it."""
    return [save(folder, kind, csv_text(kind, rows) if rows else b"", day) for kind, rows in files.items()]
