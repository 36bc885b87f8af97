"""The pictures of a run: matplotlib's Figure on Agg, never pyplot: no window, no global state.

matplotlib is imported when the first picture is drawn. Colours are Okabe and Ito's, told apart by everyone.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from framework import metrics
from framework.report import Run
from framework.report.compare import number, visible
from framework.report.words import after_cutoff, is_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

INK, MUTED, GRID = "#1f2933", "#66717d", "#e4e8ec"
BLUE, ORANGE, GREEN, GREY = "#0a5fa5", "#c8500a", "#0b8a64", "#98a2ad"
STYLE: dict[str, Any] = {
    "font.size": 9.0, "text.color": INK, "text.parse_math": False, "axes.edgecolor": "#c3cad1",
    "axes.labelcolor": MUTED, "axes.titlecolor": INK, "axes.linewidth": 0.8, "axes.grid": True,
    "axes.axisbelow": True, "grid.color": GRID, "grid.linewidth": 0.8, "grid.linestyle": "-",
    "xtick.color": MUTED, "ytick.color": MUTED, "xtick.major.size": 0.0, "ytick.major.size": 0.0,
    "xtick.minor.size": 0.0, "ytick.minor.size": 0.0, "axes.spines.top": False, "axes.spines.right": False,
    "axes.spines.left": False, "axes.titlesize": 10.0, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.titlepad": 8.0, "axes.labelsize": 8.5, "legend.frameon": False,
    "legend.fontsize": 8.5, "figure.facecolor": "white", "axes.facecolor": "white",
    "lines.solid_joinstyle": "round", "axes.unicode_minus": True, "agg.path.chunksize": 0,
    "path.simplify": True, "axes.xmargin": 0.01,
}  # fmt: skip
FONTS = ("Inter", "Helvetica Neue", "Helvetica", "Arial", "Liberation Sans", "DejaVu Sans")
POINTS, MARKERS, PANELS = 2_000, 4_000, 3
DPI, STRIP = 150, 0.8  # dots an inch; height of the strip for the headings, inches
LOG_RANGE = 4.0  # a curve whose highest value is over 4 x its lowest is drawn on a log scale


def thin(values: Floats, limit: int = POINTS) -> NDArray[np.int64]:
    """Return at most `limit` ascending rows that keep both ends and each bucket's lowest and highest.

    `values` shape (n,), limit >= 4. The drawn line is the same as that of all rows, to the pixel's width.
    """
    n = len(values)
    if n <= limit:
        return np.arange(n)
    size = math.ceil(n / ((limit - 2) // 2))
    buckets = -(-n // size)
    padded = np.concatenate([values, np.full(buckets * size - n, values[-1])]).reshape(buckets, size)
    base = np.arange(buckets) * size
    rows = np.concatenate([[0, n - 1], base + padded.argmin(axis=1), base + padded.argmax(axis=1)])
    return np.unique(np.minimum(rows, n - 1))


def sign(side: object) -> int:
    """Return +1 for a long or buy, -1 for a short or sell, whichever way the table writes it."""
    return -1 if str(side).lower() in ("sell", "short", "-1") else 1


def trade_returns(trades: pl.DataFrame, manifest: Mapping[str, Any]) -> Floats:
    """Return net profit / entry notional of each trade; kind and multiplier are the manifest's."""
    found = manifest.get("instruments") or {}
    if not isinstance(found, Mapping):
        found = {str(row.get("id")): row for row in found if isinstance(row, Mapping)}
    rules = {name: row if isinstance(row, Mapping) else {} for name, row in found.items()}
    size = trades["qty"].abs().to_numpy().astype(np.float64)
    entry = trades["entry_price"].to_numpy().astype(np.float64)
    notional = size * entry
    names = trades["instrument"].cast(pl.String).to_numpy()
    for name, row in rules.items():
        here = names == name
        inverse = row.get("kind") == "inverse"
        notional[here] = (size / entry if inverse else size * entry)[here] * float(
            row.get("multiplier") or 1.0
        )
    return metrics.trade_returns(trades["pnl"].to_numpy(), notional)


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Draw in the house's style, and leave matplotlib's settings as they were."""
    import matplotlib as mpl
    from matplotlib import font_manager

    have = {font.name for font in font_manager.fontManager.ttflist}
    family = next((name for name in FONTS if name in have), "DejaVu Sans")
    with mpl.rc_context(cast("Any", {**STYLE, "font.family": [family]})):
        yield


def pictures(run: Run, headings: Sequence[str] = ()) -> dict[str, bytes]:
    """Return the PNG pictures of a run.

    "report" (with up to three lines of text over it), "summary" (the same without them) and, when there are
    trades with a return, "trades".
    """
    with styled():
        whole = pixels(_summary(run, headings))
        found = {"report": png(whole), "summary": png(whole[int(STRIP * DPI) :])}
        gains = trade_returns(run.trades, run.manifest)
        gains = gains[np.isfinite(gains)]
        if gains.size:
            found["trades"] = png(pixels(_histogram(100.0 * gains)))
    return found


def pixels(figure: Figure) -> NDArray[np.uint8]:
    """Return a figure as drawn, (height, width, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3]


