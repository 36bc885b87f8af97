"""What a run says about itself before any number: title, banners, notes; the same words in every output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from framework.report import Run, compare
from framework.report.compare import MISSING, cost, flat, number, show, span, visible, when

HEADLINE = ("total_return", "cagr", "sharpe", "max_drawdown", "trades", "final_equity")
SHORT = ("total_return", "fill_rate", "maker_share", "max_drawdown", "trades", "final_equity")
SHORTEST = 2 * 86_400 * 10**9  # ns; a shorter run on ticks has no yearly figure worth a headline
NO_HEADLINE = "no out-of-sample decision"
AFTER = "after the model's cutoff"


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
    """Return strategy, instruments, time range, who decided, and status, as printed over every output."""
    ts = run.equity["ts"]
    names = instruments(run)
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    days = f"{when(ts[0])[:10]} to {when(ts[-1])[:10]} UTC" if ts.len() else "no rows"
    by = compare.who(run.manifest)
    parts = [compare.strategy_name(run.manifest), shown, days, by and f"decisions by {by}", run.status]
    return [visible(part) for part in parts if part]


def is_ticks(run: Run) -> bool:
    """True for a run whose orders met recorded trades or books."""
    return "fill_rate" in run.metrics


def is_short(run: Run) -> bool:
    """True for a run on ticks too short for yearly figures."""
    ts = run.equity["ts"]
    return is_ticks(run) and (not ts.len() or ts[-1] - ts[0] < SHORTEST)


def is_model(run: Run) -> bool:
    """True when a model decided, not a stand-in."""
    analyst = run.manifest.get("analyst")
    return isinstance(analyst, Mapping) and not analyst.get("stand_in")


def after_cutoff(run: Run) -> dict[str, Any] | None:
    """Return the figures after the model's cutoff of a run that has decisions on both sides of it."""
    if not remembers(run):
        return None
    split = run.split
    return split["after"] if split and split["before"] and split["after"] else None


def remembers(run: Run) -> bool:
    """True when the model may remember the time of some decision."""
    frame = run.decisions
    return "in_sample" in frame.columns and bool(frame["in_sample"].cast(pl.Int64).max())


def headline_names(run: Run) -> tuple[str, ...]:
    """Return the metrics of the headline."""
    names = SHORT if is_short(run) else HEADLINE
    if is_model(run) and run.decisions.height:
        names = (*names[:-1], "decision_coverage")
    after = after_cutoff(run)
    return tuple(name for name in names if after is None or name in after)


def headline_figures(run: Run) -> Mapping[str, Any]:
    """Return the figures of the headline by name: those after the cutoff where a model may remember a part.
    """
    return after_cutoff(run) or run.metrics


def headline(run: Run) -> str:
    """Return the headline in one line; rules.md 7.4: no number where every decision may be remembered."""
    if in_sample_only(run):
        return NO_HEADLINE
    found = headline_figures(run)
    said = " · ".join(f"{compare.define(n).label} {show(n, found.get(n))}" for n in headline_names(run))
    return f"{AFTER}: {said}" if after_cutoff(run) else said


def decided(run: Run) -> str:
    """Return who was asked, how many answers are valid, their cost and latency; nothing without an analyst.
    """
    by, frame = compare.who(run.manifest), run.decisions
    if not by:
        return ""
    if not frame.height:
        return f"nothing was asked of {visible(by)}"
    valid = int((frame["status"] == "ok").sum())
    share = number(100.0 * valid / frame.height)
    words = f"{frame.height:,} asked of {visible(by)}, {valid:,} valid ({share} %)"
    if "cost" in frame.columns:
        words += f", model cost {cost(float(frame['cost'].sum()))} USD"
    answered = frame.filter(pl.col("status") != "missing")
    if answered.height and "latency_ns" in frame.columns:
        words += f", answers after {span(answered['latency_ns'].median())} (median)"
    return words


def units(run: Run) -> list[str]:
    """Return what money and quantities are counted in, as far as the manifest says."""
    settle, found = run.manifest.get("settle"), run.manifest.get("instruments")
    said = [f"Money is in {visible(settle)}."] if settle else []
    for name, rules in found.items() if isinstance(found, Mapping) else ():
        row = rules if isinstance(rules, Mapping) else {}
        size, is_inverse = float(row.get("multiplier") or 1.0), row.get("kind") == "inverse"
        if is_inverse or size != 1.0:
            of = "units of the quote currency" if is_inverse else "units of the base currency"
            said.append(f"Quantity of {visible(name)} is in contracts of {visible(f'{size:g}')} {of}.")
    return said


def account(run: Run) -> str:
    """Return start, settlement currency and leverage in a few words; nothing where they are not known."""
    cash, settle = run.manifest.get("cash"), run.manifest.get("settle")
    if not settle or not isinstance(cash, int | float):
        return ""
    leverage = run.manifest.get("leverage")
    more = f", leverage {leverage:g}" if isinstance(leverage, int | float) else ""
    return f"{number(cash)} {visible(settle)}{more}"


def analyst_rows(analyst: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a manifest says of the analyst as (name, text) rows: dates, spans and prices in words."""
    rows = []
    for key, value in analyst.items():
        if key == "cutoff_ns" and isinstance(value, int | None):
            known = f"{when(value)[:10]} UTC; a decision before it is in-sample"
            text = "not known; every decision counts as in-sample" if value is None else known
            rows.append(("analyst.cutoff", text))
        elif key == "cutoffs" and isinstance(value, list | tuple) and value:
            rows.append(("analyst.cutoffs", "; ".join(claim_words(one) for one in value)))
        elif key.endswith("_ns") and isinstance(value, int):
            rows.append((f"analyst.{key.removesuffix('_ns')}", span(value)))
        elif key == "price" and isinstance(value, Mapping) and {"input", "output"} <= value.keys():
            text = f"{value['input']} in, {value['output']} out, USD per million tokens"
            rows.append(("analyst.price", f"{text} ({value.get('source') or MISSING})"))
        else:
            rows += flat(value, f"analyst.{key}")
    return rows


def claim_words(claim: Any) -> str:
    """Return a claimed training cutoff and who claims it."""
    found = claim if isinstance(claim, Mapping) else {}
    return f"{found.get('date') or MISSING} by {found.get('source') or MISSING}"


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
        name = visible(analyst.get("name") or "Rules")
        found.append(
            ("Stand-in analyst", f"decisions come from {name}, a published rule, not from a language model")
        )
    if not stand_in and in_sample_only(run):
        found.append(
            (NO_HEADLINE.capitalize(), "none is known to lie after the model's cutoff: it may remember them")
        )
    return found


def in_sample_only(run: Run) -> bool:
    """Whether there are decisions and none lies after the model's cutoff: then no number is a headline.

    A missing decision is no evidence: only where nothing was answered do the missing ones count.
    """
    if not remembers(run):
        return False
    frame = run.decisions
    answered = frame.filter(pl.col("status") != "missing")
    if (answered if answered.height else frame)["in_sample"].cast(pl.Int64).min() == 1:
        return True
    split = run.split
    return split is not None and not split["after"]


def bounds_agree(run: Run) -> bool:
    """True when worst, chosen and best are one and the same."""
    rows = list((run.bounds or {}).values())
    return bool(rows) and all(repr(row) == repr(rows[0]) for row in rows)
