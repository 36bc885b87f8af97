"""Differential fuzz of the candle engine.

`python -m tests.fuzz_candles --cases 100000 --seed 1 [--first N]`: exit code 1 at the first difference.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace

from tests.naive.cases import random_case
from tests.naive.compare import check, dump
from tests.naive.model import Case, Options

Check = Callable[[Case], list[str]]


def shrink(case: Case, fails: Callable[[Case], bool]) -> Case:
    """Drop orders, options, streams and bars as long as the case still fails."""
    again = True
    while again:
        again = False
        for smaller in simpler(case):
            if fails(smaller):
                case, again = smaller, True
                break
    return case


def simpler(case: Case) -> Iterator[Case]:
    """Cases one step smaller, the largest steps first."""
    for n in range(len(case.orders) - 1, -1, -1):
        kept = case.orders[:n] + case.orders[n + 1 :]
        ids = {row["id"] for row in kept if row["type"] != "amend"}
        yield replace(case, orders=[row for row in kept if row["type"] != "amend" or row["id"] in ids])
    base = Options()
    for field in fields(Options):
        if getattr(case.options, field.name) != getattr(base, field.name):
            yield replace(case, options=replace(case.options, **{field.name: getattr(base, field.name)}))
    for k in range(len(case.bars)):
        for name in ("funding", "mark"):
            if getattr(case, name)[k]:
                rows = [[] if j == k else row for j, row in enumerate(getattr(case, name))]
                yield replace(case, **{name: rows})
        for part in (case.bars[k][: len(case.bars[k]) // 2], case.bars[k][:-1], case.bars[k][1:]):
            if part and len(part) < len(case.bars[k]):
                yield replace(case, bars=[part if j == k else rows for j, rows in enumerate(case.bars)])


def fuzz(cases: int, seed: int, check_case: Check = check, report: Callable[[str], object] = print) -> int:
    """Run seeds from `seed` on; report the first failing one, shrunk. Returns how many ran well."""
    for n in range(cases):
        found = check_case(random_case(seed + n))
        if found:
            report(f"seed {seed + n} differs: {found[0]}")
            small = shrink(random_case(seed + n), lambda case: bool(check_case(case)))
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
    options = parser.parse_args()
    done = fuzz(options.cases - options.first, options.seed + options.first)
    whole = done == options.cases - options.first
    verdict = "0 differences" if whole else "stopped"
    sys.stdout.write(f"{done} cases from seed {options.seed + options.first}: {verdict}\n")
    return 0 if whole else 1


if __name__ == "__main__":
    raise SystemExit(main())