def png(image: NDArray[np.uint8]) -> bytes:
    """Return pixels as a PNG file."""
    from PIL import Image  # matplotlib's own dependency

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, "PNG", compress_level=3)
    return file.getvalue()


def days(ts: Any) -> Floats:
    """Return ns as matplotlib's date numbers (days since 1970)."""
    return np.asarray(ts, dtype=np.int64) / metrics.DAY


def drawable(text: object, limit: int = 60) -> str:
    """Return text that any font can draw, cut at `limit` characters."""
    shown = visible(text)
    shown = shown if len(shown) <= limit else shown[: limit - 3] + "..."
    return "".join(c if c.isascii() or c in "·−–√×" else "?" for c in shown)


def _summary(run: Run, headings: Sequence[str]) -> Figure:
    """Equity against buy-and-hold, drawdown, and price with entries and exits of up to three instruments."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    names = run.price["instrument"].unique(maintain_order=True).to_list()
    panels = names[:PANELS] or [None]
    heights = [2.7, 1.35, *([2.7 if len(panels) == 1 else 2.1] * len(panels))]
    height = sum(heights) + 0.5 + STRIP
    layout = ConstrainedLayoutEngine(
        hspace=0.05, h_pad=0.06, w_pad=0.05, rect=(0.004, 0.0, 0.99, 1.0 - STRIP / height)
    )
    figure = Figure(figsize=(10.0, height), dpi=DPI, layout=layout)
    styles = ((INK, 10.5, "bold"), (INK, 9.0, "normal"), (ORANGE, 9.0, "bold"))
    figure.text(0.985, 1.0 - 0.69 / height, run.fingerprint[:16], color=MUTED, ha="right", in_layout=False)
    for line, (text, (colour, size, weight)) in enumerate(zip(headings, styles, strict=False)):
        y = 1.0 - (0.25 + 0.22 * line) / height
        figure.text(
            0.012,
            y,
            drawable(text, 120 if size > 10.0 else 170),
            color=colour,
            fontsize=size,
            fontweight=weight,
            in_layout=False,
        )
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    _equity(axes[0], run, names)
    _drawdown(axes[1], run)
    for axis, name in zip(axes[2:], panels, strict=True):
        _price(axis, run, name, of=len(names))
    dates(axes[-1])
    if after_cutoff(run) and run.split:
        for axis in axes:
            axis.axvline(run.split["boundary"] / metrics.DAY, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
        axes[0].set_title("Equity (dashed: the model's cutoff)")
    figure.align_ylabels(axes)
    return figure


def dates(axis: Axes) -> None:
    """Put UTC dates under an axis whose x are `days`."""
    from matplotlib import dates as mpl_dates

    made: Any = mpl_dates  # has no types
    locator = made.AutoDateLocator(minticks=4, maxticks=10, tz="UTC")
    formatter = made.ConciseDateFormatter(locator, tz="UTC")
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(formatter)
    axis.set_xlabel("time (UTC)")


def _money_axis(axis: Axes, *curves: Floats) -> None:
    """Thousands separators; a log scale, labelled in plain numbers, when a curve's range is large."""
    from matplotlib import ticker

    values = np.concatenate([curve[np.isfinite(curve)] for curve in curves] or [np.empty(0)])
    if values.size and values.min() > 0.0 and values.max() > LOG_RANGE * values.min():
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(ticker.FixedLocator(log_ticks(float(values.min()), float(values.max()))))
        axis.yaxis.set_minor_locator(ticker.NullLocator())
        axis.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: log_label(value)))
        axis.set_ylabel(axis.get_ylabel() + ", log scale")
        return
    else:
        axis.yaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    digits = max(0, 2 - math.floor(math.log10(np.ptp(values)))) if values.size and np.ptp(values) > 0.0 else 2
    places = 0 if values.size and np.ptp(values) >= 10.0 else digits
    axis.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: number(value, places)))


