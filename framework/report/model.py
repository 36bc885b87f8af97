"""What the page says of who decided: baselines, both sides of the cutoff, calibration, latency and cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from framework.report import Run, compare, plots
from framework.report.compare import MISSING, cost, number, show, span, when
from framework.report.plots import BLUE, GREY, INK, MUTED, ORANGE
from framework.report.words import after_cutoff, is_model

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
FIGURES = ("total_return", "sharpe", "max_drawdown")
SIDES = ("before", "after")
ROWS = {  # name in `Result.baselines`: label and what it is
    "run": ("This run", "As it was decided."),
    "latency 0": ("Latency 0", "Every answer arrives when it is asked for: what waiting cost."),
    "rules": ("Rules only", "The offline Rules answer the same questions: what the model adds to them."),
    "shuffled": ("Shuffled decisions", "The same answers at one another's times: what is left of it."),
    "hold": ("Buy and hold", "All equity in the first instrument from the start, with this run's costs."),
}
CALLS = ("Move of a call", "Until the next question, in its favour, before costs.")
SPLIT = (  # of one side of the cutoff: figure, label, what it is
    ("total_return", "Total return", "Of the account on that side."),
    ("sharpe", "Sharpe ratio", "Of daily returns, × √365."),
    ("max_drawdown", "Max drawdown", "From a peak on that side."),
    ("trades", "Trades", "Entered on that side."),
    ("right", "Right calls", "Longs and shorts whose way the price went until the next question."),
    ("move", *CALLS),
)  # fmt: skip


# ---- words
def percent(value: Any) -> str:
    """Return a fraction as `12.34 %`."""
    return show("total_return", value)


def figure(name: str, value: Any) -> str:
    """Return a figure of one side as printed; moves in bps."""
    if name in ("move", "decay"):
        text = number(1e4 * value)
        return text if text == MISSING else f"{text} bps"
    return percent(value) if name == "right" else show(name, value)


def usd(value: Any) -> str:
    """Return money paid for answers."""
    return MISSING if value is None or not math.isfinite(value) else f"${cost(float(value))}"


def reach(row: Mapping[str, Any], name: str) -> str:
    """Return the 95 % interval of a figure; nothing where there is none."""
    return between(name, row.get(f"{name}_low", math.nan), row.get(f"{name}_high", math.nan))


def between(name: str, low: float, high: float) -> str:
    """Return two values of a figure with their unit once; nothing where one is undefined."""
    if not math.isfinite(low + high):
        return ""
    first = figure(name, low).partition(" ")[0]
    return f"{first} to {figure(name, high)}"


def reading(split: Mapping[str, Any]) -> str:
    """Return in plain words what the comparison of both sides says."""
    if not split["after"]:
        return (
            "Nothing was decided after the model's cutoff, or nobody knows it: whatever it knew and whatever "
            "it remembered look the same here."
        )
    if not split["before"]:
        return "Every decision lies after the model's cutoff: it cannot have read about them."
    if not math.isfinite(split["decay"]):
        return "Too few calls on one side to compare them."
    size = f"{figure('decay', abs(split['decay']))} (95 %: {reach(split, 'decay')}, before − after)"
    if split["decay_low"] > 0.0:
        return f"Calls before the cutoff were better by {size}: what the model remembers may be why."
    if split["decay_high"] < 0.0:
        return f"Calls after the cutoff were better by {size}: no sign of memory."
    return f"Calls before and after differ by {size}, which chance explains: no sign of memory, and no proof."


def calls_of(run: Run) -> tuple[str, Mapping[str, Any]]:
    """Return which calls are judged first, in words, and their calibration: those after the cutoff."""
    found = run.calibration or {}
    if found.get("after") and found.get("before"):
        return "after the cutoff", found["after"]
    return ("in-sample" if found.get("before") else "all"), found.get("all") or {}


def answered(run: Run) -> pl.DataFrame:
    """Return the decisions that were answered."""
    return run.decisions.filter(pl.col("status") != "missing")


def cards(run: Run) -> list[dict[str, str]]:
    """Return coverage, right calls, Brier score, answer time, booked and spent money."""
    frame, said = run.decisions, answered(run)
    valid = int((frame["status"] == "ok").sum())
    ns = said["latency_ns"].to_numpy() if said.height else np.zeros(0)
    late = np.percentile(ns, 95) if ns.size else math.nan
    found = [
        ("Decision coverage", percent(valid / frame.height), f"{valid:,} of {frame.height:,} valid"),
        ("Answer after", span(float(np.median(ns)) if ns.size else None), f"95 % within {span(late)}"),
    ]
    if not is_model(run):
        found[1] = (*found[1][:2], "stated, not measured")
        return [{"label": label, "value": value, "below": below} for label, value, below in found]
    which, calls = calls_of(run)
    if calls:
        same = "a constant guess" if calls["skill"] <= 0.0 else "below that of a constant"
        found[1:1] = [
            ("Right calls", percent(calls["right"]), f"of {calls['n']:,} calls, {which}"),
            ("Brier score", number(calls["brier"], 4), f"{same}: {number(calls['constant'], 4)}"),
        ]
    found += [
        ("Booked", usd(float(frame["cost"].sum())), "into the P&L, for every answer"),
        ("Spent", usd(run.spent), "real money, by this run"),
    ]
    return [{"label": label, "value": value, "below": below} for label, value, below in found]


def baseline_rows(run: Run) -> list[dict[str, Any]]:
    """Return the rows of the baselines as printed: label, text, figures, or why there are none."""
    halves = after_cutoff(run) is not None
    names = [f"{name}_after" for name in FIGURES] if halves else []
    rows = []
    for one in run.baselines or ():
        label, text = ROWS.get(one["name"], (one["name"], ""))
        if "low" in one:
            text += f" Middle of five, {between('total_return', one['low'], one['high'])}."
        values = [show(n.removesuffix("_after"), one.get(n)) for n in (*names, *FIGURES, "trades")]
        rows.append({"label": label, "text": text, "values": values, "problem": one.get("problem", "")})
    return rows


def sides(run: Run) -> dict[str, Any] | None:
    """Return the table of both sides of the cutoff: heads, rows of (label, text, cells), and the reading."""
    split, judged = run.split, run.calibration or {}
    if not split or not is_model(run):
        return None
    there = [name for name in SIDES if split[name]]
    heads = [
        (f"{name.capitalize()} the cutoff", f"{split[name]['decisions']:,} decisions",
         f"{when(split[name]['first'])[:10]} to {when(split[name]['last'])[:10]}")
        for name in there
    ]  # fmt: skip
    rows = [
        (label, text, [(figure(name, split[at][name]), reach(split[at], name)) for at in there])
        for name, label, text in SPLIT
    ]
    scores = [(number((judged.get(at) or {}).get("brier", math.nan), 4), "") for at in there]
    rows.append(("Brier score", "Mean of (confidence − outcome)², 0 is best.", scores))
    return {"heads": heads, "rows": rows, "reading": reading(split)}


def section(run: Run) -> dict[str, Any] | None:
    """Return what the section on who decided shows; None where nobody was asked."""
    if not run.decisions.height or not compare.who(run.manifest):
        return None
    return {
        "who": compare.who(run.manifest), "is_model": is_model(run), "cards": cards(run),
        "baselines": baseline_rows(run), "halves": after_cutoff(run) is not None, "sides": sides(run),
        "calls": calls_of(run)[0] if calls_of(run)[1] else "",
    }  # fmt: skip


def lines(run: Run) -> list[str]:
    """Return what the text table says of a model: both sides of the cutoff, confidence, known baselines."""
    if not run.decisions.height or not is_model(run):
        return []
    split, (which, calls) = run.split or {}, calls_of(run)
    found = []
    for name in SIDES:
        if one := split.get(name):
            said = [
                f"{label.lower()} {figure(key, one[key])} [{reach(one, key) or MISSING}]"
                for key, label, _ in SPLIT
                if key in ("total_return", "sharpe", "move")
            ]
            found.append(f"{name} the cutoff: {one['decisions']:,} decisions, {', '.join(said)}")
    if calls:
        skill = f"Brier {number(calls['brier'], 4)} (constant {number(calls['constant'], 4)})"
        right = f"{percent(calls['right'])} of {calls['n']:,} calls right"
        found.append(f"confidence ({which}): {right}, {skill}")
    if run.has_baselines:
        found += beside(baseline_rows(run), "After the cutoff" if after_cutoff(run) else "Decided otherwise")
    return found


def beside(rows: list[dict[str, Any]], head: str) -> list[str]:
    """Return the first three figures of the baselines as lines of text."""
    found = [f"  {head:<20}{'return':>12}{'Sharpe':>10}{'drawdown':>12}"] if rows else []
    for row in rows:
        cells = "".join(f"{text:>{wide}}" for text, wide in zip(row["values"], (12, 10, 12), strict=False))
        found.append(f"  {row['label']:<20}{compare.visible(row['problem']) or cells}")
    return found


# ---- pictures
def pictures(run: Run) -> dict[str, bytes]:
    """Return the PNG pictures of a model's decisions: "reliability" of its confidence, and its "answers"."""
    if not run.decisions.height or not is_model(run):
        return {}
    which, calls = calls_of(run)
    found = {"answers": answers} if answered(run).height else {}
    with plots.styled():
        made = {name: plots.png(plots.pixels(draw(run))) for name, draw in found.items()}
        if calls:
            made["reliability"] = plots.png(plots.pixels(reliability(calls, which)))
    return made


