"""What is written down beside a result: how to make it again, and what a reader must know first."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from framework.errors import near
from framework.instruments import Instrument
from framework.options import DEFAULT_FEE, Costs, Fills, option_words
from framework.outcome import Outcome
from framework.questions import Answers
from framework.records import REASONS, REJECTED
from framework.replies import reply_words
from framework.strategy import Strategy
from framework.symbols import venue_names
from framework.times import format_time

RULES = ("kind", "multiplier", "tick_size", "lot_size", "min_notional")  # of an instrument, as it was used


def manifest(
    plan: Any, cls: type[Strategy] | None, params: dict[str, Any], asked: Answers | None, outcome: Outcome
) -> dict[str, Any]:
    """Return what is needed to make this result again, and to know whether it was."""
    market = plan.market
    return {
        "strategy": source_of(cls), "parameters": params,
        "data": {
            "name": market.name, "hash": market.content_hash(), "from": format_time(market.start),
            "to": format_time(market.stop), "instruments": [one.id for one in market.instruments],
            "notes": list(market.notes),
        },
        "settle": market.instruments[0].settle,
        "instruments": {one.id: {name: getattr(one, name) for name in RULES} for one in market.instruments},
        "cash": plan.cash, "leverage": plan.leverage, "margin": plan.margin, "seed": plan.seed,
        "strict": plan.strict, "sample": str(plan.sample) if plan.sample else None,
        **option_words(plan.costs, plan.latency, plan.fills),
        "fees": {
            one.id: dict(zip(("maker", "taker"), plan.costs.fees(one), strict=True))
            for one in market.instruments
        },
        "analyst": asked.describe if asked else None,
        "replies": reply_words(plan.replies) if asked else None,
        "final": outcome.final(), "versions": versions(),
    }  # fmt: skip


def source_of(cls: type[Strategy] | None) -> dict[str, Any]:
    """Return class, file name and digest of the strategy's source."""
    if cls is None:
        return {"class": "orders", "file": None, "sha256": None}
    try:
        file = inspect.getsourcefile(cls)
        text = Path(file).read_bytes() if file else b""
    except (OSError, TypeError):
        file, text = None, b""
    return {
        "class": cls.__name__, "file": Path(file).name if file else None,
        "sha256": hashlib.sha256(text).hexdigest() if text else None,
    }  # fmt: skip


def versions() -> dict[str, str]:
    """Return the versions a result was made with; none of them is part of the fingerprint."""
    import numba
    import polars

    from framework import __version__

    return {
        "sheepfold": __version__, "python": sys.version.split()[0], "numpy": np.__version__,
        "numba": numba.__version__, "polars": polars.__version__,
    }  # fmt: skip


def notes(plan: Any, outcome: Outcome, asked: Answers | None) -> list[str]:
    """Return what a reader must know before the numbers."""
    said = list(plan.market.notes)
    if asked is not None and asked.stand_in:
        said.insert(0, f"decisions by {asked.name}")
    if asked is not None and asked.missing:
        said.insert(0, missing_words(asked))
    if asked is not None:
        said += asked.describe.get("alarms", ())
    said += rejected_words(outcome)
    short = {
        i
        for i, s in zip(
            outcome.fill_rows["instrument"].tolist(), outcome.fill_rows["side"].tolist(), strict=True
        )
        if s < 0
    }
    for k, one in enumerate(plan.market.instruments):
        if one.kind == "spot" and k in short and went_short(outcome, k):
            said.append(
                f"{one.id}: short positions on a spot instrument, borrowed at no cost in this simulation"
            )
        if not one.tiers and (plan.leverage > 1.0 or plan.margin == "isolated"):
            said.append(f"{one.id}: no margin tiers: nothing is liquidated before equity 0")
        said += venue_words(plan.costs, one)
    if plan.fills.at == "close":
        said.append('orders fill at the close they were decided at (Fills(at="close"))')
    said += tick_words(plan)
    if outcome.tables.clock["late"]:
        late = int(outcome.tables.clock["late"])
        said.append(f"{late} orders arrived too late for their bar and waited for the next")
    return said


def tick_words(plan: Any) -> list[str]:
    """Return which choices of `Fills` meant nothing for this market."""
    usual = Fills()
    if not plan.market.is_ticks:
        names = [n for n in ("queue", "partial", "trigger") if getattr(plan.fills, n) != getattr(usual, n)]
        words = "is for trades and books: bars know no such thing"
        return [f"Fills({n}={getattr(plan.fills, n)!r}) {words}" for n in names]
    if plan.fills.volume_share is not None and plan.market.books:
        return ["Fills(volume_share=...) caps nothing in a book: a market order takes what the levels hold"]
    return []


def missing_words(asked: Answers) -> str:
    """Return how many decisions are missing and why most of them are."""
    why = Counter(d.problems[0] for d in asked.decisions if d.status == "missing" and d.problems)
    count = f"{asked.missing:,} of {asked.due:,}"
    words = f"INCOMPLETE: {count} decisions are missing; run again to ask only those"
    if not why:
        return words
    reason, times = why.most_common(1)[0]
    return f"{words}; most often ({times:,}): {reason.partition('; run again')[0]}"


def rejected_words(outcome: Outcome) -> list[str]:
    """Return how many orders were rejected, and how many for which reason, the most first."""
    rows = outcome.order_rows
    why = Counter(rows["reason"][rows["status"] == REJECTED].tolist())
    if not why:
        return []
    reasons = ", ".join(f"{REASONS[code]} ({count:,})" for code, count in why.most_common())
    return [f"{sum(why.values()):,} of {len(rows):,} orders rejected: {reasons}"]


def venue_words(costs: Costs, one: Instrument) -> list[str]:
    """Return what is assumed of an instrument whose venue is not known: the fee, no grid."""
    known = venue_names()
    if one.venue in known:
        return []
    assumed = []
    if None in (costs.maker if one.maker is None else 0, costs.taker if one.taker is None else 0):
        assumed.append(f"the default fee {DEFAULT_FEE:g}")
    if not one.tick_size and not one.lot_size:
        assumed.append("no price and quantity grid")
    hint = near(one.venue, known)
    hint = f" ({hint})" if hint.startswith("did you mean") else ""
    return [f"{one.id}: unknown venue{hint}: {' and '.join(assumed)}"] if assumed else []


def went_short(outcome: Outcome, k: int) -> bool:
    """True when the position of an instrument was ever below zero."""
    f = outcome.fill_rows[outcome.fill_rows["instrument"] == k]
    return bool((np.cumsum(f["side"] * f["qty"]) < -1e-9).any())
