"""The desk: portfolio questions, asked in the middle of a run and answered among the signals on their way.

A question of the market can be asked before the run; one that shows the account cannot. Its times are known,
though, so they stand as rows among the signals: at such a row the engine wakes the plain driver, the question
is asked, and its answer is put in its place by its time of arrival. (One that takes no time at all is here
after the equity row and the hooks of signals of that moment.)
"""

from __future__ import annotations

import bisect
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.deliver import NO, REPLACED, SKIPPED, STALE, TOO_OLD, YES, latency_of, rows_of
from framework.engine.tables import Tables
from framework.errors import StrategyError
from framework.llm.decision import Decision, Prompt
from framework.llm.facts import need_static
from framework.market import Market, View
from framework.questions import Answers, as_prompts, question_times, told_of
from framework.records import ASK, NEVER, SIGNAL, WITHHELD
from framework.replies import Replies
from framework.strategy import Analyst, Strategy

SPARE = 256  # rows for answers on their way, besides those of questions asked before


class Desk:
    """Asks the portfolio questions of one run.

    Parameters
    ----------
    made : the strategy's object of this run; `market` : what its view shows
    analyst : who answers; `replies` : how answers are delivered; `feed_ns` : how late bars are seen
    """

    def __init__(
        self, made: Strategy, market: Market, analyst: Analyst, replies: Replies, feed_ns: int
    ) -> None:
        self.made, self.market, self.analyst, self.replies = made, market, analyst, replies
        self.view = View(market, market.start, feed_ns, made.bars)
        self.times = question_times(made, market, feed_ns)
        self.prompts: list[Prompt] = []
        self.decisions: list[Decision] = []
        self.words: list[str] = []
        self.arrivals: list[int] = []
        self._pool: list[int] = []
        self._first: dict[tuple[int, str], Prompt] = {}  # whose instructions the later ones must have
        self._flying: dict[int, list[int]] = {}  # instrument -> rows of the answers on their way

    def signals(self) -> NDArray[Any]:
        """Return the stream the engine starts with: spare rows that lie in the past, then the questions."""
        rows = np.zeros(SPARE + len(self.times), SIGNAL)
        rows["arrival_ts"][:SPARE] = -NEVER
        rows["arrival_ts"][SPARE:] = rows["ts"][SPARE:] = self.times
        rows["status"] = ASK
        return rows

    def start(self, tables: Tables) -> None:
        """Let the engine begin at the first question."""
        tables.clock["signal"] = tables.clock["signal_paid"] = SPARE

    def ask(self, tables: Tables, brokers: Any) -> None:
        """Ask what is due now, and put the answers among the signals."""
        now = int(tables.clock["now"])
        before = int(tables.clock["sequence"])
        asked = self.made.ask_portfolio(self.view.at(now), brokers[0])  # type: ignore[attr-defined]
        if int(tables.clock["sequence"]) != before:
            raise StrategyError(
                f"{type(self.made).__name__}.ask_portfolio sent an order; a question only asks: act in "
                "on_signal"
            )
        for prompt in as_prompts(self.made, asked, self.market, "ask_portfolio"):
            need_static((self._first.setdefault((prompt.instrument, prompt.version), prompt), prompt))
            self._ask(tables, prompt, now)

    def _ask(self, tables: Tables, prompt: Prompt, now: int) -> None:
        k, overlap = prompt.instrument, self.replies.overlap
        flying = [j for j in self._flying.get(k, ()) if self.arrivals[j] > now]
        if flying:
            last = flying[-1]
            if overlap == "skip":
                return self._note(prompt, skipped(prompt, self.analyst), SKIPPED, now)
            if overlap == "queue":
                again = np.zeros((), SIGNAL)
                again["ts"], again["arrival_ts"], again["status"] = now, self.arrivals[last], ASK
                return insert(tables, again)
            if overlap == "replace" and self.words[last] == YES:
                self._withhold(tables, last)
        (decision,) = self.analyst.decide([prompt])
        if decision.status != "missing":
            bisect.insort(self._pool, decision.latency_ns)
        arrival = now + latency_of(decision, self.replies, self._pool)
        self._note(prompt, decision, self._word(decision, arrival), arrival)
        row = len(self.decisions) - 1
        signal = rows_of([decision], [arrival], [self.words[row]], self.replies)[0]
        signal["id"] = row
        if self.words[row] == YES and self.replies.stale == "drop":
            for j in flying:
                if self.arrivals[j] > arrival and self.words[j] == YES:
                    self._withhold(tables, j, STALE)
        self._flying[k] = [*flying, row]
        insert(tables, signal)

    def _word(self, decision: Decision, arrival: int) -> str:
        """Return whether an answer reaches the strategy."""
        if decision.status != "ok":
            return NO
        oldest = self.replies.max_age_ns
        return TOO_OLD if oldest is not None and arrival - decision.ts > oldest else YES

    def _note(self, prompt: Prompt, decision: Decision, word: str, arrival: int) -> None:
        self.prompts.append(prompt)
        self.decisions.append(decision)
        self.words.append(word)
        self.arrivals.append(arrival)

    def _withhold(self, tables: Tables, row: int, word: str = REPLACED) -> None:
        """Take an answer that is on its way out of the stream; it is paid all the same."""
        self.words[row] = word
        rows = tables.sim.signals
        at = int(tables.clock["signal"]) + np.flatnonzero(rows["id"][int(tables.clock["signal"]):] == row)
        rows["status"][at[rows["status"][at] != ASK]] = WITHHELD

    def answers(self) -> Answers:
        """Return what was asked and answered in the run."""
        rows = rows_of(self.decisions, self.arrivals, self.words, self.replies)
        return told_of(self.made, self.market, self.analyst, self.prompts, self.decisions, rows, self.words)


def skipped(prompt: Prompt, analyst: Analyst) -> Decision:
    """Return the decision of a question that was left out."""
    why = ("another answer was on its way",)
    return Decision(prompt.ts, prompt.instrument, 0, "withheld", None, "", 0.0, 0, "", why, (), analyst.model)


def insert(tables: Tables, signal: Any) -> None:
    """Put a row among the signals on their way, by its time; the row of a past one makes room."""
    rows, c = tables.sim.signals, tables.clock
    first, end = int(c["signal"]), int(c["signal_end"])
    if int(signal["arrival_ts"]) > int(c["stop"]):
        return
    if first == 0:
        raise StrategyError(f"more than {SPARE:,} answers are on their way; ask less often")
    at = int(c["signal_paid"])
    at += int(np.searchsorted(rows["arrival_ts"][at:end], signal["arrival_ts"], side="right"))
    rows[first - 1 : at - 1] = rows[first:at].copy()
    rows[at - 1] = signal
    c["signal"] -= 1
    c["signal_paid"] -= 1

