"""Tick files of a made day without fault, and faults planted into them, each with the code it is found by.

`python -m tests.planted_faults`: plants each, prints what the doctor says; exit code 1 if one is missed.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from framework import Instrument
from framework.data.checks import INFO, REFUSE, WARN
from framework.data.doctor import Checkup, check
from tests.made_day import (
    FUNDING,
    HOUR,
    L2,
    LOCAL,
    LONG,
    STEP,
    TICKER,
    TRADES,
    TS,
    Files,
    Rows,
    S,
    clean,
    write,
)
from tests.tick_files import DAY, ID, csv_text, save

WHAT = Instrument(ID, "linear", tick_size=0.1, lot_size=0.001)


class Fault(NamedTuple):
    """One fault: the code and severity it is found by, the files it needs, and how it gets in."""

    name: str
    code: str
    severity: str
    kinds: tuple[str, ...]
    plant: Callable[[Files], object]
    what: Instrument | None = None


def at(rows: Rows, hours: float) -> int:
    """Return the first row at or after a time of the day."""
    wanted = DAY + int(hours * HOUR)
    return next((n for n, row in enumerate(rows) if int(row[LOCAL]) >= wanted), len(rows))


def cut(kind: str, start: float, stop: float) -> Callable[[Files], object]:
    """Take the rows of some hours out."""

    def plant(files: Files) -> None:
        rows = files[kind]
        del rows[at(rows, start) : at(rows, stop)]

    return plant


def each(kind: str, change: Callable[[int, list[str]], object], every: int = 1) -> Callable[[Files], object]:
    """Change every n-th row in place."""

    def plant(files: Files) -> None:
        for n, row in enumerate(files[kind]):
            if n % every == 0:
                change(n, row)

    return plant


def one(kind: str, column: int, text: str, hours: float = 12.0) -> Callable[[Files], object]:
    """Change one cell."""

    def plant(files: Files) -> None:
        rows = files[kind]
        rows[at(rows, hours)][column] = text

    return plant


def insert(kind: str, hours: float, *cells: str) -> Callable[[Files], object]:
    """Add a row behind the message of a time, with the times of the row before it."""

    def plant(files: Files) -> None:
        rows = files[kind]
        n = at(rows, hours)
        rows.insert(n, [*rows[n - 1][:2], *cells])

    return plant


def shifted(us: int) -> Callable[[int, list[str]], object]:
    """Move the exchange time of a row."""
    return lambda n, row: row.__setitem__(TS, str(int(row[TS]) + us))


def drifting(n: int, row: list[str]) -> None:
    """Move the exchange time by up to two seconds through the day."""
    row[TS] = str(int(row[TS]) - (int(row[LOCAL]) - DAY) * 2 * S // LONG)


def swap(files: Files) -> None:
    """Swap two rows."""
    rows = files[TRADES]
    rows[4_000], rows[4_001] = rows[4_001], rows[4_000]


def repeat(count: int, blank: bool = False) -> Callable[[Files], object]:
    """Give some trades twice."""

    def plant(files: Files) -> None:
        rows = files[TRADES]
        if blank:
            for row in rows:
                row[2] = ""
        again = [row for n, row in enumerate(rows) for _ in range(1 + (n % (len(rows) // count) == 0))]
        rows[:] = [list(row) for row in again]

    return plant


def fall_back(files: Files) -> None:
    """Let the ids of an hour be those of an hour before."""
    rows = files[TRADES]
    for row in rows[at(rows, 10) : at(rows, 11)]:
        row[2] = str(int(row[2]) - 2_000)


def late_snapshot(files: Files) -> None:
    """Put changes of two minutes before the snapshot."""
    rows = files[L2]
    first = [row for row in rows if row[2] == "true"]
    rest = rows[len(first) :]
    n = at(rest, 2 / 60)
    rows[:] = [*rest[:n], *([*rest[n - 1][:2], *row[2:]] for row in first), *rest[n:]]


def half_snapshot(files: Files) -> None:
    """Take the asks out of the snapshot."""
    files[L2][:] = [row for row in files[L2] if row[2] == "false" or row[3] == "bid"]


def no_asks(files: Files) -> None:
    """Delete the asks at noon, and send none for an hour."""
    rows = files[L2]
    n, m = at(rows, 12), at(rows, 13)
    live: dict[str, str] = {}
    for row in rows[:n]:
        if row[3] == "ask":
            live[row[4]] = row[5]
    gone = [[*rows[n - 1][:2], "false", "ask", price, "0"] for price, lots in live.items() if lots != "0"]
    rows[n:m] = [*gone, *(row for row in rows[n:m] if row[3] == "bid")]


def resets(files: Files) -> None:
    """Send the message of every tenth minute as a snapshot of both sides."""
    for row in files[L2]:
        if (int(row[LOCAL]) - DAY) // STEP % 30 == 0:
            row[2] = "true"


def away(files: Files) -> None:
    """Let the best prices of two hours lie five units beside the book's."""
    rows = files[TICKER]
    for row in rows[at(rows, 4) : at(rows, 6)]:
        row[3], row[4] = str(round(float(row[3]) + 5, 1)), str(round(float(row[4]) + 5, 1))


