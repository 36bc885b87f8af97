"""How often each rule fires over many random cases: `python -m tests.naive.coverage [cases]`."""

from __future__ import annotations

import sys
from collections import Counter

from framework.records import KIND_NAMES, REASONS
from tests.naive.candles import run
from tests.naive.cases import random_case

UNREACHED = ("risk limit", "book exhausted")  # cases draw no limits of risk; bars have no book


def coverage(cases: int, first: int = 1) -> Counter[str]:
    """Count statuses, reasons, kinds and events over the seeds first, first + 1, ..."""
    counts: Counter[str] = Counter()
    for seed in range(first, first + cases):
        case = random_case(seed)
        result = run(case)
        counts[f"run {result['status']}"] += 1
        for name in ("ambiguous", "late"):
            counts[name] += result[name]
        for order in result["orders"]:
            counts[f"status {order['status']}"] += 1
            counts[f"kind {order['type']}"] += 1
            counts[f"reason {order['reason'] or '-'}"] += 1
            counts[f"{order['tif']} {order['status']}"] += 1
            counts["partly filled"] += order["n_fills"] > 1
        for fill in result["fills"]:
            counts["maker" if fill["maker"] else "taker"] += 1
            counts["fill at an open" if fill["ts"] == fill["bar_open_ts"] else "fill later"] += 1
            counts["seen after the next row"] += fill["seen_ts"] > fill["ts"] + 10**9
        counts["trades"] += len(result["trades"])
        counts["funding paid"] += result["final"]["funding"] != 0.0
        given_back = result["status"] == "done" and result["final"]["liquidation"] > 0.0
        counts["isolated loss given back"] += given_back
    return counts


def missing(counts: Counter[str], least: int = 20) -> list[str]:
    """Statuses, reasons and kinds that fired fewer than `least` times."""
    names = [f"status {s}" for s in ("open", "filled", "cancelled", "expired", "rejected")]
    names += [f"kind {k}" for k in KIND_NAMES]
    names += [f"reason {r or '-'}" for r in REASONS if r not in UNREACHED]
    names += ["run bust", "run done", "ambiguous", "late", "funding paid", "isolated loss given back"]
    return [name for name in names if counts[name] < least]


def table(counts: Counter[str]) -> str:
    """The counts, one a line, sorted by name."""
    return "\n".join(f"{name:45} {counts[name]:7}" for name in sorted(counts))


if __name__ == "__main__":
    found = coverage(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
    sys.stdout.write(table(found) + "\n")
    sys.stdout.write(f"too rare: {', '.join(missing(found)) or 'none'}\n")