def reliability(calls: Mapping[str, Any], which: str) -> Figure:
    """Share of right calls against stated confidence, with the 95 % interval of each tenth, and counts."""
    from matplotlib.figure import Figure

    bins = np.array(calls["bins"], dtype=np.float64)
    figure = Figure(figsize=(3.9, 4.4), dpi=plots.DPI, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.4, 1.0))
    low = min(0.5, float(bins[:, 0].min()))
    upper.plot((low, 1.0), (low, 1.0), color=GREY, linewidth=1.0, linestyle=(0, (4, 3)), label="as it says")
    share = calls["right"]
    upper.axhline(share, color=ORANGE, linewidth=1.0, label=f"all calls, {percent(share)}")
    error = np.abs(bins[:, 5:7].T - bins[:, 4])
    upper.errorbar(bins[:, 3], bins[:, 4], yerr=error, color=BLUE, marker="o", markersize=5.0, linewidth=1.2,
                   capsize=2.5, label="right calls (95 %)")  # fmt: skip
    upper.set_title(f"{calls['n']:,} calls, {which}")
    upper.set_ylabel("% right")
    upper.set_ylim(0.0, 1.0)
    upper.legend(loc="lower left")
    lower.bar(bins[:, 0], bins[:, 2], width=0.092, align="edge", color=BLUE, linewidth=0.0)
    lower.set_xlim(low - 0.02, 1.02)
    lower.set_xlabel("stated confidence (%)")
    lower.set_ylabel("calls")
    lower.grid(visible=False, axis="x")
    for axis in (upper.yaxis, lower.xaxis):
        axis.set_major_formatter(lambda value, _: f"{100.0 * value:.0f}")
    counts(lower)
    figure.align_ylabels((upper, lower))
    return figure


