"""The doctor's picture: when each file has rows, the prices, and how late rows arrive; troubles marked."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from framework.data.checks import REFUSE, WARN
from framework.data.doctor_rows import SLOTS
from framework.times import DAY, MICROSECOND, format_time

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from framework.data.doctor import Checkup, Missing
    from framework.data.doctor_exam import Exam

Rows = NDArray[Any]
INK, MUTED, GRID = "#1f2933", "#66717d", "#e4e8ec"
COLOURS = {
    "incremental_book_L2": "#0a5fa5", "book_snapshot_25": "#0a5fa5", "book_snapshot_5": "#0a5fa5",
    "quotes": "#5b8fc0", "book_ticker": "#5b8fc0", "trades": "#0b8a64", "liquidations": "#8a6d0b",
    "derivative_ticker": "#7a5195",
}  # fmt: skip
BAD = {REFUSE: "#b3261e", WARN: "#c8500a"}
STYLE: dict[str, Any] = {
    "font.size": 9.0, "text.color": INK, "text.parse_math": False, "axes.edgecolor": "#c3cad1",
    "axes.labelcolor": MUTED, "axes.titlecolor": INK, "axes.linewidth": 0.8, "axes.grid": True,
    "axes.axisbelow": True, "grid.color": GRID, "grid.linewidth": 0.8, "xtick.color": MUTED,
    "ytick.color": MUTED, "xtick.major.size": 0.0, "ytick.major.size": 0.0, "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0, "axes.spines.top": False, "axes.spines.right": False,
    "axes.spines.left": False, "axes.titlesize": 10.0, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.titlepad": 8.0, "axes.labelsize": 8.5, "legend.frameon": False,
    "legend.fontsize": 8.0, "figure.facecolor": "white", "font.family": ["DejaVu Sans"],
}  # fmt: skip
DAY_US = DAY // MICROSECOND
SLOT = DAY_US // SLOTS
DPI, COLUMNS = 130, 700  # dots an inch; steps of a lane
PALE = "#f3d6cf"


def picture(done: Checkup) -> bytes:
    """Return the picture of a checkup as a PNG file.

    One instrument is drawn: the first; its files by lane and day, best bid and ask with spread, latency.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with styled():
        figure = draw(done)
        file = io.BytesIO()
        cast("Any", FigureCanvasAgg(figure)).print_png(file, metadata={"Software": None})
    return file.getvalue()


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the house's style and leave matplotlib's settings as they were."""
    import matplotlib as mpl

    with mpl.rc_context(cast("Any", STYLE)):
        yield


def draw(done: Checkup) -> Figure:
    """Draw the panels that there is something for."""
    from matplotlib.figure import Figure

    exams, name = chosen(done)
    lanes = sorted({exam.kind for exam in exams}, key=list(COLOURS).index)
    curves = [exam for exam in exams if exam.curve]
    times = [exam for exam in exams if exam.rows and exam.latency[0]]
    spread = bool(curves)
    heights = [0.5 + 0.34 * len(lanes), *([2.0, 1.1] if spread else []), *([1.8] if times else [])]
    figure = Figure(figsize=(11, sum(heights) + 1.3), dpi=DPI, layout="constrained")
    axes = iter(figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0])
    low, high = span(exams)
    figure.suptitle(f"{drawable(name)}   {heading(done)}", x=0.01, ha="left", fontsize=12, fontweight="bold")
    who = {(exam.source.venue, exam.source.symbol) for exam in exams}
    gone = [one for one in done.missing if (one.venue, one.symbol) in who]
    first = next(axes)
    coverage(first, exams, lanes, gone)
    last = first
    if spread:
        best = min({exam.kind for exam in curves}, key=list(COLOURS).index)
        last = next(axes)
        prices(last, [exam for exam in curves if exam.kind == best])
        last = next(axes)
        spreads(last, [exam for exam in curves if exam.kind == best])
    if times:
        last = next(axes)
        latency(last, times, lanes)
    clock_axis(last, low, high)
    return figure


def chosen(done: Checkup) -> tuple[list[Exam], str]:
    """Return the files of the first instrument with rows, and its id."""
    first = next((exam for exam in done.exams if exam.rows), done.exams[0] if done.exams else None)
    if first is None:
        return [], "nothing"
    who = (first.source.venue, first.source.symbol)
    exams = [exam for exam in done.exams if (exam.source.venue, exam.source.symbol) == who]
    rest = len({(e.source.venue, e.source.symbol) for e in done.exams}) - 1
    return exams, ":".join(who) + (f" (and {rest} more)" if rest else "")


def heading(done: Checkup) -> str:
    """Return the verdict and the count of what was found."""
    found = [finding.severity for exam in done.exams for finding in exam.findings]
    found += [one.finding.severity for one in done.missing]
    words = ", ".join(f"{found.count(word)} {word}" for word in (REFUSE, WARN) if word in found)
    return f"{done.verdict}{': ' + words if words else ''}"


def drawable(text: str) -> str:
    """Return a text any font can draw, and not too long."""
    shown = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def span(exams: list[Exam]) -> tuple[float, float]:
    """Return the first and last moment with rows, in days."""
    have = [exam for exam in exams if exam.rows]
    if not have:
        days = [exam.day_us for exam in exams] or [0]
        return min(days) / DAY_US, (max(days) + DAY_US) / DAY_US
    low, high = min(e.first for e in have), max(e.last for e in have)
    return low / DAY_US, max(high, low + 1_000_000) / DAY_US


def coverage(ax: Axes, exams: list[Exam], lanes: list[str], gone: list[Missing]) -> None:
    """Draw a lane for each kind: darker where more rows are; gaps and findings on it."""
    from matplotlib.colors import LinearSegmentedColormap

    wide = max((sum(exam.last - exam.first for exam in exams if exam.kind == lanes[0])) // SLOT // COLUMNS, 1)
    for exam in exams:
        y = len(lanes) - 1 - lanes.index(exam.kind)
        if not exam.rows:
            colour = BAD[REFUSE if exam.verdict == REFUSE else WARN]
            nothing(ax, y, exam.day_us, 1, colour)
            continue
        group = max(wide, int(2 * (exam.last - exam.first) / exam.rows) // SLOT + 1)
        low, high = (exam.first - exam.day_us) // SLOT, (exam.last - exam.day_us) // SLOT + 1
        counts = grouped(exam.clock.slots[max(low, 0) : min(high, SLOTS)], group)
        shade = np.log1p(counts) / max(np.log1p(counts.max(initial=0)), 1e-9)
        fade = LinearSegmentedColormap.from_list("lane", ["#ffffff", COLOURS[exam.kind]])
        left, right = (exam.day_us + low * SLOT) / DAY_US, (exam.day_us + high * SLOT) / DAY_US
        ax.imshow(
            np.where(counts > 0, 0.25 + 0.75 * shade, 0.0)[None, :], aspect="auto", cmap=fade, vmin=0, vmax=1,
            extent=(left, right, y - 0.31, y + 0.31), interpolation="nearest", zorder=2,
        )  # fmt: skip
        for start, end in exam.silences:
            ax.barh(y, (end - start) / DAY_US, left=start / DAY_US, height=0.62, color=PALE, lw=0, zorder=3)
        marks(ax, exam, y)
    for one in gone:
        nothing(ax, len(lanes) - 1 - lanes.index(one.kind), one.day // MICROSECOND, one.finding.count, MUTED)
    ax.set_yticks(range(len(lanes)), [f"{kind}  {rows_of(exams, kind)}" for kind in reversed(lanes)])
    ax.set_ylim(-0.6, len(lanes) - 0.4)
    ax.grid(visible=False, axis="y")
    ax.set_title("Rows in time (triangle: finding, pink: silence, hatched: no rows, red: refused)")


def grouped(slots: Rows, size: int) -> Rows:
    """Return the mean of every `size` slots."""
    starts = np.arange(0, len(slots), size)
    return np.asarray(np.add.reduceat(slots, starts) / np.diff([*starts, len(slots)]))


def nothing(ax: Axes, y: int, start: int, days: int, colour: str) -> None:
    """Hatch days without rows."""
    ax.barh(y, days, left=start / DAY_US, height=0.62, color="#faf3f1", hatch="////", edgecolor=colour, lw=0)


def rows_of(exams: list[Exam], kind: str) -> str:
    """Return how many rows of a kind were read."""
    return f"{sum(exam.rows for exam in exams if exam.kind == kind):,}"


def marks(ax: Axes, exam: Exam, y: int) -> None:
    """Draw a mark where a finding begins."""
    for severity, colour in BAD.items():
        at = [
            f.ts / DAY for f in exam.findings
            if f.severity == severity and f.ts > 0 and f.code not in ("partial_day", "gap")
        ]  # fmt: skip
        if at:
            ax.plot(at, [y + 0.4] * len(at), "v", color=colour, markersize=5, clip_on=False, zorder=5)


def prices(ax: Axes, exams: list[Exam]) -> None:
    """Draw the mid price."""
    for exam in exams:
        mid = (exam.curve["bid"] + exam.curve["ask"]) / 2
        ax.plot(exam.curve["ts"] / DAY_US, mid, color=COLOURS[exam.kind], lw=1.1)
        silence(ax, exam)
    ax.set_title(f"Mid price of {exams[0].kind}")
    ax.ticklabel_format(axis="y", useOffset=False, style="plain")


def spreads(ax: Axes, exams: list[Exam]) -> None:
    """Draw the spread in basis points; crossed and locked moments in red."""
    for exam in exams:
        bid, ask = exam.curve["bid"], exam.curve["ask"]
        with np.errstate(invalid="ignore"):
            bps = 1e4 * (ask - bid) / ((ask + bid) / 2)
        days = exam.curve["ts"] / DAY_US
        ax.plot(days, bps, color=MUTED, lw=0.9, drawstyle="steps-post")
        with np.errstate(invalid="ignore"):
            crossed = bps <= 0
        ax.plot(days[crossed], bps[crossed], ".", color=BAD[REFUSE], markersize=4)
        silence(ax, exam)
    ax.set_title("Spread, bps (red: crossed or locked)")


def silence(ax: Axes, exam: Exam) -> None:
    """Shade the times without rows."""
    for start, end in exam.silences:
        ax.axvspan(start / DAY_US, end / DAY_US, color=PALE, lw=0, zorder=0)


def latency(ax: Axes, exams: list[Exam], lanes: list[str]) -> None:
    """Draw 1 %, 50 % and 99 % of the time from exchange to arrival, minute by minute."""
    seen: set[str] = set()
    for exam in sorted(exams, key=lambda e: lanes.index(e.kind)):
        times, quantiles = exam.latency
        days = np.array(times) / DAY_US
        low, middle, high = (np.array(quantiles).T / 1e3).tolist()
        if not any(middle):
            continue
        colour = COLOURS[exam.kind]
        label = None if exam.kind in seen else exam.kind
        style = {"marker": "o", "markersize": 2.5} if len(times) < 60 else {}
        ax.fill_between(days, low, high, color=colour, alpha=0.13, lw=0)
        ax.plot(days, middle, color=colour, lw=1.2, label=label, **cast("Any", style))
        seen.add(exam.kind)
    ax.set_yscale("symlog", linthresh=10.0)
    ax.axhline(0.0, color="#c3cad1", lw=0.8, zorder=1)
    ax.yaxis.set_major_formatter(lambda v, _: f"{v:g}")
    ax.set_title("Latency, ms: half of the rows (line), 1 % to 99 % (shade)")
    if seen:
        ax.legend(loc="upper right", ncols=len(seen))


def clock_axis(ax: Axes, low: float, high: float) -> None:
    """Label the time axis."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = cast("Any", AutoDateLocator)(minticks=4, maxticks=9)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(cast("Any", ConciseDateFormatter)(locator))
    room = 0.01 * (high - low)
    ax.set_xlim(low - room, high + room)
    ax.set_xlabel(f"UTC, {format_time(int(low * DAY_US) * MICROSECOND)[:10]}", loc="left")
