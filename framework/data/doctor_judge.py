"""From counts to findings: what holds for every kind of file. The limits stand here, each with its reason."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from framework.data.checks import INFO, REFUSE, WARN, Finding
from framework.data.doctor_watch import RARE, SILENCE
from framework.data.notes import SKEW, several
from framework.errors import DataError
from framework.times import DAY, MICROSECOND, SECOND, format_time

if TYPE_CHECKING:
    from framework.data.doctor_exam import Exam

DAY_US, MS, S = DAY // MICROSECOND, 1_000, 1_000_000
SPARSE = 15  # a silence of so many mean distances between rows is none: rows that rare come by chance
AHEAD = 100 * MS  # exchange time so far after arrival is a clock, and no jitter
DRIFT = 250 * MS
SLOW = 10 * S  # half of the rows arriving later than that is no live recording
REFUSALS = (
    ("grouped", r"is a file of many symbols"),
    ("wrong_exchange", r"exchange = .*: is not "),
    ("wrong_symbol", r"symbol = .*: is not "),
    ("wrong_day", r"local_timestamp = .* is not in "),
    ("local_backwards", r"is before the row above"),
    ("off_grid", r"is between two steps"),
    ("negative", r"is negative"),
    ("no_snapshot", r"part of a snapshot"),
    ("bomb", r"to 1 is no recording"),
    ("cut_short", r"cut short|cut off|is cut or damaged|no line end"),
    ("damaged_gzip", r"gzip is damaged|after the gzip data|is 0 bytes long"),
    ("wrong_header", r"header|the columns|byte order mark|quoted column"),
    ("altered", r"sha256|hash|import again|sheepfold data verify"),
)
ROW = re.compile(r"(?:^|: )row (\d+): ")


def clock_words(us: float) -> str:
    """Return a length of time in words: 12.5 ms, 3 s, 2 h 5 min."""
    size = abs(us)
    if not math.isfinite(us):
        return "unknown"
    for limit, unit, name in ((MS, 1, "us"), (S, MS, "ms"), (120 * S, S, "s"), (7_200 * S, 60 * S, "min")):
        if size < limit:
            return f"{us / unit:.3g} {name}" if size < 999.5 * unit else f"{us / unit:.0f} {name}"
    return f"{us / 3_600 / S:.1f} h"


def share_words(part: float, whole: float) -> str:
    """Return a share in percent with enough digits: 0.0021 %."""
    return f"{100.0 * part / whole:.2g} %" if whole else "0 %"


def at(us: int) -> str:
    """Return an instant given in us."""
    return format_time(us * MICROSECOND)


@dataclass
class Finder:
    """Findings of one file in the making."""

    found: list[Finding] = field(default_factory=list)

    def add(self, code: str, severity: str, count: int, row: int, us: int, words: str) -> None:
        """Add a finding; `us` -1 = at no single time."""
        ts = us * MICROSECOND if us > 0 else -1
        self.found.append(Finding(code, severity, int(count), int(row), ts, words))


def refusal(error: DataError, path: Path | None) -> Finding:
    """Return the careful reader's refusal as a finding; what it names is the file that was looked at."""
    text = str(error).removeprefix(f"{path}: ")
    code = next((code for code, pattern in REFUSALS if re.search(pattern, text)), "unreadable")
    row = ROW.search(text)
    severity = WARN if code == "grouped" else REFUSE  # nothing is wrong with it: it was not looked at
    return Finding(code, severity, 1, int(row[1]) if row else 0, -1, text)


def judge_times(exam: Exam, to: Finder) -> None:
    """Judge arrivals: out of order, in another day, silences, a day that begins late or ends early."""
    clock = exam.clock
    if clock["backs"]:
        to.add(
            "local_backwards",
            REFUSE,
            clock["backs"],
            clock["back_row"],
            clock["back_at"],
            f"{several(clock['backs'], 'row')} arrived before the row above: files are in order of "
            "arrival; download the day again",
        )
    if clock["outside"]:
        named = exam.source.day is not None
        to.add(
            "wrong_day" if named else "several_days", REFUSE if named else WARN, clock["outside"],
            clock["outside_row"], clock["outside_at"],
            f"{several(clock['outside'], 'row')} outside {exam.date}; split files by the UTC day of "
            "local_timestamp, and name the day in the file's name",
        )  # fmt: skip
    limit = silence_limit(exam)
    first, last = clock["first"], clock["local"]
    late, early = first - exam.day_us > limit, exam.day_us + DAY_US - last > limit
    if (late or early) and not clock["outside"]:
        span = share_words(last - first, DAY_US)
        to.add(
            "partial_day",
            WARN,
            1,
            0,
            first,
            f"rows from {at(first)[11:]} to {at(last)[11:]} only, {span} of the day; get the whole day, or "
            "run on that range",
        )
    judge_gaps(exam, to, limit)


def silence_limit(exam: Exam) -> float:
    """Return the longest time without a row that is no gap, us."""
    clock = exam.clock
    return max(SILENCE, SPARSE * (clock["local"] - clock["first"]) / max(clock["rows"] - 1, 1))


