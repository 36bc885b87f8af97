"""The data doctor: is this data fit for a run? `check` looks at every row of files, or of days in a store.

A day's files are looked at together, books first: trades are held against the book of their time, quotes
against it, a silence of one file against the rows of the others. Memory does not grow with the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

from framework.data.checks import REFUSE, WARN, Finding, save_verdict, verdict_word
from framework.data.doctor_exam import Exam, Source
from framework.data.doctor_judge import DAY_US, Finder, at, clock_words, silence_limit
from framework.data.doctor_rows import SLOTS
from framework.data.doctor_source import incidents_of, sources_of
from framework.data.notes import several
from framework.data.schema import BOOK_KINDS, KINDS
from framework.data.waivers import Waiver, waiver_of
from framework.times import DAY, format_time

SLOT = DAY_US // SLOTS
THIN = 0.2  # of the rows of the days around
ORDER = {kind: place for place, kind in enumerate((*BOOK_KINDS, *(k for k in KINDS if k not in BOOK_KINDS)))}


@dataclass
class Missing:
    """A day of which a kind has no file."""

    venue: str
    symbol: str
    kind: str
    day: int  # ns
    finding: Finding


@dataclass
class Checkup:
    """What the doctor says.

    Attributes
    ----------
    exams : list of Exam
        One a file or part: `source`, `rows`, `verdict`, `findings`, ...
    missing : list of Missing
        Days without a file between, or beside, those that are there.
    others : list of str
        Files of a folder that are no tick files by their names.
    waivers : list of Waiver
        What the store's waivers cover; `is_refused` does not count it.
    """

    exams: list[Exam] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    waivers: list[Waiver] = field(default_factory=list)

    @property
    def is_refused(self) -> bool:
        """True while something is refused that no waiver covers."""
        return any(
            f.severity == REFUSE and f.code not in exam.waived for exam in self.exams for f in exam.findings
        )

    @property
    def verdict(self) -> str:
        """The worst verdict: refuse, warn or clean."""
        every = [finding for exam in self.exams for finding in exam.findings]
        return verdict_word([*every, *(one.finding for one in self.missing)])

    def codes(self, *severities: str) -> set[str]:
        """Return the codes of all findings, or of those of some severities."""
        every = [f for exam in self.exams for f in exam.findings] + [one.finding for one in self.missing]
        return {f.code for f in every if not severities or f.severity in severities}

    def page(self) -> str:
        """Return the page of text."""
        from framework.data.doctor_page import page

        return page(self)

    def picture(self) -> bytes:
        """Return the picture, a PNG file."""
        from framework.data.doctor_picture import picture

        image: bytes = picture(self)
        return image

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "verdict": self.verdict,
            "files": [
                {
                    "file": exam.source.label,
                    "venue": exam.source.venue,
                    "symbol": exam.source.symbol,
                    "kind": exam.kind,
                    "day": exam.date,
                    "rows": exam.rows,
                    "verdict": exam.verdict,
                    "findings": [asdict(finding) for finding in exam.findings],
                }
                for exam in self.exams
            ],
            "missing": [
                {
                    "venue": m.venue,
                    "symbol": m.symbol,
                    "kind": m.kind,
                    "day": format_time(m.day)[:10],
                    "finding": asdict(m.finding),
                }
                for m in self.missing
            ],
            "not_read": self.others,
            "waived": [waiver.line() for waiver in self.waivers],
        }


def check(
    what: str | Path | Sequence[str | Path] | None = None,
    start: Any = None,
    stop: Any = None,
    *,
    kinds: str | Sequence[str] | None = None,
    store: Any = None,
    instrument: Any = None,
    save: bool = True,
    say: Callable[[str], None] | None = None,
) -> Checkup:
    """Check tick data before a run uses it.

    Parameters
    ----------
    what : path, `venue:SYMBOL`, or list of either, optional
        csv files or folders as `from_tardis` takes them, or instruments of a store; by default everything in
        the store.
    start, stop : date, str or ns, optional
        Only days in [start, stop), UTC.
    kinds : str or list of str, optional
        Only these kinds; text may hold several with commas between.
    store : Store, str or Path, optional
        The store, or its folder; by default the user's.
    instrument : Instrument or str, optional
        What the csv files are of, and its grid; by default what their names say and the built-in rules.
    save : bool
        Keep the verdicts of a store's parts in it (`load` asks for them).
    say : callable, optional
        Is told the name of each file before it is read.

    Returns
    -------
    Checkup
        `verdict` (refuse, warn, clean), `exams`, `missing`, `page()`, `picture()`, `to_dict()`.

    Examples
    --------
    >>> found = check("data/", kinds="trades,incremental_book_L2")  # doctest: +SKIP
    >>> print(found.page())  # doctest: +SKIP
    """
    sources, others, house = sources_of(what, start, stop, kinds, store, instrument)
    done = Checkup(others=others)
    sources.sort(key=lambda s: (s.venue, s.symbol, s.day or 0, ORDER[s.kind], s.label))
    for (venue, _, _), some in groupby(sources, key=lambda s: (s.venue, s.symbol, s.day)):
        known = incidents_of(house, venue)
        done.exams += one_day(list(some), known, say)
    look_around(done, start, stop)
    for exam in done.exams if house is not None else ():
        if save:
            save_verdict(house, exam.source.part, exam.findings)
        if waiver := waiver_of(house, exam.source.part):
            exam.waived = waiver.codes
            done.waivers.append(waiver)
    return done


def one_day(
    sources: Iterable[Source], incidents: list[tuple[int, int]], say: Callable[[str], None] | None
) -> list[Exam]:
    """Look at the files of an instrument and day, the best book first."""
    exams: list[Exam] = []
    book: Exam | None = None
    for source in sources:
        if say is not None:
            say(f"{source.venue}:{source.symbol} {source.kind} {source.label}")
        exam = Exam(source, incidents)
        exam.read(book)
        if book is not None:
            exam.against(book)
        exam.judge(book)
        exam.draw()
        if book is None and exam.top is not None and exam.refused is None and exam.top.span[1] >= 0:
            book = exam
        else:
            exam.forget()
        exams.append(exam)
    for exam in exams:
        beside(exam, [other for other in exams if other is not exam and other.rows])
    if book is not None:
        book.forget()
    return exams


def beside(exam: Exam, others: list[Exam]) -> None:
    """Hold the silences, the begin and the end of a file against the day's other files."""
    if not exam.rows or not others:
        return
    to, limit = Finder(), silence_limit(exam)
    alone = [(a, b, row) for a, b, row in exam.clock.gaps if b - a > limit and rows_between(others, a, b)]
    if alone:
        a, b, row = max(alone, key=lambda gap: gap[1] - gap[0])
        name, count = max((rows_in(o, a, b), o.kind) for o in others)[::-1]
        to.add(
            "gap_alone",
            WARN,
            len(alone),
            row,
            a,
            f"{several(len(alone), 'silence')} while other files of the day have rows: {name} has {count} in "
            f"the {clock_words(b - a)} from {at(a)}; this file lost rows there",
        )
    early, late = min(o.first for o in others), max(o.last for o in others)
    for code, apart, here, there, word in (
        ("begins_late", exam.first - early, exam.first, early, "begins"),
        ("ends_early", late - exam.last, exam.last, late, "ends"),
    ):
        if apart > limit:
            to.add(
                code,
                WARN,
                1,
                0,
                here,
                f"{word} at {at(here)}, {clock_words(apart)} "
                f"{'after' if word == 'begins' else 'before'} other "
                f"files of the day ({at(there)}); rows are missing",
            )
    exam.add_findings(to)


