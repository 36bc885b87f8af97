"""How a run on ticks was executed: the figures and pictures of its page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from framework.report import Run, compare, plots
from framework.report.compare import show, visible
from framework.report.definitions import AFTER, ROLES
from framework.report.plots import BLUE, GREY, INK, ORANGE, PANELS
from framework.report.words import is_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
COLOURS = {"maker": BLUE, "taker": ORANGE}
SECONDS = {"100ms": 0.1, "1s": 1.0, "5s": 5.0, "10s": 10.0}


def section(run: Run) -> dict[str, Any] | None:
    """Return what the section on execution shows; None for a run on candles."""
    if not is_ticks(run):
        return None
    rows = [
        {"label": one.label, "text": one.text, "value": show(name, value)}
        for name, value in run.metrics.items()
        if (one := compare.define(name)).group == "Execution" and not name.startswith("move_")
    ]
    return {"figures": rows, "roles": ROLES, "moves": moves(run), "waits": len(waits(run))}


def moves(run: Run) -> list[tuple[str, list[str]]]:
    """Return (time after the fill, mean bps, t and mean money of makers, the same of takers) as printed."""
    names = [(after, [f"move_{after}_{role}_{end}" for role in ROLES for end in ("bps", "t", "money")])
             for after in AFTER]  # fmt: skip
    return [
        (compare.span(SECONDS[after] * 1e9), [show(n, run.metrics.get(n)).removesuffix(" bps") for n in row])
        for after, row in names
    ]


def waits(run: Run) -> Floats:
    """Return seconds from arrival to first fill of the orders whose first fill was a maker's."""
    first = run.fills.group_by("order_id", maintain_order=True).first().filter(pl.col("maker"))
    both = first.join(run.orders.select("id", "arrival_ts"), left_on="order_id", right_on="id")
    return (both["ts"] - both["arrival_ts"]).to_numpy().astype(np.float64) / 1e9


def pictures(run: Run) -> dict[str, bytes]:
    """Return the PNG pictures of a run on ticks: "inventory" (and spreads) over time, and "after" fills."""
    if not is_ticks(run):
        return {}
    with plots.styled():
        return {
            "inventory": plots.png(plots.pixels(_over_time(run))),
            "after": plots.png(plots.pixels(_after(run))),
        }


def _over_time(run: Run) -> Figure:
    """Position of up to three instruments and the spreads of the first with a book, over time."""
    from matplotlib.figure import Figure

    names = run.price["instrument"].unique(maintain_order=True).to_list()
    shown = names[:PANELS] or [""]
    rows = len(shown) + 1
    figure = Figure(figsize=(10.0, 0.5 + 1.75 * rows), dpi=plots.DPI, layout="constrained")
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    for k, (axis, name) in enumerate(zip(axes, shown, strict=False)):
        column = f"position:{name}" if k else "position"
        more = f" · {plots.drawable(name)}" if len(names) > 1 else ""
        _inventory(axis, run, column if column in run.equity.columns else "position", more)
    _spreads(axes[-1], run)
    plots.dates(axes[-1])
    figure.align_ylabels(axes)
    return figure


def _inventory(axis: Axes, run: Run, column: str, more: str) -> None:
    ts, values = plots.days(run.equity["ts"].to_numpy()), run.equity[column].to_numpy()
    axis.set_title("Inventory" + more)
    axis.set_ylabel("position")
    rows = plots.thin(values)
    axis.axhline(0.0, color=INK, linewidth=0.8)
    axis.fill_between(ts[rows], values[rows], 0.0, step="post", color=BLUE, alpha=0.2, linewidth=0.0)
    axis.step(ts[rows], values[rows], where="post", color=BLUE, linewidth=0.9)
    _plain_numbers(axis)


def _spreads(axis: Axes, run: Run) -> None:
    """The own spread over the market's; each point is a mean over time."""
    axis.set_title("Spread")
    axis.set_ylabel("price")
    frame = run.price
    if {"spread", "quoted"} <= set(frame.columns):
        with_book = frame.filter(pl.col("spread").is_finite())["instrument"]
        frame = frame.filter(pl.col("instrument") == (with_book[0] if with_book.len() else ""))
    if not frame.height or "spread" not in frame.columns:
        axis.set_title("Spread (no book was recorded)")
        return
    frame = _coarse(frame)
    ts = plots.days(frame["ts"].to_numpy())
    axis.plot(ts, frame["spread"].to_numpy(), color=GREY, linewidth=1.0, label="market")
    axis.plot(ts, frame["quoted"].to_numpy(), color=BLUE, linewidth=1.0, label="own bid to own ask")
    axis.set_ylim(bottom=0.0)
    axis.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=2, borderpad=0.0)
    _plain_numbers(axis)


