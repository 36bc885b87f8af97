"""Decisions of a language model as recorded data: brief, client, store, cassette, offline stand-in.

Names are imported when they are first used, so that `import framework.llm` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framework.llm.budget import Budget
    from framework.llm.cassette import diff, merge, prune, read_cassette, verify, write_cassette
    from framework.llm.client import HolySheep
    from framework.llm.decision import Decision, Prompt, signal_rows
    from framework.llm.facts import AsOf
    from framework.llm.journal import read_journal
    from framework.llm.masking import Mask, Masked
    from framework.llm.planned import Planned, RecordedAnalyst
    from framework.llm.prompt import Brief, make_brief, render
    from framework.llm.replay import CassetteAnalyst
    from framework.llm.rules import Rules
    from framework.llm.signal import Parsed, TradingSignal, parse
    from framework.llm.store import Store

_HOME = {
    "AsOf": "facts", "Brief": "prompt", "Budget": "budget", "CassetteAnalyst": "replay",
    "Decision": "decision", "HolySheep": "client", "Mask": "masking", "Masked": "masking",
    "Parsed": "signal", "Planned": "planned", "Prompt": "decision", "RecordedAnalyst": "planned",
    "Rules": "rules", "Store": "store", "TradingSignal": "signal", "diff": "cassette",
    "make_brief": "prompt", "merge": "cassette", "parse": "signal", "prune": "cassette",
    "read_cassette": "cassette", "read_journal": "journal", "render": "prompt",
    "signal_rows": "decision", "verify": "cassette", "write_cassette": "cassette",
}  # fmt: skip

__all__ = [
    "AsOf", "Brief", "Budget", "CassetteAnalyst", "Decision", "HolySheep", "Mask", "Masked", "Parsed",
    "Planned", "Prompt", "RecordedAnalyst", "Rules", "Store", "TradingSignal", "diff", "make_brief",
    "merge", "parse", "prune", "read_cassette", "read_journal", "render", "signal_rows", "verify",
    "write_cassette",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
