"""Where two runs part: order rows, fills and questions compared byte for byte, and told in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.records import CLOSE, EXPIRED
from framework.times import format_time

# of an order row: set when it is sent and never again; replaced by an amend; final once the order has ended
SENT = (
    "id", "instrument", "kind", "tif", "post_only", "reduce_only", "group", "ts", "arrival_ts", "expire_ts",
    "asked_qty", "asked_price", "share", "parent", "role",
)  # fmt: skip
LEVELS = ("price", "trigger", "stop", "target", "trail")
ENDED = ("side", "end_ts", "status", "reason", "qty", "filled", "value", "n_fills", "last_fill_ts", *LEVELS)

Rows = NDArray[Any]
Question = tuple[int, int, str, str]  # ts, instrument, system, text
Names = tuple[str, str]


@dataclass(frozen=True)
class Seen:
    """What one run decided: rows of records.ORDER and records.FILL, and its questions."""

    orders: Rows
    fills: Rows
    questions: list[Question]
    fingerprint: str = ""


def first_difference(
    one: Seen,
    two: Seen,
    until: int,
    amends: bool,
    names: Names = ("with the real future", "without"),
) -> tuple[str, int]:
    """Return the first thing that two runs decided differently by `until`, in words, and the rows compared.

    Parameters
    ----------
    one, two
        The runs; `names` is what the words call them.
    until
        ns; what was decided later, and what had not ended then, is not compared.
    amends
        The strategy amends: levels of orders are compared only once they have ended.
    """
    asked = [[q for q in run.questions if q[0] <= until] for run in (one, two)]
    a, b = (run.orders[run.orders["ts"] <= until] for run in (one, two))
    f, g = (run.fills[run.fills["ts"] <= until] for run in (one, two))
    ended = (a["end_ts"] <= until) & (a["status"] != EXPIRED)  # expiry is noticed at the next bar
    compared = len(asked[0]) + len(a) + len(f)
    words = question_words(asked[0], asked[1], names) if asked[0] != asked[1] else ""
    words = words or row_words("order", sides(a), sides(b), ("side",), names)
    words = words or row_words("order", a, b, SENT if amends else (*SENT, *LEVELS), names)
    words = words or count_words("orders", a, b, names)
    words = words or row_words("order", a[ended], b[ended], ENDED, names)
    words = words or row_words("fill", f, g, f.dtype.names or (), names)
    return words or count_words("fills", f, g, names), compared


def sides(rows: Rows) -> Rows:
    """Return order rows without the side of a close, which it gets when it is executed."""
    rows = rows.copy()
    rows["side"][rows["kind"] == CLOSE] = 0
    return rows


def row_words(what: str, one: Rows, two: Rows, fields: Iterable[str], names: Names) -> str:
    """Return the first field that differs between rows both have, byte for byte."""
    both = min(len(one), len(two))
    first, found = both, ""
    for field in fields:
        a, b = (np.ascontiguousarray(rows[field][:both]).view(np.int64) for rows in (one, two))
        at = np.flatnonzero(a != b)
        if len(at) and at[0] < first:
            first = int(at[0])
            found = f"{field} is {one[field][first]!s} {names[0]} and {two[field][first]!s} {names[1]}"
    return f"{what} {first + 1}, of {format_time(int(one['ts'][first]))}: {found}" if found else ""


def count_words(what: str, one: Rows, two: Rows, names: Names) -> str:
    """Return how two numbers of rows differ."""
    if len(one) == len(two):
        return ""
    at = format_time(int((one if len(one) > len(two) else two)["ts"][min(len(one), len(two))]))
    return f"{len(one)} {what} {names[0]} and {len(two)} {names[1]}, they part at {at}"


def question_words(one: list[Question], two: list[Question], names: Names) -> str:
    """Return the first question that differs."""
    for a, b in zip(one, two, strict=False):
        if a != b:
            return f"the question of {format_time(min(a[0], b[0]))} is one {names[0]} and another {names[1]}"
    return f"{len(one)} questions {names[0]} and {len(two)} {names[1]}"


__all__ = ["Seen", "first_difference"]