def _coarse(frame: pl.DataFrame, points: int = 400) -> pl.DataFrame:
    """Return means of a few rows each: a line and not a band."""
    size = math.ceil(frame.height / points)
    parts = frame.select("ts", pl.col("spread", "quoted").fill_nan(None)).group_by(
        pl.int_range(pl.len()) // size, maintain_order=True
    )
    return parts.agg(pl.col("ts").last(), pl.col("spread", "quoted").mean()).fill_null(math.nan)


def _after(run: Run) -> Figure:
    """Mean move of the mid after fills, and how long makers waited."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 6.0), dpi=plots.DPI, layout="constrained")
    upper, lower = figure.subplots(2, 1)
    _moves(upper, run)
    _waits(lower, waits(run))
    return figure


def _moves(axis: Axes, run: Run) -> None:
    """Mean signed move with its standard error at each time after the fill."""
    axis.set_title("Mid after a fill, in its favour")
    axis.set_ylabel("bps")
    axis.set_xlabel("time after the fill")
    axis.axhline(0.0, color=INK, linewidth=0.8)
    x = np.arange(len(AFTER))
    axis.set_xticks(x, [compare.span(SECONDS[after] * 1e9) for after in AFTER])
    axis.set_xlim(-0.3, len(AFTER) - 0.7)
    for role, shift in zip(ROLES, (-0.06, 0.06), strict=True):
        mean, t = (
            np.array([_number(run, f"move_{after}_{role}_{end}") for after in AFTER]) for end in ("bps", "t")
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.where(np.isfinite(t) & (t != 0.0), np.abs(mean / t), 0.0)
        if np.isfinite(mean).any():
            axis.errorbar(
                x + shift, mean, yerr=error, color=COLOURS[role], marker="o", markersize=4.5, linewidth=1.2,
                capsize=2.5, label=f"{role} (± standard error)",
            )  # fmt: skip
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc="best")
    else:
        axis.set_title("Mid after a fill (no fill, or no data after it)")
    _plain_numbers(axis)


def _number(run: Run, name: str) -> float:
    value = run.metrics.get(name)
    return float(value) if isinstance(value, int | float) else math.nan


def _waits(axis: Axes, seconds: Floats) -> None:
    """How long it took from arrival to first fill, on a log scale: waits range over many powers of ten."""
    from matplotlib import ticker

    axis.set_title("Queue wait of maker orders")
    axis.set_xlabel("arrival to first fill")
    axis.set_ylabel("orders")
    axis.grid(visible=False, axis="x")
    if not seconds.size:
        axis.set_title("Queue wait (no order was filled as maker)")
        axis.set_yticks([])
        axis.set_xticks([])
        return
    powers = np.log10(np.maximum(seconds, 1e-6))
    low, high = math.floor(float(powers.min()) * 4) / 4, math.ceil(float(powers.max()) * 4 + 1e-9) / 4
    edges = np.arange(low, max(high, low + 0.25) + 0.01, 0.25 if high - low > 2 else 0.125)
    counts = np.histogram(powers, edges)[0]
    axis.bar(edges[:-1], counts, width=0.92 * np.diff(edges), align="edge", color=BLUE)
    middle = float(np.median(seconds))
    axis.axvline(math.log10(max(middle, 1e-6)), color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    axis.set_title(f"{seconds.size:,} maker orders, median wait {compare.span(middle * 1e9)}")
    axis.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
    axis.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: _power(value)))
    axis.yaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))


def _power(value: float) -> str:
    """Return 10^value seconds in words."""
    at = 10.0**value
    return f"{at * 1e6:,.3g} µs" if at < 0.999e-3 else compare.span(at * 1e9)


def _plain_numbers(axis: Axes) -> None:
    from matplotlib import ticker

    axis.yaxis.set_major_locator(ticker.MaxNLocator(5))
    axis.yaxis.set_major_formatter(
        ticker.FuncFormatter(lambda value, _: visible(f"{value:,.6g}".replace("-", "−")))
    )


__all__ = ["moves", "pictures", "section", "waits"]