def off_market(files: Files) -> None:
    """Let the trades of half an hour be of a market one per cent away."""
    rows = files[TRADES]
    for row in rows[at(rows, 7) : at(rows, 7.5)]:
        row[4] = str(round(float(row[4]) * 1.01, 1))


def stand_still(files: Files) -> None:
    """Let the ticker of 20 minutes repeat its prices."""
    rows = files[FUNDING]
    n, m = at(rows, 9), at(rows, 9 + 1 / 3)
    for row in rows[n:m]:
        row[6:] = rows[n][6:]


def twice(kind: str) -> Callable[[Files], object]:
    """Write every tenth row twice."""

    def plant(files: Files) -> None:
        files[kind][:] = [list(row) for n, row in enumerate(files[kind]) for _ in range(1 + (n % 10 == 0))]

    return plant


def thrice(files: Files) -> None:
    """Write every change of the book three times."""
    files[L2][:] = [row for row in files[L2] for _ in range(1 if row[2] == "true" else 3)]


FAULTS = [
    Fault("ten minutes missing", "gap", WARN, (L2,), cut(L2, 10, 10.2)),
    Fault("ten minutes missing while trades go on", "gap_alone", WARN, (L2, TRADES), cut(L2, 10, 10.2)),
    Fault("the day ends at 15:00", "partial_day", WARN, (TRADES,), cut(TRADES, 15, 24)),
    Fault("the book ends before the trades", "ends_early", WARN, (L2, TRADES), cut(L2, 15, 24)),
    Fault("the trades begin after the book", "begins_late", WARN, (L2, TRADES), cut(TRADES, 0, 3)),
    Fault("no rows", "empty_day", WARN, (TRADES,), cut(TRADES, 0, 24)),
    Fault("a bid above the asks stays", "crossed", WARN,
          (L2,), insert(L2, 8, "false", "bid", "1010", "1")),
    Fault("a bid at the best ask for a message", "locked", WARN,
          (TICKER,), each(TICKER, lambda n, row: row.__setitem__(4, row[3]), 50)),
    Fault("two rows swapped", "local_backwards", REFUSE, (TRADES,), swap),
    Fault("exchange time falls", "backwards", WARN, (TRADES,), each(TRADES, shifted(-25 * S), 20)),
    Fault("exchange time after arrival", "clock_ahead", WARN, (L2,), each(L2, shifted(S // 2), 7)),
    Fault("a clock drifts", "clock_drift", WARN, (L2,), each(L2, drifting)),
    Fault("an hour off", "wrong_clock", REFUSE, (TRADES,), each(TRADES, shifted(-HOUR))),
    Fault("some rows a minute late", "late_rows", WARN, (TRADES,), each(TRADES, shifted(-40 * S), 33)),
    Fault("no exchange time", "no_exchange_time", INFO,
          (TRADES,), each(TRADES, lambda n, row: row.__setitem__(TS, row[LOCAL]))),
    Fault("a third without exchange time", "mixed_clocks", WARN,
          (TRADES,), each(TRADES, lambda n, row: row.__setitem__(TS, row[LOCAL]), 3)),
    Fault("trades given twice", "repeated_id", WARN, (TRADES,), repeat(100)),
    Fault("trades without ids given twice", "repeated_row", WARN, (TRADES,), repeat(200, blank=True)),
    Fault("best prices given twice", "repeated_row", WARN, (TICKER,), twice(TICKER)),
    Fault("a ticker given twice", "repeated_row", WARN, (FUNDING,), twice(FUNDING)),
    Fault("a hundred trades missing", "id_jump", WARN, (TRADES,), cut(TRADES, 10, 10.3)),
    Fault("ids fall", "id_back", WARN, (TRADES,), fall_back),
    Fault("one trade two per cent away", "outlier_price", WARN, (TRADES,), one(TRADES, 4, "1020.0")),
    Fault("one best price three per cent away", "outlier_price", WARN, (TICKER,), one(TICKER, 3, "1030.0")),
    Fault("a price between ticks", "price_grid", WARN, (TRADES,), one(TRADES, 4, "1000.05")),
    Fault("a price off the instrument's grid", "off_grid", REFUSE,
          (TRADES,), one(TRADES, 4, "1000.05"), WHAT),
    Fault("an amount between lots", "amount_grid", WARN, (TRADES,), one(TRADES, 5, "0.12345")),
    Fault("amounts of 0", "zero_amount", WARN, (TRADES,), one(TRADES, 5, "0")),
    Fault("a negative amount", "negative", REFUSE, (TRADES,), one(TRADES, 5, "-1")),
    Fault("sides not known", "unknown_side", WARN,
          (TRADES,), each(TRADES, lambda n, row: row.__setitem__(3, "unknown"), 20)),
    Fault("the snapshot comes late", "before_snapshot", WARN, (L2,), late_snapshot),
    Fault("no snapshot", "no_snapshot", REFUSE, (L2,), each(L2, lambda n, row: row.__setitem__(2, "false"))),
    Fault("snapshots only", "snapshot_only", INFO,
          (L2,), each(L2, lambda n, row: row.__setitem__(2, "true"))),
    Fault("half a snapshot", "one_sided_snapshot", WARN, (L2,), half_snapshot),
    Fault("no asks for an hour", "one_sided", WARN, (L2,), no_asks),
    Fault("snapshots again and again", "resets", WARN, (L2,), resets),
    Fault("every change three times", "repeated_rows", WARN, (L2,), thrice),
    Fault("best prices of another market", "tops_differ", WARN, (L2, TICKER), away),
    Fault("trades of another market", "off_book", WARN, (L2, TRADES), off_market),
    Fault("funding at odd times", "funding_irregular", WARN,
          (FUNDING,), one(FUNDING, 2, str(DAY + 21 * HOUR + 17 * 60 * S))),
    Fault("funding times at uneven distances", "funding_irregular", WARN,
          (FUNDING,), one(FUNDING, 2, str(DAY + 21 * HOUR))),
    Fault("an old funding time", "funding_late", WARN, (FUNDING,), one(FUNDING, 2, str(DAY + 8 * HOUR))),
    Fault("a rate in per cent", "funding_large", WARN, (FUNDING,), one(FUNDING, 3, "0.1")),
    Fault("the mark price jumps", "mark_jump", WARN, (FUNDING,), one(FUNDING, 8, "1100")),
    Fault("the index price jumps", "index_jump", WARN, (FUNDING,), one(FUNDING, 7, "900")),
    Fault("mark and index apart", "mark_apart", WARN, (FUNDING,), one(FUNDING, 7, "900")),
    Fault("a ticker that stands still", "stale_ticker", WARN, (FUNDING,), stand_still),
    Fault("rows of the next day", "wrong_day", REFUSE,
          (TRADES,), lambda files: files[TRADES][-1].__setitem__(LOCAL, str(DAY + LONG + 5))),
]  # fmt: skip


def planted(fault: Fault, folder: Path) -> Checkup:
    """Plant a fault and have the doctor look."""
    files = clean(*fault.kinds)
    fault.plant(files)
    return check(write(folder, files), instrument=fault.what)


class Damage(NamedTuple):
    """A fault of the file and not of its rows."""

    name: str
    code: str
    content: Callable[[bytes], bytes]


DAMAGES = [
    Damage("cut in its middle", "cut_short", lambda text: gzip.compress(text, 1)[:5_000]),
    Damage("a byte changed", "damaged_gzip",
           lambda text: (packed := bytearray(gzip.compress(text, 1)))[:-6] + b"\0\0" + packed[-4:]),
    Damage("columns of another kind", "wrong_header",
           lambda text: gzip.compress(text.replace(b"local_timestamp", b"arrival", 1), 1)),
    Damage("another symbol", "wrong_symbol",
           lambda text: gzip.compress(text.replace(b"AAABBB", b"AAACCC"), 1)),
    Damage("another exchange", "wrong_exchange",
           lambda text: gzip.compress(text.replace(b"made,", b"kraken,"), 1)),
    Damage("text and no number", "unreadable", lambda text: gzip.compress(text.replace(b",1000.", b",x"), 1)),
]  # fmt: skip


def damaged(damage: Damage, folder: Path) -> Checkup:
    """Damage a file and have the doctor look."""
    path = save(folder, TRADES, csv_text(TRADES, clean(TRADES)[TRADES]))
    path.write_bytes(damage.content(gzip.decompress(path.read_bytes())))
    return check(path)


def main() -> int:
    """Plant every fault and print what was found."""
    missed = 0
    for fault in [*FAULTS, *DAMAGES]:
        with tempfile.TemporaryDirectory() as folder:
            done = (planted if isinstance(fault, Fault) else damaged)(fault, Path(folder))  # type: ignore[operator]
        found = fault.code in done.codes()
        missed += not found
        print(f"{'found ' if found else 'MISSED'} {fault.code:<20} {fault.name:<40} {sorted(done.codes())}")
    print(f"{len(FAULTS) + len(DAMAGES)} faults, {missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
