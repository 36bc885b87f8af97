"""The page of a run: one HTML file that runs nothing, fetches nothing and shows foreign text as text.

Every value passes `visible` (controls and bidirectional marks written out) and then Jinja2's autoescape; its
Content-Security-Policy forbids scripts and the network; pictures are data URIs.
"""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

from framework import metrics
from framework.report import Run, compare, execution, model, plots
from framework.report.compare import MISSING, cell, decimals, flat, number, show, visible, when, word
from framework.report.words import (
    after_cutoff,
    analyst_rows,
    banners,
    bounds_agree,
    decided,
    headline,
    headline_figures,
    headline_names,
    in_sample_only,
    instruments,
    is_ticks,
    notes,
    title_parts,
    units,
)  # fmt: skip

if TYPE_CHECKING:
    from jinja2 import Template

FIRST = LAST = 50
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
ASSUMPTIONS = ("cash", "costs", "latency", "fills", "leverage", "margin", "analyst", "replies", "seed")
KINDS = ("worst", "chosen", "best")


class Listing(NamedTuple):
    """First and last rows of a table, `left_out` rows between them, decimals to print per float column."""

    first: list[dict[str, Any]]
    last: list[dict[str, Any]]
    left_out: int
    places: dict[str, int]


# ---- parts of the page
def assumptions(run: Run) -> list[tuple[str, str]]:
    """Return costs, latency, fills and the rest as (name, text) rows; fees are those really used."""
    assumed = {key: run.manifest[key] for key in ASSUMPTIONS if key in run.manifest}
    used, rows = compare.fees(run.manifest), []
    for key, value in assumed.items():
        if key == "costs" and isinstance(value, Mapping) and used:
            rows += [(f"fees.{name}", text) for name, text in used.items()]
            value = {name: cost for name, cost in value.items() if name not in ("maker", "taker")}
        if key == "latency":
            rows.append((key, compare.latency(value)))
        else:
            is_analyst = key == "analyst" and isinstance(value, Mapping)
            rows += analyst_rows(value) if is_analyst else flat(value, key)
    return rows


def ambiguity(run: Run) -> str:
    """Return what the ambiguous bars of a run mean."""
    count = run.metrics.get("ambiguous_bars")
    if is_ticks(run) and not count:
        return "Orders met recorded trades and books: every event has its time, and no order is assumed."
    if not count:
        words = "No bar is ambiguous: none reached two orders of which one could end or feed the other."
        return f"{words} Worst, chosen and best are the same." if bounds_agree(run) else words
    is_one = count == 1
    words = "1 ambiguous bar" if is_one else f"{show('ambiguous_bars', count)} ambiguous bars"
    rest = " Worst and best assume it each way." if run.bounds else ""
    return (
        f"{words}: stop and target, or other orders that depend on each other, were reached in one bar, "
        f"and a bar does not say in which order.{rest}"
    )


def _headline(run: Run) -> list[dict[str, str]]:
    figures = headline_figures(run)
    cards = [
        {"label": compare.define(name).label, "value": show(name, figures.get(name)),
         "below": _below(run, name, figures)}
        for name in headline_names(run)
    ]  # fmt: skip
    return cards


def _below(run: Run, name: str, figures: Mapping[str, Any]) -> str:
    """Return the small words under a figure of the headline."""
    if figures is not run.metrics and name in ("total_return", "sharpe"):
        return f"95 %: {model.reach(figures, name) or MISSING}"
    if figures is not run.metrics and name in ("cagr", "max_drawdown"):
        return f"whole run {show(name, run.metrics.get(name))}"

    def of(other: str) -> str:
        return show(other, figures.get(other))

    return {
        "total_return": lambda: f"buy and hold {_held(run)}",
        "trades": lambda: f"{of('win_rate')} won",
        "max_drawdown": lambda: f"for {of('max_drawdown_days')}",
        "final_equity": lambda: f"from {of('start_equity')}",
        "sharpe": lambda: f"Sortino {of('sortino')}",
        "cagr": lambda: f"volatility {of('volatility')}",
        "fill_rate": lambda: f"of {show('orders', run.orders.height)} orders",
        "maker_share": lambda: f"median wait {of('queue_wait_median')}",
        "decision_coverage": lambda: _valid(run, figures),
    }.get(name, str)()


def _valid(run: Run, figures: Mapping[str, Any]) -> str:
    due = figures.get("decisions", run.decisions.height)
    valid = figures.get("valid", int((run.decisions["status"] == "ok").sum()))
    return f"{valid:,} of {due:,} valid"


def _held(run: Run) -> str:
    frame = run.price
    if not frame.height:
        return MISSING
    closes = frame.filter(pl.col("instrument") == frame["instrument"][0])["close"]
    return show("total_return", closes[-1] / closes[0] - 1.0 if closes[0] else math.nan)


def _groups(run: Run) -> list[tuple[str, list[dict[str, str]]]]:
    groups: dict[str, list[dict[str, str]]] = {}
    for name, value in run.metrics.items():
        row = compare.define(name)
        if row.group == "Execution":  # has a section of its own
            continue
        groups.setdefault(row.group, []).append(
            {"label": row.label, "value": show(name, value), "text": row.text}
        )
    return list(groups.items())


def _bounds(run: Run) -> list[tuple[str, list[str]]]:
    rows = [(run.bounds or {}).get(kind, {}) for kind in KINDS]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [(compare.define(name).label, [show(name, row.get(name)) for row in rows]) for name in names]