def rows_in(exam: Exam, start: int, end: int) -> int:
    """Return how many rows a file has in the whole slots inside a time (us)."""
    low, high = -(-(start - exam.day_us) // SLOT), (end - exam.day_us) // SLOT
    return int(exam.clock.slots[max(low, 0) : max(high, 0)].sum())


def rows_between(others: list[Exam], start: int, end: int) -> bool:
    """True when another file has some rows inside a time."""
    return any(rows_in(other, start, end) >= 10 for other in others)


def look_around(done: Checkup, start: Any, stop: Any) -> None:
    """Find days without a file, and days with far fewer rows than those around."""

    def pair(exam: Exam) -> tuple[str, str]:
        return exam.source.venue, exam.source.symbol

    for (venue, symbol), group in groupby(sorted(done.exams, key=pair), key=pair):
        some = list(group)
        dated = sorted({exam.day for exam in some if exam.source.day is not None})
        if not dated:
            continue
        every = range(dated[0], dated[-1] + DAY, DAY)
        for kind in sorted({exam.kind for exam in some}, key=ORDER.__getitem__):
            mine = [exam for exam in some if exam.kind == kind]
            have = {exam.day for exam in mine}
            gone = [day for day in every if day not in have]
            done.missing += [missing(venue, symbol, kind, days) for days in in_runs(gone)]
            thin_days(mine)


def in_runs(days: list[int]) -> list[list[int]]:
    """Return days in runs of neighbours."""
    runs: list[list[int]] = []
    for day in days:
        if runs and day == runs[-1][-1] + DAY:
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs


def missing(venue: str, symbol: str, kind: str, days: list[int]) -> Missing:
    """Return the finding of days without a file."""
    names = " to ".join(dict.fromkeys(format_time(day)[:10] for day in (days[0], days[-1])))
    words = f"no {kind} file of {names} ({several(len(days), 'day')}); download it, or run around it"
    return Missing(venue, symbol, kind, days[0], Finding("missing_day", WARN, len(days), 0, days[0], words))


def thin_days(exams: list[Exam]) -> None:
    """Warn of days with less than a fifth of the rows a second of the days around."""
    rates = {id(e): e.rows / max(e.last - e.first, 1) for e in exams if e.rows > 1}
    for place, exam in enumerate(exams):
        near = [
            rates[id(e)] for e in exams[max(place - 3, 0) : place + 4] if e is not exam and id(e) in rates
        ]
        if len(near) < 2 or id(exam) not in rates:
            continue
        usual = median(near)
        if rates[id(exam)] < THIN * usual:
            to = Finder()
            to.add(
                "thin_day",
                WARN,
                exam.rows,
                0,
                -1,
                f"{100 * rates[id(exam)] / usual:.2g} % of the rows a second of the days around; rows may be "
                "missing",
            )
            exam.add_findings(to)


__all__ = ["REFUSE", "Checkup", "Exam", "Missing", "check"]
