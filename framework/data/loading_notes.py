"""What is said of stored days when they are loaded, as the lines of a market's remarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from framework.data.notes import book_lines, changed_line, deal_lines, gap_lines, several, short_day
from framework.data.pack import Pack
from framework.data.reader import SILENCE, Counts
from framework.data.schema import TickFile
from framework.times import DAY, MICROSECOND, format_time


def missing_lines(label: str, days: Sequence[int]) -> list[str]:
    """Return a line that names the days that are not stored, runs of them by their ends."""
    if not days:
        return []
    ends = [i for i, (a, b) in enumerate(pairwise(days), 1) if b - a != DAY]
    runs = [(days[a], days[b - 1]) for a, b in pairwise([0, *ends, len(days)])]
    words = ", ".join(date(a) if a == b else f"{date(a)} .. {date(b)}" for a, b in runs)
    return [f"{label}: not in the store: {words} ({several(len(days), 'day')})"]


def date(day: int) -> str:
    """Return a day as a date."""
    return format_time(day)[:10]


def day_lines(label: str, part: Any) -> list[str]:
    """Return what is to be said of one stored day: that it is empty, or what its maker said of it."""
    if not part.rows:
        return [f"{label}: {date(part.day)} is empty, a day without data"]
    file = TickFile(Path(part.source or part.path), part.kind, part.day, None)
    lines = short_day(label, file, part.first // MICROSECOND, part.last // MICROSECOND)
    return lines + [f"{label} {date(part.day)}: {line}" for line in part.remarks]


def pack_lines(label: str, packs: Sequence[Pack], seams: Mapping[str, int] | None = None) -> list[str]:
    """Return what was left out, changed and removed in a stream, as one pass over its files says it."""
    total: dict[str, int] = dict(seams or {})
    for pack in packs:
        for name, count in pack.label.counts.items():
            total[name] = total.get(name, 0) + count
    lines = time_lines(label, [pack.label.counts for pack in packs])
    if packs and packs[0].label.kind in ("trades", "liquidations"):
        return lines + deal_lines(label, total)
    if "one_sided" in total:
        lines += book_lines(label, total)
    return lines


def time_lines(label: str, days: Sequence[Mapping[str, int]]) -> list[str]:
    """Return what is odd about the times of a stream's days, told by the counts of each."""
    counts = Counts()
    last = 0
    for said in days:
        if not said.get("rows"):
            continue
        counts.rows += said["rows"]
        counts.changed += said["changed"]
        counts.ahead, counts.back = max(counts.ahead, said["ahead"]), max(counts.back, said["back"])
        seam = said["first"] - last if last else 0
        if seam > SILENCE // MICROSECOND:
            add_gaps(counts, 1, seam, last)
        add_gaps(counts, said["gaps"], said["gap"], said["gap_at"])
        last = said["last"]
    lines = [changed_line(label, counts)] if counts.changed else []
    return lines + gap_lines(label, counts)


def add_gaps(counts: Counts, gaps: int, longest: int, at: int) -> None:
    """Add silences, the longest of them with its begin (us)."""
    counts.gaps += gaps
    if longest > counts.gap:
        counts.gap, counts.gap_at = longest, at


__all__ = ["day_lines", "missing_lines", "pack_lines"]
