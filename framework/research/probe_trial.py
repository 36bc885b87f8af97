"""One probe under way: the chosen questions, who answers, and what was said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from framework.errors import ConfigError
from framework.llm.decision import Decision, Prompt
from framework.market import Market, View
from framework.records import DIRECTIONS
from framework.research.probe_variants import Asked, history, variants
from framework.strategy import Analyst

BySample = Callable[[int], Analyst]


class Trial:
    """One probe: the chosen questions, who answers, and what was said."""

    def __init__(self, every: Sequence[Prompt], rows: Sequence[int], market: Market, feed: int,
                 by_sample: BySample) -> None:
        self.every, self.rows = every, rows
        self.chosen = [every[row] for row in rows]
        self.market, self.view = market, View(market, market.start, feed)
        self.by_sample, self.who = by_sample, dict[int, Any]()
        self.said: list[tuple[Asked, Decision]] = []

    def variants(self, tests: Sequence[str], seed: int, samples: int) -> list[Asked]:
        """Return all questions of the probe."""
        found = list(variants(tests, self.chosen, self.bars, seed, samples))
        self.who = {k: self.by_sample(k) for k in sorted({one.sample for one in found})}
        return found

    def bars(self, prompt: Prompt) -> NDArray[Any]:
        """Return the history of a question as it was known then."""
        brief = prompt.brief
        rows = self.view.at(prompt.ts).bars(
            history(brief.interval_ns), brief.interval_ns, prompt.instrument
        )
        if not len(rows) or float(rows["close"][-1]) != brief.price:
            raise ConfigError(
                f"{brief.symbol}: its brief is not of the market's bars; leave out shuffled, like "
                "tests=('masked', 'mirrored', 'recall')"
            )
        return rows

    def ask(self, asked: Sequence[Asked]) -> None:
        """Ask everything, sample by sample."""
        for sample, analyst in self.who.items():
            group = [one for one in asked if one.sample == sample]
            self.said += zip(group, analyst.decide([one.prompt for one in group]), strict=True)

    def directions(self, test: str, detail: str = "", sample: int = 0) -> dict[int, int]:
        """Return what was said in one test by row; only valid answers."""
        return {
            a.row: DIRECTIONS[d.signal.direction]
            for a, d in self.said
            if (a.test, a.detail, a.sample) == (test, detail, sample) and d.status == "ok" and d.signal
        }

    def told(self, test: str) -> dict[int, str]:
        """Return the texts of valid answers that are no signals, by row."""
        found = [(a.row, d) for a, d in self.said if a.test == test and d.status == "ok"]
        texts = {r["key"]: r["reply"]["text"] for r in self.who[0].records({d.key for _, d in found})}
        return {row: texts[d.key] for row, d in found if d.key in texts}

    def count(self, test: str) -> int:
        """Return how many questions of a test were answered at all."""
        return sum(a.test == test and d.status != "missing" for a, d in self.said)
