"""Where two runs part: order rows, fills and questions compared byte for byte, and told in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.records import CLOSE, EXPIRED, FILLED, LIQUIDATION, NEVER, NONE, R_CANCEL
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
    """What one run decided: rows of records.ORDER and records.FILL, its questions, and what it was answered.

    answers : rows of engine.state.RESPONSE.
    """

    orders: Rows
    fills: Rows
    questions: list[Question]
    fingerprint: str = ""
    answers: Rows | None = None


@dataclass(frozen=True)
class Horizon:
    """Up to when two runs must agree, in ns.

    decided : last moment of decisions that may not differ. happened : last moment at the exchange that may
    not; where it comes first, a decision may differ once the answers it knows of do. stop : the shorter run
    ends there. travel : the least order latency of each instrument.
    """

    decided: int
    happened: int
    stop: int = NEVER
    travel: tuple[int, ...] = ()

    @property
    def is_split(self) -> bool:
        """True when less has happened for certain than has been decided."""
        return self.happened < self.decided


def first_difference(
    one: Seen,
    two: Seen,
    horizon: Horizon,
    amends: bool,
    names: Names = ("with the real future", "without"),
) -> tuple[str, int]:
    """Return the first thing that two runs decided differently, in words, and the rows compared.

    Parameters
    ----------
    one, two
        The runs; `names` is what the words call them.
    horizon
        What was decided later, and what had not ended then, is not compared.
    amends
        The strategy amends: levels of orders are compared only once they have ended.
    """
    until, happened = horizon.decided, min(horizon.decided, horizon.happened)
    asked = [[q for q in run.questions if q[0] <= until] for run in (one, two)]
    rows = [np.flatnonzero(is_certain(run.orders, until, happened)) for run in (one, two)]
    a, b = one.orders[rows[0]], two.orders[rows[1]]
    f, g = (run.fills[run.fills["ts"] <= happened] for run in (one, two))
    compared = len(asked[0]) + len(a) + len(f)
    words = question_words(asked[0], asked[1], names) if asked[0] != asked[1] else ""
    fields: tuple[str, ...] = SENT if amends else (*SENT, *LEVELS)
    filled = f.dtype.names or ()
    if horizon.is_split:
        fields = fields[1:]  # exits born at the exchange take an id too
        filled = tuple(name for name in filled if name != "row")  # a cut market has one more at its end
        same = parting(one, two, rows, fields)
        a, b = a[:same], b[:same]
    words = words or row_words("order", sides(a), sides(b), ("side",), names)
    words = words or row_words("order", a, b, fields, names)
    words = words or count_words("orders", a, b, names)
    ended = (a["end_ts"] <= happened) & (a["status"] != EXPIRED)  # expiry is noticed at the next bar
    words = words or row_words("order", a[ended], b[ended], ENDED, names)
    words = words or row_words("fill", f, g, filled, names)
    words = words or count_words("fills", f, g, names)
    if horizon.is_split and not words:
        words = cancel_words(one, two, rows, len(a), horizon, names)
    return words, compared


def is_certain(orders: Rows, until: int, happened: int) -> NDArray[np.bool_]:
    """True for orders that may not differ: sent by `until`, or born at the exchange by `happened`."""
    born = (orders["parent"] != NONE) | (orders["kind"] == LIQUIDATION)
    return np.asarray(orders["ts"] <= np.where(born, happened, until))


def parting(one: Seen, two: Seen, rows: list[Rows], fields: Sequence[str]) -> int:
    """Return how many of the orders are to be compared: to the first that answers of its time excuse, or all.

    What was answered differently by then came from rows on their way, which have happened and are not seen.
    """
    a, b = (sides(run.orders[chosen]) for run, chosen in zip((one, two), rows, strict=True))
    both = min(len(a), len(b))
    differs = np.zeros(both, dtype=bool)
    for field in (*fields, "side"):
        differs |= as_bits(a[field][:both]) != as_bits(b[field][:both])
    at = int(np.argmax(differs)) if differs.any() else both
    if at == max(len(a), len(b)):
        return at
    moment = min(int(x["ts"][at]) for x in (a, b) if at < len(x))
    ends = [int(chosen[at]) if at < len(chosen) else NEVER for chosen in rows]
    if told(one, moment, ends[0]) != told(two, moment, ends[1]):
        return at
    return max(len(a), len(b))


def told(run: Seen, moment: int, end: int = NEVER, but: int = NONE) -> bytes:
    """Return what a strategy had been answered by a moment on its orders before row `end`, as bytes."""
    answers, orders = run.answers, run.orders
    assert answers is not None
    heard = answers[(answers["seen_ts"] <= moment) & (answers["order"] < end) & (answers["order"] != but)]
    order, is_fill = orders[heard["order"]], heard["fill"] != NONE
    fill = run.fills[heard["fill"][is_fill]]
    reason = np.where(heard["status"] >= FILLED, order["reason"], 0)
    columns = [heard["seen_ts"], heard["status"], is_fill.astype(np.int64), reason]
    columns += [order[name] for name in ("ts", "instrument", "kind", "role")]
    columns += [fill[name] for name in ("side", "price", "qty", "fee", "maker")]
    return b"".join(np.ascontiguousarray(column).tobytes() for column in columns)


def cancel_words(one: Seen, two: Seen, rows: list[Rows], count: int, horizon: Horizon, names: Names) -> str:
    """Return the first cancel that only one of two runs sent and no answer explains.

    A cancel leaves no row of its own: an order ends with it one order latency later.
    """
    runs = ((one, rows[0][:count]), (two, rows[1][:count]))
    for (run, mine), (other, theirs), name in ((*runs, names[0]), (*runs[::-1], names[1])):
        order, twin = run.orders[mine], other.orders[theirs]
        sent = order["end_ts"] - np.array(horizon.travel, np.int64)[order["instrument"]]
        alone = (order["reason"] == R_CANCEL) & (sent <= horizon.decided) & (order["end_ts"] < horizon.stop)
        alone &= (twin["end_ts"] > order["end_ts"]) & (order["parent"] == NONE)
        for at in np.flatnonzero(alone).tolist():
            moment = int(sent[at])
            if told(run, moment, but=int(mine[at])) == told(other, moment, but=int(theirs[at])):
                when = format_time(int(order["ts"][at]))
                return f"order {at + 1}, of {when}: cancelled at {format_time(moment)} only {name}"
    return ""


def sides(rows: Rows) -> Rows:
    """Return order rows without the side of a close, which it gets when it is executed."""
    rows = rows.copy()
    rows["side"][rows["kind"] == CLOSE] = 0
    return rows


def as_bits(column: Rows) -> Rows:
    """Return a column of 8 bytes a cell as whole numbers, so that NaN is NaN."""
    return np.ascontiguousarray(column).view(np.int64)


def row_words(what: str, one: Rows, two: Rows, fields: Iterable[str], names: Names) -> str:
    """Return the first field that differs between rows both have, byte for byte."""
    both = min(len(one), len(two))
    first, found = both, ""
    for field in fields:
        a, b = (as_bits(rows[field][:both]) for rows in (one, two))
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


__all__ = ["Horizon", "Seen", "first_difference"]
