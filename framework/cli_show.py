"""What the command writes: progress on stderr, results on stdout."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

    from framework.market import Market
    from framework.result import Result

COLD = "compiling the engine for this machine, once (it is kept for later runs)"
PATIENCE = 0.5  # seconds a run may take before it shows how far it is


class Voice:
    """Says on stderr what takes time; every sentence once."""

    def __init__(self) -> None:
        self.said: set[str] = set()

    def __call__(self, words: str) -> None:
        if words not in self.said:
            self.said.add(words)
            print(f"sheepfold: {words}", file=sys.stderr, flush=True)

    def warn_of_compiling(self) -> None:
        """Say so when the engine has never been compiled here: the import below does it."""
        from framework.jit import is_cold

        if is_cold():
            self(COLD)


class Meter:
    """Progress of a run: share done, bars per second, time left. Silent for the first half second."""

    def __init__(self, label: str, total: int, unit: str) -> None:
        self.label, self.total, self.unit = label, max(total, 1), unit
        self.begun = time.monotonic()
        self.next = self.begun + PATIENCE
        self.bar: Progress | None = None
        self.task: Any = None

    def __call__(self, done: float) -> None:
        """Show that `done` of the total is done; cheap when the last time was just now."""
        now = time.monotonic()
        if now < self.next:
            return
        self.next = now + 0.1
        if self.bar is None:
            self.open()
        assert self.bar is not None
        rate = done / max(now - self.begun, 1e-9)
        left = max(self.total - done, 0.0) / max(rate, 1e-9)
        words = f"{rate:,.0f} {self.unit}/s, {left:,.0f} s left"
        self.bar.update(self.task, completed=min(done, self.total), total=self.total, words=words)

    def open(self) -> None:
        """Draw the bar."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[words]}"), console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self.task = self.bar.add_task(self.label, total=self.total, words="")
        self.bar.start()

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def bar_count(market: Market) -> int:
    """Return the bars of all instruments."""
    return sum(len(market.match_bars(k)) for k in range(len(market.instruments)))


def by_time(meter: Meter, market: Market) -> Any:
    """Return a callback that takes the run's time (ns) and moves a meter of bars."""
    start, span, bars = market.start, max(market.stop - market.start, 1), meter.total
    return lambda ts: meter((ts - start) / span * bars)


def is_watched() -> bool:
    """True when someone sees stderr."""
    return sys.stderr.isatty()


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object on stdout; undefined numbers are null."""
    from framework.result_store import plain

    print(json.dumps(plain(value), allow_nan=False), flush=True)


def summary(result: Result) -> dict[str, Any]:
    """Return what --json prints of a result."""
    from framework.report.compare import strategy_name
    from framework.report.words import headline

    return {
        "strategy": strategy_name(result.manifest), "status": result.status,
        "headline": headline(result), "fingerprint": result.fingerprint,
        "folder": str(result.folder) if result.folder else None,
        "params": result.params, "metrics": result.metrics, "bounds": result.bounds,
        "analyst": result.manifest.get("analyst"), "notes": result.notes,
    }  # fmt: skip