def _months(run: Run) -> list[tuple[int, list[tuple[str, str]]]]:
    """Return (year, 12 months and the year as (text, style)); blue gained, orange lost, stronger = more."""
    ts, values = run.equity["ts"].to_numpy(), run.equity["equity"].to_numpy()
    start = run.metrics.get("start_equity")
    first = float(start) if isinstance(start, int | float) and start > 0 else None
    found = metrics.monthly_returns(ts, np.maximum(values, 0.0), first)
    full = float(np.quantile([abs(r) for *_, r in found if math.isfinite(r)] or [1.0], 0.9)) or 1.0
    years: dict[int, list[tuple[str, str]]] = {}
    growth: dict[int, float] = {}
    for year, month, value in found:
        years.setdefault(year, [("", "")] * 12)[month - 1] = (number(100.0 * value), _shade(value, full))
        growth[year] = growth.get(year, 1.0) * (1.0 + value)
    return [(year, [*cells, (number(100.0 * (growth[year] - 1.0)), "")]) for year, cells in years.items()]


def _shade(value: float, full: float) -> str:
    if not math.isfinite(value) or value == 0.0:
        return ""
    colour = "10,95,165" if value > 0.0 else "200,80,10"
    return f"background:rgba({colour},{0.06 + 0.44 * min(abs(value) / full, 1.0):.2f})"


def _listing(frame: pl.DataFrame) -> Listing:
    left_out = max(0, frame.height - FIRST - LAST)
    first, last = (frame.head(FIRST), frame.tail(LAST)) if left_out else (frame, frame.clear())
    shown = pl.concat([first, last])
    floats = [name for name, kind in frame.schema.items() if kind == pl.Float64]
    places = {name: max((decimals(value) for value in shown[name].to_list()), default=2) for name in floats}
    return Listing(first.rows(named=True), last.rows(named=True), left_out, places)


def _trades(run: Run) -> Listing:
    gains = plots.trade_returns(run.trades, run.manifest)
    frame = run.trades.with_columns(pl.Series("gain", 100.0 * gains, dtype=pl.Float64)).with_row_index(
        "row", 1
    )
    return _listing(frame)


def _reasons(run: Run) -> list[tuple[str, str, int]]:
    """Return (status, reason, orders), most first within a status."""
    counts = (
        run.orders.group_by("status", "reason")
        .len()
        .sort(["status", "len", "reason"], descending=[False, True, False])
    )
    return [(str(status), str(reason or ""), n) for status, reason, n in counts.rows()]


def _decisions(run: Run) -> dict[str, Any] | None:
    frame = run.decisions
    if not frame.height:
        return None
    wanted = ("status", "delivered", "direction", "model")
    counts = {
        name: [
            (word(name, value), n)
            for value, n in frame[name].value_counts().sort(["count", name], descending=[True, False]).rows()
        ]
        for name in wanted
        if name in frame.columns and (name != "model" or frame[name].n_unique() > 1)  # one is named already
    }
    listed = {"list": _listing(frame), "columns": frame.columns}
    return {"n": frame.height, "words": decided(run), "counts": counts, **listed}


# ---- the page
def _finalize(value: Any) -> Any:
    """Make the text of every expression visible; markup (our own pictures and macros) passes."""
    if hasattr(value, "__html__"):
        return value
    return "" if value is None else visible(value)


@cache
def _template() -> Template:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=_finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(when=when, cell=cell, number=number, span=compare.span)
    environment.globals.update(word=word, sign=plots.sign)
    return environment.get_template("report.html.j2")


def _picture(data: bytes) -> Any:
    from markupsafe import Markup

    return Markup("data:image/png;base64," + base64.b64encode(data).decode("ascii"))


def render(run: Run, pictures: Mapping[str, bytes]) -> str:
    """Return the whole page as HTML text; `pictures` are PNG files by name (see plots.pictures)."""
    shown_above = {*ASSUMPTIONS, "fees"}
    return _template().render(
        title=compare.strategy_name(run.manifest),
        parts=title_parts(run),
        banners=banners(run),
        units=" ".join(units(run)),
        in_sample_only=in_sample_only(run),
        headline=_headline(run),
        after=when((run.split or {}).get("boundary"))[:10] if after_cutoff(run) else "",
        model=model.section(run),
        pictures={name: _picture(data) for name, data in pictures.items()},
        months=_months(run),
        month_names=MONTHS,
        groups=_groups(run),
        bounds=_bounds(run),
        kinds=KINDS,
        ambiguity=ambiguity(run),
        params=flat(run.params),
        assumptions=assumptions(run),
        manifest=flat({key: value for key, value in run.manifest.items() if key not in shown_above}),
        notes=notes(run),
        trades=_trades(run),
        n_trades=run.trades.height,
        reasons=_reasons(run),
        n_orders=run.orders.height,
        decisions=_decisions(run),
        execution=execution.section(run),
        rows=run.equity.height,
        fingerprint=run.fingerprint,
        many_instruments=len(instruments(run)) > 1,
    )


def _headings(run: Run) -> list[str]:
    """Return the three lines over report.png: what, how much, what to beware of."""
    said = headline(run)
    warnings = [label.upper() for label, _ in banners(run) if label.lower() != said]
    return [" · ".join(title_parts(run)), said, " · ".join(warnings)]


def write(run: Run, folder: Path) -> Path:
    """Write report.html and report.png into `folder`, each whole or not at all; return the page's path."""
    pictures = plots.pictures(run, _headings(run)) | execution.pictures(run) | model.pictures(run)
    page = folder / "report.html"
    for path, data in (
        (folder / "report.png", pictures["report"]),
        (page, render(run, pictures).encode("utf-8")),
    ):
        part = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            part.write_bytes(data)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    return page
