"""How a book is built from csv rows, in plain dicts, written from the rules (rules.md 3.1 and 5.1).

A row of changes is (ts, local, snapshot, side, tick, lots) in microseconds, side 0 = bid, 1 = ask; a row of a
view is (ts, local, asks, bids), each a list of (tick, lots) from best to worst. A message comes out as (ts,
local, {(side, tick): lots}).
"""

from __future__ import annotations

from typing import Any

Key = tuple[int, int]
Message = tuple[int, int, dict[Key, int]]


def effective(files: list[list[Any]]) -> list[list[int]]:
    """Exchange time of each row: never back, never after its arrival."""
    top, result = 0, []
    for rows in files:
        times = []
        for row in rows:
            top = max(top, row[0])
            times.append(min(top, row[1]))
        result.append(times)
    return result


def crossed(book: dict[Key, int]) -> tuple[Key, Key] | None:
    """Best bid and best ask when they cross or lock."""
    bids = [tick for (side, tick), lots in book.items() if side == 0 and lots > 0]
    asks = [tick for (side, tick), lots in book.items() if side == 1 and lots > 0]
    if bids and asks and max(bids) >= min(asks):
        return (0, max(bids)), (1, min(asks))
    return None


def marked(files: list[list[Any]], counts: dict[str, int]) -> list[Any]:
    """Rows behind each file's first snapshot as (ts, local, begins a snapshot, key, lots)."""
    rows = []
    for rows_in, times in zip(files, effective(files), strict=True):
        last, sides = None, None  # of the row before: (snapshot, local); sides with an amount in the snapshot
        first = len(rows)
        for (_, local, snapshot, side, tick, lots), ts in zip(rows_in, times, strict=True):
            begins = snapshot and last != (True, local)
            if begins or not snapshot:
                counts["one_sided"] += sides is not None and len(sides) < 2
                sides = set() if begins else None
            counts["snapshots"] += begins
            if sides is not None and lots:
                sides.add(side)
            last = (snapshot, local)
            if begins or len(rows) > first:
                rows.append((ts, local, begins, (side, tick), lots))
            else:
                counts["skipped"] += 1
        counts["one_sided"] += sides is not None and len(sides) < 2
    return rows


def from_changes(files: list[list[Any]]) -> tuple[list[Message], dict[str, int]]:
    """Messages of incremental_book_L2 files, and what was counted."""
    counts = {"skipped": 0, "snapshots": 0, "one_sided": 0, "crossed": 0}
    rows = marked(files, counts)
    messages: list[Message] = []
    book: dict[Key, int] = {}
    age: dict[Key, int] = {}
    i = 0
    while i < len(rows):
        local, before = rows[i][1], dict(book)
        while i < len(rows) and rows[i][1] == local:
            ts, _, begins, key, lots = rows[i]
            if begins:
                book = {}
            book[key], age[key] = lots, i
            if not lots:
                del book[key]
            i += 1
        while (pair := crossed(book)) is not None:
            del book[min(pair, key=lambda key: age[key])]
            counts["crossed"] += 1
        net = {k: book.get(k, 0) for k in {*book, *before} if book.get(k, 0) != before.get(k, 0)}
        messages.append((ts, local, net))
    return messages, counts


def from_views(files: list[list[Any]], levels: int) -> tuple[list[Message], dict[str, int]]:
    """Messages of book_snapshot_N or quotes files, each row one message, and what was counted."""
    counts = {"one_sided": 0, "crossed": 0}
    messages: list[Message] = []
    known: dict[Key, int] = {}
    for rows, times in zip(files, effective(files), strict=True):
        for (_, local, *sides), ts in zip(rows, times, strict=True):
            shown = {(1 - n, tick): lots for n, side in enumerate(sides) for tick, lots in side}
            pairs = ((n, i, tick) for n, side in enumerate(sides) for i, (tick, _) in enumerate(side))
            order = {(1 - n, tick): (i, n) for n, i, tick in pairs}
            while (pair := crossed(shown)) is not None:
                shown[min(pair, key=lambda key: order[key])] = 0
                counts["crossed"] += 1
            counts["one_sided"] += any(all(not v for k, v in shown.items() if k[0] == s) for s in (0, 1))
            net = {key: lots for key, lots in shown.items() if lots != known.get(key, 0)}
            for key in known.keys() - shown.keys():
                ticks = [tick for side, tick in shown if side == key[0]]
                beyond = len(ticks) == levels and (key[1] > max(ticks) if key[0] else key[1] < min(ticks))
                net[key] = -1 if beyond else 0
            known = {key: lots for key, lots in shown.items() if lots}
            messages.append((ts, local, net))
    return messages, counts
