"""A run as plain text for the terminal, as one line, and as a small table for notebooks."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np

from framework.report import Run, compare, model, words
from framework.report.compare import show, visible
from framework.report.plots import thin

KINDS = ("worst", "chosen", "best")
YEARLY = ("cagr", "sharpe", "sortino", "volatility")
EXECUTION = ("fill_rate", "maker_share", "queue_wait_median", "quoted_spread_ticks", "market_spread_ticks",
             "inventory_max", "move_1s_maker_bps", "move_1s_taker_bps")  # fmt: skip


def table(run: Run, folder: Path | None = None) -> str:
    """Return what a researcher reads first, as plain text of a few lines."""
    lines = [" · ".join(words.title_parts(run))]
    lines += [f"{label.upper()}: {text}" for label, text in words.banners(run)]
    if run.params:
        lines.append(" ".join(f"{visible(key)}={visible(value)}" for key, value in run.params.items()))
    if held := words.account(run):
        lines.append(f"account: {held}")
    used = compare.fees(run.manifest)
    same = set(used.values())
    named = used.items() if len(same) > 1 else [("fees", text) for text in same]
    lines += [f"{visible(name)}: {text}" for name, text in named]
    if said := words.decided(run):
        lines.append(f"decisions: {said}")
    lines += ["", *_figures(run), "", *model.lines(run)]
    lines += [f"note: {visible(note)}" for note in words.notes(run)]
    lines.append(f"fingerprint {visible(run.fingerprint)}")
    if folder is not None:
        lines.append(f"folder {visible(folder)}")
    return "\n".join(lines)


def _figures(run: Run) -> list[str]:
    """Return the key metrics, one a line, with their bounds beside them."""
    last = EXECUTION if words.is_ticks(run) else ("ambiguous_bars",)
    wanted = [name for name in compare.KEY if name not in YEARLY or not words.is_short(run)]
    names = [name for name in (*wanted, *last, "decision_coverage") if name in run.metrics]
    rows = [(compare.define(name).label, show(name, run.metrics[name]), _bound(run, name)) for name in names]
    rows = [row for row in rows if row[1] != compare.MISSING or row[0] != "Decision coverage"]
    name = max(18, *(len(label) + 2 for label, *_ in rows)) if rows else 18
    wide = max((len(value) for _, value, _ in rows), default=0)
    lines = []
    if words.in_sample_only(run):
        lines = [f"  {words.NO_HEADLINE.capitalize()}; figures in-sample:"]
    elif words.after_cutoff(run):
        lines = [f"  {visible(words.headline(run))}", "", "  Whole run, in-sample part included:"]
    lines += [f"  {label:<{name}}{value:>{wide}}{bound}" for label, value, bound in rows]
    if run.bounds:
        meaning = "the order of events inside each bar, assumed each way"
        if not run.metrics.get("ambiguous_bars") and words.bounds_agree(run):
            meaning = "all one, no bar is ambiguous"
        lines.append(f"  [worst, chosen, best]: {meaning}")
    return lines


def _bound(run: Run, name: str) -> str:
    rows = [(run.bounds or {}).get(kind, {}) for kind in KINDS]
    if not all(name in row for row in rows):
        return ""
    return f"   [{', '.join(show(name, row[name]) for row in rows)}]"


def one_line(run: Run, name: str) -> str:
    """Return name, status and headline in one line."""
    by = compare.who(run.manifest)
    status = f"{run.status}, decisions by {by}" if by else run.status
    found = words.headline_figures(run)
    shown = ", ".join(f"{n} {show(n, found[n])}" for n in compare.KEY[:5:2] if n in found)
    if words.after_cutoff(run):
        shown = f"{words.AFTER} {shown}"
    if words.in_sample_only(run):
        shown = words.NO_HEADLINE
    return f"<Result {name} {visible(status)}: {visible(shown)}>"


def notebook(run: Run) -> str:
    """Return a small table and the equity curve as HTML; every text escaped, nothing fetched."""
    names = [name for name in compare.KEY if name in run.metrics]
    of = ""  # what the figures are, where they are no headline
    rows: list[tuple[str, object]] = []
    if words.in_sample_only(run):
        of = " (in-sample)"
        rows.append(("Headline", words.NO_HEADLINE))
    elif words.after_cutoff(run):
        of = " (whole run)"
        rows.append(("Headline", words.headline(run)))
    rows += [(compare.define(n).label + of, show(n, run.metrics[n])) for n in names]
    rows += [("Decisions", said)] if (said := words.decided(run)) else []
    rows += [(f"{name} =", value) for name, value in run.params.items()]
    rows += [(label, text) for label, text in words.banners(run)]
    rows.append(("Fingerprint", run.fingerprint[:16]))
    cells = "".join(
        f'<tr><td style="text-align:left">{_safe(label)}</td>'
        f'<td style="text-align:right">{_safe(value)}</td></tr>'
        for label, value in rows
    )
    title = _safe(" · ".join(words.title_parts(run)))
    notes = "".join(f"<li>{_safe(note)}</li>" for note in words.notes(run))
    notes = f'<ul style="text-align:left">{notes}</ul>' if notes else ""
    return f"<div><b>{title}</b>{_sparkline(run)}<table>{cells}</table>{notes}</div>"


def _sparkline(run: Run) -> str:
    values = run.equity["equity"].to_numpy()
    if values.size < 2 or not np.isfinite(values).all():
        return ""
    rows = thin(values, 300)
    low, high = float(values.min()), float(values.max())
    x = 2.0 + 316.0 * rows / (values.size - 1)
    y = 58.0 - 56.0 * (values[rows] - low) / ((high - low) or 1.0)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    return (
        '<svg width="320" height="60" viewBox="0 0 320 60" role="img" aria-label="equity" '
        'style="display:block;margin:6px 0"><polyline fill="none" stroke="#1f5fa8" stroke-width="1.2" '
        f'points="{points}"/></svg>'
    )


def _safe(text: object) -> str:
    return html.escape(visible(text), quote=True)
