"""What was counted while reading, as the lines of a market's remarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from framework.data.reader import SILENCE, Counts
from framework.data.schema import TickFile, missing_days
from framework.times import DAY, MICROSECOND, SECOND, format_time

SKEW = 0.01  # share of rows with a changed exchange time above which a clock is doubtful


def several(count: int, one: str, more: str | None = None) -> str:
    """Return a count with its noun."""
    return f"{count} {one}" if count == 1 else f"{count} {more or one + 's'}"


def stream_lines(
    label: str, files: Sequence[TickFile], every: Sequence[TickFile], counts: Counts
) -> list[str]:
    """Return what was seen in the files of one stream; `every` are the files of all streams."""
    lines = [f"{label}: {file.path.name} is empty, a day without data" for file in counts.empty]
    lines += [f"{label}: there is no file of {format_time(day)[:10]}" for day in missing_days(files, every)]
    lines += [line for file, first, last in counts.spans for line in short_day(label, file, first, last)]
    if counts.changed:
        lines.append(changed_line(label, counts))
    return lines + gap_lines(label, counts)


def gap_lines(label: str, counts: Counts) -> list[str]:
    """Return a line when there were long times without a row."""
    if not counts.gaps:
        return []
    at = format_time(counts.gap_at * MICROSECOND)
    return [
        f"{label}: {several(counts.gaps, 'gap')} of more than {SILENCE // SECOND} s without a row, the "
        f"longest {counts.gap / 1e6:.1f} s from {at}"
    ]


def short_day(label: str, file: TickFile, first: int, last: int) -> list[str]:
    """Return a line when the rows of a day file begin late or end early."""
    if file.day is None:
        return []
    low, high = first * MICROSECOND, last * MICROSECOND
    if low - file.day <= SILENCE and file.day + DAY - high <= SILENCE:
        return []
    day, a, b = format_time(file.day)[:10], format_time(low)[11:], format_time(high)[11:]
    return [f"{label}: the file of {day} has rows from {a} to {b} only"]


def changed_line(label: str, counts: Counts) -> str:
    """Return how many exchange times were changed, with a warning when they are many."""
    share = counts.changed / counts.rows
    line = (
        f"{label}: exchange time changed in {counts.changed} of {counts.rows} rows (never back, never after "
        "arrival)"
    )
    if share <= SKEW:
        return line
    ahead, back = counts.ahead / 1e3, counts.back / 1e3
    return (
        f"{line}: more than 1 %, a doubtful clock: up to {max(ahead, 0.0):g} ms ahead of the local clock, "
        f"up to {max(back, 0.0):g} ms back"
    )


def deal_lines(label: str, counts: Mapping[str, int]) -> list[str]:
    """Return what was left out of trades or liquidations."""
    lines = []
    if counts["repeated"]:
        other = f", {counts['other']} of them with other content" if counts["other"] else ""
        lines.append(f"{label}: {several(counts['repeated'], 'row')} with a repeated id left out{other}")
    if counts["unnamed"]:
        rows = several(counts["unnamed"], "row")
        lines.append(f"{label}: {rows} without an id equal to the row above, kept")
    if counts["zero"]:
        lines.append(f"{label}: {several(counts['zero'], 'row')} of amount 0 left out")
    return lines


def book_lines(label: str, counts: Mapping[str, int]) -> list[str]:
    """Return what was skipped and removed while a book was built."""
    lines = []
    if counts.get("skipped"):
        lines.append(f"{label}: {several(counts['skipped'], 'row')} before the first snapshot skipped")
    if counts["one_sided"]:
        what = several(counts["one_sided"], "snapshot" if "snapshots" in counts else "row")
        lines.append(f"{label}: {what} with an empty side")
    if counts["crossed"]:
        levels = several(counts["crossed"], "level")
        lines.append(f"{label}: {levels} removed where bid and ask crossed or locked")
    return lines
