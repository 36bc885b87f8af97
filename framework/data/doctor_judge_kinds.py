"""From counts to findings: books, trades and derivative tickers."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from framework.data.checks import INFO, REFUSE, WARN
from framework.data.doctor_deals import JUMP, OFF_SHARE, STALE, Deals, First, OffBook, Ticker
from framework.data.doctor_judge import MS, Finder, S, at, clock_words, share_words
from framework.data.doctor_watch import RARE, TopWatch
from framework.data.notes import several

if TYPE_CHECKING:
    from framework.data.doctor_exam import Exam

AGAIN = 0.01  # share of rows equal to the row above
UNKNOWN = 0.01  # share of trades whose side is not known above which flow is doubtful
CROSSED, BROKEN = 0.001, 0.2  # share of the time: above the first a warning, above the second no book
FOUGHT = 0.1  # levels that had to go a message: above it two books are mixed
ONE_SIDED = 0.01
DIFFER, BROKEN_TOPS = 0.01, 0.5  # share of the time two books' best prices lie apart
LATE = 60 * S  # a book that begins so late
RESETS = 50  # snapshots of a day: a feed that reconnects twice an hour


def judge_top(exam: Exam, to: Finder) -> None:
    """Judge best prices in time: crossed, locked, one-sided."""
    top = exam.top
    assert top is not None
    cross(top, to, "crossed", "crossings", "crossed_time", "longest_crossed")
    cross(top, to, "locked", "locks", "locked_time", "longest_locked")
    if top["one_sideds"]:
        share = top["one_sided_time"] / max(top["known"], 1)
        to.add(
            "one_sided",
            WARN if share > ONE_SIDED or not top["known"] else INFO,
            top["one_sideds"],
            top["one_sided_row"],
            top["one_sided_at"],
            f"a side of the book is empty {several(top['one_sideds'], 'time')}, "
            f"{share_words(top['one_sided_time'], top['known'])} of the time; market orders find nothing "
            "there",
        )


def cross(top: TopWatch, to: Finder, code: str, count: str, time: str, longest: str) -> None:
    """Judge the times in which the best bid is not below the best ask."""
    if not top[count]:
        return
    share = top[time] / max(top["known"], 1)
    some = share > CROSSED or top[longest] > S or not top["known"]
    fought = (
        not top["crossed"] or top["crossed"] > FOUGHT * top["seen"]
    )  # one level left for hours is no refusal
    severity = REFUSE if share > BROKEN and fought else WARN if some else INFO
    fix = (
        "the newer side wins in a run; look at what the older levels are"
        if severity != REFUSE
        else "this is no book; get the day again or use another kind"
    )
    to.add(
        code,
        severity,
        top[count],
        top[f"{code}_row"],
        top[f"{code}_at"],
        f"the book as sent is {code} {several(top[count], 'time')}, {share_words(top[time], top['known'])} "
        f"of the time, the longest {clock_words(top[longest])}; {fix}",
    )


def judge_changes(exam: Exam, to: Finder) -> None:
    """Judge the snapshots of incremental_book_L2 and its rows that change nothing."""
    top = exam.top
    assert top is not None
    rows = exam.rows
    if not top["started"]:
        to.add(
            "no_snapshot",
            REFUSE,
            rows,
            1,
            exam.clock["first"],
            "no row is part of a snapshot, so there is no book to change; get the file from the start of "
            "its day",
        )
        return
    if top["skipped"]:
        late = top["first_snapshot"] - exam.clock["first"]
        to.add(
            "before_snapshot",
            WARN if late > LATE else INFO,
            top["skipped"],
            1,
            exam.clock["first"],
            f"{several(top['skipped'], 'row')} before the first snapshot, {clock_words(late)} in all; they "
            "are left out",
        )
    judge_snapshots(exam, top, to)
    if top["noops"] > 0.5 * rows:
        to.add(
            "repeated_rows",
            WARN,
            top["noops"],
            0,
            -1,
            f"{share_words(top['noops'], rows)} of the rows set a level to what it is already: the file "
            "holds rows twice, or another program made it",
        )


def judge_snapshots(exam: Exam, top: TopWatch, to: Finder) -> None:
    """Judge how often the whole book is sent, and whether it is whole."""
    if top["all_snapshot"] == exam.rows and top["snapshots"] > 1:
        to.add(
            "snapshot_only",
            INFO,
            top["snapshots"],
            1,
            exam.clock["first"],
            f"every row is part of a snapshot: {top['snapshots']} whole books and no changes; what happens "
            "between them is not known",
        )
    elif top["snapshots"] > 1:
        to.add(
            "resets",
            WARN if top["snapshots"] > RESETS else INFO,
            top["snapshots"] - 1,
            0,
            -1,
            f"{several(top['snapshots'] - 1, 'snapshot')} inside the day: the recorder connected again; "
            "what changed while it was away is not known",
        )
    if top["one_sided"]:
        to.add(
            "one_sided_snapshot",
            WARN,
            top["one_sided"],
            top["first_snapshot_row"],
            top["first_snapshot"],
            f"{several(top['one_sided'], 'snapshot')} with an empty side; the book is half until changes "
            "fill it",
        )


def judge_compared(exam: Exam, other: str, found: dict[str, int], step: float, to: Finder) -> None:
    """Judge how often the best prices of two books lie apart."""
    if not found["differ"]:
        return
    share = found["differ"] / max(found["compared"], 1)
    severity = REFUSE if share > BROKEN_TOPS else WARN if share > DIFFER else INFO
    to.add(
        "tops_differ",
        severity,
        found["differ"],
        0,
        found["differ_at"],
        f"the best prices lie more than a tick ({step:g}) from those of {other} in "
        f"{share_words(found['differ'], found['compared'])} of the time, the longest "
        f"{clock_words(found['longest_us'])} from {at(found['longest_at'])}; one of the two is wrong there",
    )


def judge_deals(exam: Exam, deals: Deals, to: Finder) -> None:
    """Judge ids, sides and prices of trades or liquidations."""
    n = exam.rows
    if deals.repeated.count:
        other = deals.other.count
        bad = other or deals.repeated.count > RARE * n
        words = f", {other} of them with other content" if other else ""
        first(
            to,
            "repeated_id",
            WARN if bad else INFO,
            deals.repeated,
            f"{several(deals.repeated.count, 'row')} with the id of one of the 500 rows above{words}; they "
            "are left out",
        )
    judge_again(exam, deals.again, to)
    if deals.unknown.count:
        bad = deals.unknown.count > UNKNOWN * n
        first(
            to,
            "unknown_side",
            WARN if bad else INFO,
            deals.unknown,
            f"{share_words(deals.unknown.count, n)} of the rows do not say who took; buy and sell volume "
            "lack them",
        )
    judge_ids(deals, to)
    if deals.outliers.count:
        first(
            to,
            "outlier_price",
            WARN,
            deals.outliers,
            f"{several(deals.outliers.count, 'price')} alone and up to {100 * deals.farthest:.3g} % from the "
            "trades around: no trade on the book (insurance fund, block trade, damage); leave the row out",
        )


def judge_again(exam: Exam, again: First, to: Finder) -> None:
    """Judge rows that equal the row above."""
    if again.count:
        severity = WARN if again.count > AGAIN * exam.rows else INFO
        first(
            to, "repeated_row", severity, again, f"{several(again.count, 'row')} equal to the row above; kept"
        )


def judge_ids(deals: Deals, to: Finder) -> None:
    """Judge ids that count: missing trades, ids that fall."""
    if not deals.are_consecutive:
        return
    if deals.missing:
        bad = deals.missing > RARE * deals.numbered
        first(
            to,
            "id_jump",
            WARN if bad else INFO,
            deals.id_jumps,
            f"ids count by one, and {several(deals.missing, 'id')} in "
            f"{several(deals.id_jumps.count, 'place')} "
            "are not there: trades that were not recorded, or that the venue does not call trades",
        )
    if deals.id_backs.count:
        first(
            to,
            "id_back",
            WARN,
            deals.id_backs,
            f"ids fall {several(deals.id_backs.count, 'time')}: rows are out of order or of two feeds",
        )


def first(to: Finder, code: str, severity: str, found: First, words: str) -> None:
    """Add a finding that begins at a row."""
    to.add(code, severity, found.count, found.row, found.at, words)


def judge_off_book(off: OffBook, other: str, to: Finder) -> None:
    """Judge trades against the best prices of their time."""
    if off["outside"]:
        bad = off["outside"] > RARE * off["compared"]
        to.add(
            "off_book",
            WARN if bad else INFO,
            off["outside"],
            off["outside_row"],
            off["outside_at"],
            f"{several(off['outside'], 'trade')} ({share_words(off['outside'], off['compared'])}) more than "
            f"{100 * OFF_SHARE:g} % outside the best prices of {other} around their time, by up to "
            f"{100 * off['worst']:.3g} %; book and trades are of two markets, or one lags",
        )


def judge_ticker(ticker: Ticker, to: Finder) -> None:
    """Judge funding, jumps and prices that stand still."""
    for name, found in ticker.jumps.items():
        if found.count:
            first(
                to,
                name.replace("price", "jump"),
                WARN,
                found,
                f"{name} moves more than {100 * JUMP:g} % from one row to the next "
                f"{several(found.count, 'time')}, "
                f"by up to {100 * ticker.highest[name]:.3g} %; margins and funding rest on it",
            )
    if ticker.apart.count:
        first(
            to,
            "mark_apart",
            WARN,
            ticker.apart,
            f"mark and index price lie more than 5 % apart in {several(ticker.apart.count, 'row')}",
        )
    if ticker.large.count:
        first(
            to,
            "funding_large",
            WARN,
            ticker.large,
            f"funding rates above 3 % in {several(ticker.large.count, 'row')}: a rate is a fraction",
        )
    if ticker.still_longest > STALE:
        to.add(
            "stale_ticker",
            WARN,
            1,
            0,
            ticker.still_at,
            f"rows came and no price moved for {clock_words(ticker.still_longest)} from "
            f"{at(ticker.still_at)}; marks are old there",
        )
    judge_funding(ticker, to)


def judge_funding(ticker: Ticker, to: Finder) -> None:
    """Judge the times of funding."""
    steps = {b - a for a, b in pairwise(sorted(ticker.boundaries))}
    uneven = len(steps) > 1 and any(step % min(steps) for step in steps)
    if ticker.odd.count or uneven:
        what = "on no full hour" if ticker.odd.count else "at uneven distances"
        found = ticker.odd if ticker.odd.count else First()
        first(
            to,
            "funding_irregular",
            WARN,
            found,
            f"funding times {what} ({several(len(ticker.boundaries), 'time')} in the file); a run "
            "pays funding "
            "at these times",
        )
    if ticker.late.count:
        first(
            to,
            "funding_late",
            WARN,
            ticker.late,
            f"{several(ticker.late.count, 'row')} name a funding time more than a minute past: the next one "
            "was not taken over",
        )


__all__ = [
    "MS",
    "judge_changes",
    "judge_compared",
    "judge_deals",
    "judge_off_book",
    "judge_ticker",
    "judge_top",
]