def counts(axis: Axes) -> None:
    """Whole numbers with separators on the y axis."""
    from matplotlib import ticker

    axis.yaxis.set_major_locator(ticker.MaxNLocator(4, integer=True))
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def answers(run: Run) -> Figure:
    """How long answers took and what they cost."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 2.7), dpi=plots.DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    frame = answered(run)
    seconds = frame["latency_ns"].to_numpy().astype(np.float64) / 1e9
    middle, late = np.percentile(seconds, [50, 95]).tolist()
    left.set_title(f"Answer time, median {span(middle * 1e9)}, 95 % within {span(late * 1e9)}")
    bars(left, seconds, lambda value: span(value * 1e9))
    marks(left, middle, late)
    left.set_xlabel("asked to answered, log scale")
    paid = frame["cost"].to_numpy()
    right.set_title(f"Cost, {usd(float(paid.sum()))} for {paid.size:,} answers")
    bars(right, paid, usd)
    right.set_xlabel("booked for an answer (USD), log scale")
    if (paid > 0.0).any():
        marks(right, *np.percentile(paid[paid > 0.0], [50, 95]).tolist())
    return figure


def bars(axis: Axes, values: Floats, text: Any) -> None:
    """Histogram on a log scale, whose ticks `text` writes; what is 0 or less is counted in words."""
    from matplotlib import ticker

    known = values[values > 0.0]
    axis.set_ylabel("answers")
    axis.grid(visible=False, axis="x")
    counts(axis)
    if not known.size:
        axis.text(0.5, 0.5, "all 0", color=MUTED, ha="center", va="center", transform=axis.transAxes)
        axis.set_xticks([])
        axis.set_yticks([])
        return
    low, high = float(known.min()), float(known.max())
    low, high = (low / 1.5, high * 1.5) if high < 1.05 * low else (low, high * (1.0 + 1e-9))
    edges = np.geomspace(low, high, min(48, max(9, int(2.0 * math.sqrt(known.size)))) + 1)
    axis.set_xscale("log")
    drawn = np.histogram(known, edges)[0]
    axis.bar(edges[:-1], drawn, width=0.94 * np.diff(edges), align="edge", color=BLUE, linewidth=0.0)
    axis.xaxis.set_major_locator(ticker.FixedLocator(plots.log_ticks(low, high)))
    axis.xaxis.set_minor_locator(ticker.NullLocator())
    axis.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: str(text(value))))


def marks(axis: Axes, *values: float) -> None:
    """Dashed lines at the median and the 95th percentile."""
    for value, dash in zip(values, ((4, 3), (1, 2)), strict=False):
        if value > 0.0:
            axis.axvline(value, color=INK, linewidth=1.0, linestyle=(0, dash))


__all__ = ["lines", "pictures", "section"]