def judge_gaps(exam: Exam, to: Finder, limit: float) -> None:
    """Judge silences; those that an incident of the venue explains are told as such."""
    gaps = [gap for gap in exam.clock.gaps if gap[1] - gap[0] > limit]
    known = [gap for gap in gaps if exam.incident_in(gap[0], gap[1])]
    for code, severity, some in (
        ("incident", INFO, known),
        ("gap", WARN, [g for g in gaps if g not in known]),
    ):
        if not some:
            continue
        start, end, row = max(some, key=lambda gap: gap[1] - gap[0])
        why = (
            "as the venue's incident reports say"
            if code == "incident"
            else ("orders of a run would rest on old data there; run around it, or get the day again")
        )
        length = clock_words(sum(b - a for a, b, _ in some))
        to.add(
            code,
            severity,
            len(some),
            row,
            start,
            f"{several(len(some), 'silence')} of {length} in all, the longest {clock_words(end - start)} "
            f"from {at(start)}; {why}",
        )


def judge_clocks(exam: Exam, to: Finder) -> None:
    """Judge exchange times against arrivals."""
    clock = exam.clock
    n = clock["clocked"]
    if not n:
        return
    equal = clock["equal"] / n
    low, half, high = clock.quantiles((0.01, 0.5, 0.99))
    if equal >= 0.99:
        to.add(
            "no_exchange_time",
            INFO,
            clock["equal"],
            0,
            -1,
            "timestamp equals local_timestamp: the venue gives no exchange time, latency is unknown",
        )
    elif equal > 0.05:
        to.add(
            "mixed_clocks",
            WARN,
            clock["equal"],
            0,
            -1,
            f"{100 * equal:.3g} % of the rows have no exchange time and the others have one; latency and "
            "order at the exchange are doubtful",
        )
    judge_ahead(exam, to, low)
    judge_behind(exam, to)
    if abs(half) > SLOW:
        to.add(
            "wrong_clock",
            WARN if abs(half) < 600 * S else REFUSE,
            n,
            0,
            -1,
            f"half of the rows arrive {clock_words(half)} after their exchange time: a wrong clock or unit, "
            "or no live recording",
        )
    elif high > SLOW:
        to.add(
            "late_rows",
            WARN,
            n // 100,
            0,
            -1,
            f"1 % of the rows arrive more than {clock_words(high)} after their exchange time (half within "
            f"{clock_words(half)}): the recorder fell behind",
        )
    if (drift := clock.drift()) > DRIFT:
        to.add(
            "clock_drift",
            WARN,
            1,
            0,
            -1,
            f"the least latency of a minute moves by {clock_words(drift)} in the day: one of the clocks "
            "drifts; give runs a latency that covers it",
        )


def judge_ahead(exam: Exam, to: Finder, low: float) -> None:
    """Judge rows whose exchange time lies after their arrival."""
    clock = exam.clock
    if not clock["ahead"]:
        return
    share = clock["ahead"] / clock["clocked"]
    bad = share > SKEW and -low > AHEAD
    fix = "set the recorder's clock, or shift the local times" if bad else "a run takes the arrival instead"
    to.add(
        "clock_ahead",
        WARN if bad else INFO,
        clock["ahead"],
        clock["ahead_row"],
        clock["ahead_at"],
        f"{share_words(clock['ahead'], clock['clocked'])} of the rows have an exchange time after their "
        f"arrival, by up to {clock_words(-clock['least'])}; {fix}",
    )


def judge_behind(exam: Exam, to: Finder) -> None:
    """Judge exchange times that fall."""
    clock = exam.clock
    if not clock["behind"]:
        return
    share = clock["behind"] / clock["clocked"]
    to.add(
        "backwards",
        WARN if share > SKEW else INFO,
        clock["behind"],
        clock["behind_row"],
        clock["behind_at"],
        f"exchange time falls in {share_words(clock['behind'], clock['clocked'])} of the rows, by up to "
        f"{clock_words(clock['deepest'])}; a run never lets it fall",
    )


def judge_numbers(exam: Exam, to: Finder) -> None:
    """Judge prices and amounts against their grid."""
    for name, numbers in (("price", exam.price), ("amount", exam.amount)):
        count, row = numbers.off()
        rule = bool(numbers.state["step"][0])
        if count:
            severity = WARN if name == "price" or (exam.is_deals and not rule) else INFO
            whose = "the venue's rules" if rule else "nearly all others"
            to.add(
                f"{name}_grid",
                severity,
                count,
                row,
                -1,
                f"{several(count, name)} off the grid of {numbers.step:g} ({whose}); "
                "look at the rows, or give an Instrument with the finer step",
            )
        if numbers["negative"]:
            to.add(
                "negative",
                REFUSE,
                numbers["negative"],
                numbers["negative_row"],
                -1,
                f"{several(numbers['negative'], name)} below zero; get the day again",
            )
    if exam.price["zeros"]:
        to.add(
            "zero_price",
            REFUSE,
            exam.price["zeros"],
            exam.price["zero_row"],
            -1,
            f"{several(exam.price['zeros'], 'price')} of zero; get the day again",
        )
    if exam.amount["zeros"] and exam.kind != "incremental_book_L2":
        count = exam.amount["zeros"]
        to.add(
            "zero_amount",
            WARN,
            count,
            exam.amount["zero_row"],
            -1,
            f"{several(count, 'row')} with amount 0: nothing changed hands; they are left out",
        )


__all__ = [
    "RARE",
    "SECOND",
    "Finder",
    "clock_words",
    "judge_clocks",
    "judge_numbers",
    "judge_times",
    "refusal",
    "share_words",
]
