"""What a run says about itself before any number: title, banners, notes; the same words in every output."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from framework.report import Run, compare
from framework.report.compare import visible, when


def notes(run: Run) -> list[str]:
    """Return the notes of the run and of its data, each once."""
    data = run.manifest.get("data")
    more = data.get("notes") if isinstance(data, Mapping) else None
    return list(dict.fromkeys(str(note) for note in (*run.notes, *(more or ()))))


def instruments(run: Run) -> list[str]:
    """Return the ids of the instruments of a run."""
    found = run.manifest.get("instruments")
    if isinstance(found, Mapping):
        return [str(name) for name in found]
    return [str(name) for name in run.price["instrument"].unique(maintain_order=True).to_list()]


def title_parts(run: Run) -> list[str]:
    """Return strategy, instruments, time range and status, as printed over every output."""
    ts = run.equity["ts"]
    names = instruments(run)
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    span = f"{when(ts[0])[:10]} to {when(ts[-1])[:10]} UTC" if ts.len() else "no rows"
    parts = [compare.strategy_name(run.manifest), shown, span, run.status]
    return [visible(part) for part in parts if part]


def banners(run: Run) -> list[tuple[str, str]]:
    """Return (label, text) of what must be read before any number."""
    found = []
    data, analyst = run.manifest.get("data"), run.manifest.get("analyst")
    name = data.get("name") if isinstance(data, Mapping) else data
    if any("synthetic" in str(text).lower() for text in (*notes(run), *instruments(run), name)):
        found.append(
            ("Synthetic", "the prices were generated, not recorded; nothing here says how a market behaves")
        )
    if run.status == "incomplete":
        found.append(
            ("Incomplete", "some decisions or rows are missing; the next run asks only for what is missing")
        )
    if run.status == "bust":
        found.append(
            ("Bust", "equity fell to zero; every position was closed there and later orders rejected")
        )
    stand_in = isinstance(analyst, Mapping) and bool(analyst.get("stand_in"))
    if stand_in and isinstance(analyst, Mapping):
        who = visible(analyst.get("name") or "Rules")
        found.append(
            ("Stand-in analyst", f"decisions come from {who}, a published rule, not from a language model")
        )
    if not stand_in and in_sample_only(run):
        found.append(
            ("No out-of-sample decision", "every decision lies before the model's cutoff: it may remember")
        )
    return found


def in_sample_only(run: Run) -> bool:
    """Whether there are decisions and none lies after the model's cutoff: then no number is a headline."""
    frame = run.decisions
    return bool(
        frame.height and "in_sample" in frame.columns and frame["in_sample"].cast(pl.Int64).min() == 1
    )


def bounds_agree(run: Run) -> bool:
    """True when worst, chosen and best are one and the same."""
    rows = list((run.bounds or {}).values())
    return bool(rows) and all(repr(row) == repr(rows[0]) for row in rows)
