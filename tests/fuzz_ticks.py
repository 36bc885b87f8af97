"""Differential fuzz of the tick engine.

`python -m tests.fuzz_ticks --cases 100000 --seed 1 [--first N]`: exit code 1 at the first difference.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

from tests.naive.tick_book import messages
from tests.naive.tick_cases import random_tick_case
from tests.naive.tick_compare import check, check_pieces, dump
from tests.naive.tick_model import Feed, TickCase, TickOptions

Check = Callable[[TickCase], list[str]]


def shrink(case: TickCase, fails: Callable[[TickCase], bool]) -> TickCase:
    """Drop orders, options, streams and rows as long as the case still fails."""
    again = True
    while again:
        again = False
        for smaller in simpler(case):
            if runs(smaller) and fails(smaller):
                case, again = smaller, True
                break
    return case


def runs(case: TickCase) -> bool:
    """Every instrument still has something to trade on, and a book that begins."""
    begun = [feed is None or bool(messages(feed)) for feed in case.books]
    some = [bool(x) for x in zip(case.books, case.trades, case.bars, strict=True)
            if x[0] is not None or x[1] or x[2]]
    return all(begun) and len(some) == len(case.books)


def simpler(case: TickCase) -> Iterator[TickCase]:
    """Cases one step smaller, the largest steps first."""
    yield from fewer_orders(case)
    yield from fewer_rows(case)
    yield from plainer(case)


def fewer_rows(case: TickCase) -> Iterator[TickCase]:
    """Without some rows of a feed."""
    for k, feed in enumerate(case.books):
        for trades in shorter(case.trades[k]):
            yield replace(case, trades=swapped(case.trades, k, trades))
        if feed is not None:
            for made in shorter_feeds(feed):
                yield replace(case, books=swapped(case.books, k, made))
        for name in ("funding", "mark", "bars"):
            for rows in shorter(getattr(case, name)[k]):
                yield replace(case, **{name: swapped(getattr(case, name), k, rows)})


def plainer(case: TickCase) -> Iterator[TickCase]:
    """With an option at its default, or without one of the things an order asks for."""
    base = TickOptions()
    for field in fields(TickOptions):
        if getattr(case.options, field.name) != getattr(base, field.name):
            yield replace(case, options=replace(case.options, **{field.name: getattr(base, field.name)}))
    for n, row in enumerate(case.orders):
        for name in ("stop", "target", "trail", "tif", "group", "reduce_only", "post_only", "cancel_ts"):
            needed = {"tif": row.get("expire_ts"), "trail": row["type"] == "trailing"}.get(name)
            if row.get(name) and not needed:
                kept = {key: value for key, value in row.items() if key != name}
                yield replace(case, orders=swapped(case.orders, n, kept))


def fewer_orders(case: TickCase) -> Iterator[TickCase]:
    """Without some orders, and without the amends of what is gone."""
    for kept in shorter(case.orders):
        ids = {row["id"] for row in kept if row["type"] != "amend"}
        yield replace(case, orders=[row for row in kept if row["type"] != "amend" or row["id"] in ids])


def shorter_feeds(feed: Feed) -> Iterator[Feed]:
    """Feeds with fewer rows."""
    for shots in shorter(feed.shots):
        yield Feed(shots=shots, depth=feed.depth)
    for n, rows in enumerate(feed.files):
        for part in shorter(rows):
            yield Feed(files=[part if n == m else other for m, other in enumerate(feed.files)])


def shorter(rows: list[Any]) -> Iterator[list[Any]]:
    """A list without its second half, its first half, quarters and so on down to single rows."""
    size = (len(rows) + 1) // 2
    while size and rows:
        for start in range(len(rows) // size * size, -1, -size):
            if rows[start : start + size]:
                yield rows[:start] + rows[start + size :]
        size = size // 2 if size > 1 else 0


def swapped(rows: list[Any], k: int, other: Any) -> list[Any]:
    """The list with item k replaced."""
    return [other if j == k else row for j, row in enumerate(rows)]


def fuzz(cases: int, seed: int, check_case: Check = check, report: Callable[[str], object] = print) -> int:
    """Run seeds from `seed` on; report the first failing one, shrunk. Returns how many ran well."""
    for n in range(cases):
        found = check_case(random_tick_case(seed + n))
        if found:
            report(f"seed {seed + n} differs: {found[0]}")
            small = shrink(random_tick_case(seed + n), lambda case: bool(check_case(case)))
            report(dump(small))
            report("\n".join(check_case(small)))
            return n
    return cases


def main() -> int:
    """Command line; 1 when a case differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1, help="seed of the first case")
    parser.add_argument("--first", type=int, default=0, help="skip this many cases")
    parser.add_argument("--tapes", action="store_true", help="in pieces against in memory, without the twin")
    options = parser.parse_args()
    chosen = check_pieces if options.tapes else check
    done = fuzz(options.cases - options.first, options.seed + options.first, chosen)
    whole = done == options.cases - options.first
    verdict = "0 differences" if whole else "stopped"
    sys.stdout.write(f"{done} cases from seed {options.seed + options.first}: {verdict}\n")
    return 0 if whole else 1


if __name__ == "__main__":
    raise SystemExit(main())