def log_ticks(low: float, high: float) -> list[float]:
    """Return round values of a log axis: as few as give at least four, at most nine; else evenly spaced."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)):
        every = [float(f"{step}e{n}") for n in exponents for step in steps]
        found = [value for value in every if low <= value <= high]
        if len(found) >= 4:
            break
    if len(found) < 2:
        step = 10.0 ** math.floor(math.log10(high - low))
        found = [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
        return found[:: math.ceil(len(found) / 5)]
    return found[:: math.ceil(len(found) / 9)]


def log_label(value: float) -> str:
    """Return a tick of a log axis with the decimals it needs."""
    return number(value, len(f"{value:.12f}".rstrip("0").partition(".")[2]))


def _equity(axis: Axes, run: Run, names: list[Any]) -> None:
    ts, values = days(run.equity["ts"].to_numpy()), run.equity["equity"].to_numpy()
    axis.set_title("Equity")
    axis.set_ylabel(drawable(run.manifest.get("settle") or "settlement currency", 20))
    curves = [values]
    prices = run.price.filter(pl.col("instrument") == names[0]) if names else run.price
    closes = prices["close"].to_numpy()
    if values.size and closes.size and closes[0] > 0.0:
        held = closes / closes[0] * _start(run, values)
        rows = thin(held)
        label = f"buy and hold {drawable(names[0])}"
        axis.plot(days(prices["ts"].to_numpy())[rows], held[rows], color=GREY, linewidth=1.0, label=label)
        curves.append(held)
    rows = thin(values)
    axis.plot(ts[rows], values[rows], color=BLUE, linewidth=1.4, label="strategy")
    _money_axis(axis, *curves)
    handles, labels = axis.get_legend_handles_labels()
    axis.legend(
        handles[::-1], labels[::-1], loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=2, borderpad=0.0
    )


def _start(run: Run, values: Floats) -> float:
    start = run.metrics.get("start_equity")
    return float(start) if isinstance(start, int | float) and start > 0.0 else float(values[0])


def _drawdown(axis: Axes, run: Run) -> None:
    from matplotlib import ticker

    values = run.equity["equity"].to_numpy()
    axis.set_title("Drawdown")
    axis.set_ylabel("% of the peak")
    axis.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.4g}".replace("-", "−")))
    axis.yaxis.set_major_locator(ticker.MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    if not values.size:
        return
    falls = 100.0 * metrics.drawdowns(np.concatenate(([_start(run, values)], values)))[1:]
    rows = thin(falls)
    ts = days(run.equity["ts"].to_numpy())
    axis.fill_between(ts[rows], falls[rows], 0.0, color=ORANGE, alpha=0.22, linewidth=0.0)
    axis.plot(ts[rows], falls[rows], color=ORANGE, linewidth=0.8)
    axis.set_ylim(min(float(np.nanmin(falls)) * 1.05, -0.001 if is_ticks(run) else -1.0), 0.0)


def _price(axis: Axes, run: Run, name: Any, of: int) -> None:
    axis.set_ylabel("price")
    if name is None:
        axis.set_title("Price (not recorded)")
        return
    prices = run.price.filter(pl.col("instrument") == name)
    closes = prices["close"].to_numpy()
    rows = thin(closes)
    axis.plot(days(prices["ts"].to_numpy())[rows], closes[rows], color="#7b8794", linewidth=0.8, zorder=1)
    _money_axis(axis, closes)
    trades = run.trades.filter(pl.col("instrument").cast(pl.String) == str(name))
    shown = trades[:: math.ceil(trades.height / MARKERS)] if trades.height > MARKERS else trades
    size = float(np.clip(8.5 - 1.6 * math.log10(shown.height + 1), 3.0, 6.5))
    longs = np.array([sign(side) > 0 for side in shown["side"].to_list()], dtype=bool)
    entry_ts, entry = days(shown["entry_ts"].to_numpy()), shown["entry_price"].to_numpy()
    style: dict[str, Any] = {
        "linestyle": "none",
        "markeredgewidth": 0.4,
        "markeredgecolor": "white",
        "markersize": size,
        "alpha": 0.9,
    }
    hollow = {
        **style,
        "markerfacecolor": "none",
        "markeredgecolor": INK,
        "markeredgewidth": 0.7,
        "alpha": 0.7,
    }
    axis.plot(days(shown["exit_ts"].to_numpy()), shown["exit_price"].to_numpy(), marker="o", label="exit",
              **{**hollow, "markersize": 0.75 * size})  # fmt: skip
    axis.plot(entry_ts[longs], entry[longs], marker="^", color=GREEN, label="long entry", **style)
    axis.plot(entry_ts[~longs], entry[~longs], marker="v", color=ORANGE, label="short entry", **style)
    part = "" if shown.height == trades.height else f", {shown.height:,} of {trades.height:,} trades drawn"
    more = f" (first {PANELS} of {of} instruments)" if of > PANELS else ""
    axis.set_title(f"Price and trades · {drawable(name)}{more}{part}")
    if trades.height:
        axis.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=3, borderpad=0.0, handletextpad=0.2)


def _histogram(gains: Floats) -> Figure:
    """Net returns of the trades in percent; the outermost 0.5 % on each side counted in words, not drawn."""
    from matplotlib import ticker
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 2.9), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    low, high = np.percentile(gains, [0.5, 99.5]) if gains.size > 200 else (np.min(gains), np.max(gains))
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    step = ((high - low) or 1.0) / min(50, max(8, int(2 * math.sqrt(gains.size))))
    edges = step * np.arange(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)
    edges = edges if edges.size > 1 else np.array([-step, 0.0, step])
    counts = np.histogram(gains, bins=edges)[0]
    colours = [ORANGE if left < -1e-12 else BLUE for left in edges[:-1]]
    axis.bar(edges[:-1], counts, width=0.92 * step, align="edge", color=colours, linewidth=0.0)
    mean = float(gains.mean())
    axis.axvline(0.0, color=INK, linewidth=0.8)
    axis.axvline(mean, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    outside = gains.size - int(counts.sum())
    axis.set_title(f"{gains.size:,} trades, mean {mean:+.3f} %".replace("-", "−"))
    axis.set_xlabel("net return of a trade (%)" + (f"; {outside:,} farther out" if outside else ""))
    axis.set_ylabel("trades")
    axis.grid(visible=False, axis="x")
    axis.yaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    axis.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axis.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.4g}".replace("-", "−")))
    return figure
