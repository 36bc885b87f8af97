"""The doctor's page: plain text, one line a file, then what was found."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from framework.data.checks import SEVERITIES
from framework.data.doctor_judge import clock_words
from framework.data.notes import several
from framework.times import MICROSECOND, format_time

if TYPE_CHECKING:
    from framework.data.doctor import Checkup
    from framework.data.doctor_exam import Exam

WIDTH = 100
HEAD = ("day", "kind", "rows", "from", "to", "latency 1 / 50 / 99 %", "verdict")


def page(done: Checkup) -> str:
    """Return the page of a checkup."""
    lines: list[str] = []
    for name, some in groupby(done.exams, key=lambda exam: f"{exam.source.venue}:{exam.source.symbol}"):
        exams = list(some)
        lines += [name, *table([HEAD, *map(cells, exams)]), ""]
        for exam in exams:
            lines += findings(exam)
        for one in done.missing:
            if f"{one.venue}:{one.symbol}" == name:
                lines += wrapped("warn", f"{one.finding.code}: {one.finding.words}")
        lines.append("")
    for waiver in done.waivers:
        lines += [*wrapped("waived", waiver.line()), ""]
    if done.others:
        lines += [f"Not read, no tick files by their names: {', '.join(done.others)}", ""]
    return "\n".join([*lines, summary(done)])


def summary(done: Checkup) -> str:
    """Return the last line: how many files of each verdict."""
    counts = [(v, sum(exam.verdict == v for exam in done.exams)) for v in ("refuse", "warn", "clean")]
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts if count)
    gone = sum(one.finding.count for one in done.missing)
    extra = f", {several(gone, 'day')} missing" if gone else ""
    return f"{several(len(done.exams), 'file')}: {words}{extra}. Verdict: {done.verdict}"


def cells(exam: Exam) -> tuple[str, ...]:
    """Return the row of a file."""
    if not exam.rows:
        return exam.date, exam.kind, "0", "", "", "", exam.verdict
    span = [format_time(us * MICROSECOND)[11:19] for us in (exam.first, exam.last)]
    late = " / ".join(clock_words(us) for us in exam.overall)
    return exam.date, exam.kind, f"{exam.rows:,}", *span, late, exam.verdict


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Return rows as aligned lines; the count of rows to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        parts = [
            cell.rjust(width) if i == 2 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(("  " + "  ".join(parts)).rstrip())
    return lines


def findings(exam: Exam) -> list[str]:
    """Return the lines of what was found in a file, the worst first."""
    if not exam.findings:
        return []
    lines = [f"{exam.date} {exam.kind}  ({exam.source.label})"]
    for finding in sorted(exam.findings, key=lambda f: SEVERITIES.index(f.severity)):
        where = [f"row {finding.first_row:,}"] if finding.first_row else []
        where += [f"at {format_time(finding.ts)}"] if finding.ts >= 0 else []
        place = f" [{', '.join(where)}]" if where else ""
        lines += wrapped(finding.severity, f"{finding.code}: {finding.words}{place}")
    return lines


def wrapped(severity: str, text: str) -> list[str]:
    """Return a finding in lines of at most `WIDTH` characters."""
    import textwrap

    shown = "".join(c if c.isprintable() else "?" for c in text)
    return textwrap.wrap(
        shown, WIDTH, initial_indent=f"  {severity:<7}", subsequent_indent=" " * 9, break_on_hyphens=False
    )
