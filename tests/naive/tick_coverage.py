"""How often each rule fires over many random tick cases: `python -m tests.naive.tick_coverage [cases]`."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

from framework.records import KIND_NAMES
from tests.naive.model import Order
from tests.naive.tick_cases import random_tick_case
from tests.naive.tick_model import Message, TickCase, Trade
from tests.naive.ticks import TickReplay

REASONS = (
    "", "below lot", "below min notional", "insufficient margin", "post-only would take",
    "reduce-only would increase", "account is bust", "cancelled by strategy", "IOC remainder",
    "FOK not fillable", "no position", "other order of the group filled", "position closed",
    "past expire_ts", "liquidation", "bust", "risk limit", "stop", "target", "trail", "book exhausted",
)  # fmt: skip
EVENTS = (
    "fill through", "fill beyond the queue", "fill by the other side", "fill at a first look",
    "fill of an exit at birth", "queue moved", "queue fell by a model", "waits for the first message",
    "behind others", "shared trade",
    "alone", "walk of levels", "rest of a walk", "left the view", "crossed", "message without rows",
    "amended place", "mark trigger", "quote trigger", "empty side", "seen late", "share walked",
    "bars beside",
)  # fmt: skip


class Counting(TickReplay):
    """A run that says what happened."""

    def __init__(self, case: TickCase, counts: Counter[str]) -> None:
        self.counts = counts
        super().__init__(case)

    def trade_on_limit(self, order: Order, row: Trade) -> None:
        before, n, taken = order.queue.ahead if order.queue else 0, order.n_fills, self.taken
        super().trade_on_limit(order, row)
        if order.n_fills > n:
            at = self.tick_of(order) == row.tick
            self.counts["fill beyond the queue" if at else "fill through"] += 1
            self.counts["shared trade"] += at and taken > 0
        self.counts["queue moved"] += order.queue is not None and order.queue.ahead < before

    def message(self, k: int, message: Message) -> None:
        places = [(o, o.queue.ahead) for o in self.working[k] if o.queue]
        self.counts["message without rows"] += not message.rows
        self.counts["left the view"] += any(lots < 0 for *_, lots in message.rows)
        first = not self.depth[k].begun
        self.counts["waits for the first message"] += sum(o.live and first for o in self.working[k])
        fills = len(self.fills)
        super().message(k, message)
        self.counts["fill by the other side"] += any(f.maker for f in self.fills[fills:])
        model = self.options.queue[:3] in ("pow", "log")
        fell = any(o.queue and o.queue.ahead < a for o, a in places)
        self.counts["queue fell by a model"] += model and fell
        self.counts["empty side"] += not all(self.depth[k].sides)

    def rest(self, order: Order) -> None:
        again = order.queue is not None or order.joined is not None
        super().rest(order)
        self.counts["behind others"] += order.queue.ahead > 0
        self.counts["amended place"] += again
        self.counts["rest of a walk"] += order.n_fills > 0

    def look_at_book(self, order: Order) -> None:
        n, share = order.n_fills, order.qty is None and order.share is not None
        super().look_at_book(order)
        self.counts["fill at a first look"] += order.n_fills > n
        self.counts["walk of levels"] += order.n_fills > n + 1
        self.counts["share walked"] += share and order.n_fills > n + 1
        self.counts["fill of an exit at birth"] += order.child and order.n_fills > n

    def stops(self, orders: list[Order]) -> None:
        before = [o.triggered for o in orders]
        super().stops(orders)
        hit = sum(o.triggered for o in orders) - sum(before)
        self.counts[f"{self.watched[orders[0].k]} trigger" if orders else ""] += hit

    def trade_alone(self, order: Order, row: Trade) -> None:
        n = order.n_fills
        super().trade_alone(order, row)
        self.counts["alone"] += order.n_fills > n


def coverage(cases: int, first: int = 1) -> Counter[str]:
    """Count statuses, reasons, kinds and events over the seeds first, first + 1, ..."""
    counts: Counter[str] = Counter()
    for seed in range(first, first + cases):
        case = random_tick_case(seed)
        replay = Counting(case, counts)
        replay.run()
        count(counts, case, replay.result())
    return counts


def count(counts: Counter[str], case: TickCase, result: dict[str, Any]) -> None:
    """Add one run."""
    counts[f"run {result['status']}"] += 1
    counts["bars beside"] += any(case.bars)
    counts["funding paid"] += result["final"]["funding"] != 0.0
    for feed in case.books:
        counts["crossed"] += feed is not None and any(crosses(rows) for rows in feed.files)
    for order in result["orders"]:
        counts[f"status {order['status']}"] += 1
        counts[f"kind {order['type']}"] += 1
        counts[f"reason {order['reason'] or '-'}"] += 1
    for fill in result["fills"]:
        counts["maker" if fill["maker"] else "taker"] += 1
        counts["seen late"] += fill["seen_ts"] > fill["ts"] + 10**9


def crosses(rows: list[Any]) -> bool:
    """Does a file name one tick as a bid and as an ask within a message?"""
    pairs = {(row.local_ts, row.side, row.tick) for row in rows}
    return any((local_ts, 1 - side, tick) in pairs for local_ts, side, tick in pairs)


def missing(counts: Counter[str], least: int = 8) -> list[str]:
    """What fired fewer than `least` times."""
    names = [f"status {s}" for s in ("open", "filled", "cancelled", "expired", "rejected")]
    names += [f"kind {k}" for k in KIND_NAMES]
    names += [f"reason {r or '-'}" for r in REASONS]
    names += ["run bust", "run done", "maker", "taker", "funding paid", *EVENTS]
    return [name for name in names if counts[name] < least]


def table(counts: Counter[str]) -> str:
    """The counts, one a line, sorted by name."""
    return "\n".join(f"{name:45} {counts[name]:7}" for name in sorted(counts))


if __name__ == "__main__":
    found = coverage(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
    sys.stdout.write(table(found) + "\n")
    sys.stdout.write(f"too rare: {', '.join(missing(found)) or 'none'}\n")
