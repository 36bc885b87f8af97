"""How far a download is: files, bytes, rate and time left, in words for a terminal or a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

EVERY = 5.0  # s between plain lines
SPAN = 10.0  # s the rate is measured over


class Meter:
    """Counts files and bytes; safe to read from another thread.

    Attributes
    ----------
    files, done : of the files of a download, how many there are and how many are settled (kept, got, failed)
    bytes : received, those of failed attempts too
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.files = self.done = self.bytes = 0
        self.fetched = self.fetched_bytes = 0  # whole files and their bytes
        self.kept = 0
        self._clock, self.begun = clock, clock()
        self._marks = [(self.begun, 0)]

    def receive(self, count: int) -> None:
        """Count bytes that came."""
        self.bytes += count
        now = self._clock()
        if now - self._marks[-1][0] >= 0.5:
            self._marks.append((now, self.bytes))
            while len(self._marks) > 2 and now - self._marks[1][0] > SPAN:
                self._marks.pop(0)

    def settle(self, size: int = 0, *, fetched: bool = False, kept: bool = False) -> None:
        """Count a file that is got, was there, or failed."""
        self.done += 1
        self.kept += kept
        if fetched:
            self.fetched += 1
            self.fetched_bytes += size

    @property
    def rate(self) -> float:
        """Bytes a second over the last ten seconds or so."""
        since, before = self._marks[0]
        return (self.bytes - before) / max(self._clock() - since, 1e-3)

    @property
    def left(self) -> float | None:
        """Seconds left, about: the files to come are taken to be like those that came; None = no idea yet."""
        if not self.fetched or self.rate <= 0.0:
            return None
        to_come = (self.files - self.done) * self.fetched_bytes / self.fetched
        return max(to_come - (self.bytes - self.fetched_bytes), 0.0) / self.rate

    def words(self) -> str:
        """Return all of it as one line."""
        left = "" if self.left is None or self.done >= self.files else f", about {span(self.left)} left"
        return f"{self.done} of {self.files} files, {size(self.bytes)}, {size(self.rate)}/s{left}"


def size(count: float) -> str:
    """Return bytes in words: 1.4 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1_000.0:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1_000.0
    return f"{count:.1f} TB"


def span(seconds: float) -> str:
    """Return a length of time in words: 40 s, 12 min, 3.5 h."""
    if seconds < 90.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 5_400.0 else f"{seconds / 3_600.0:.1f} h"


class PlainLines:
    """Says how far it is now and then: for logs and pipes."""

    def __init__(self, say: Callable[[str], None], every: float = EVERY) -> None:
        self.say, self.every = say, every
        self.next = time.monotonic() + every

    def __call__(self, meter: Meter) -> None:
        now = time.monotonic()
        if now >= self.next:
            self.next = now + self.every
            self.say(meter.words())

    def close(self) -> None:
        """Nothing to take away."""


class Bar:
    """A bar on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self.progress = Progress(
            BarColumn(), TextColumn("{task.fields[words]}"), console=Console(stderr=True), transient=True
        )
        self.task = self.progress.add_task("", total=None, words="")
        self.progress.start()
        self.next = 0.0

    def __call__(self, meter: Meter) -> None:
        now = time.monotonic()
        if now >= self.next:
            self.next = now + 0.1
            self.progress.update(self.task, completed=meter.done, total=meter.files, words=meter.words())

    def close(self) -> None:
        """Take the bar away."""
        self.progress.stop()


def view(say: Callable[[str], None]) -> Any:
    """Return a bar where stderr is a terminal, else plain lines."""
    return Bar() if sys.stderr.isatty() else PlainLines(say)
