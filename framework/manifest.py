"""What is written down beside a result: how to make it again, and what a reader must know first."""

from __future__ import annotations

import hashlib
import inspect
import sys
from pathlib import Path
from typing import Any

import numpy as np

from framework.options import option_words
from framework.outcome import Outcome
from framework.questions import Answers
from framework.strategy import Strategy
from framework.times import format_time


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
        "cash": plan.cash, "leverage": plan.leverage, "margin": plan.margin, "seed": plan.seed,
        "strict": plan.strict, "sample": str(plan.sample) if plan.sample else None,
        **option_words(plan.costs, plan.latency, plan.fills),
        "fees": {
            one.id: dict(zip(("maker", "taker"), plan.costs.fees(one), strict=True))
            for one in market.instruments
        },
        "analyst": asked.describe if asked else None, "final": outcome.final(), "versions": versions(),
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
        said.insert(
            0,
            f"INCOMPLETE: {asked.missing} of {asked.due} decisions are missing; run again to ask only those",
        )
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
    if plan.fills.at == "close":
        said.append('orders fill at the close they were decided at (Fills(at="close"))')
    if outcome.tables.clock["late"]:
        late = int(outcome.tables.clock["late"])
        said.append(f"{late} orders arrived too late for their bar and waited for the next")
    return said


def went_short(outcome: Outcome, k: int) -> bool:
    """True when the position of an instrument was ever below zero."""
    f = outcome.fill_rows[outcome.fill_rows["instrument"] == k]
    return bool((np.cumsum(f["side"] * f["qty"]) < -1e-9).any())
