"""Questions of a strategy and their answers: planned over the market, asked once, turned into a stream."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from framework.deliver import YES, deliver
from framework.errors import ConfigError, StrategyError
from framework.llm.decision import Decision, Prompt
from framework.llm.facts import Facts, described, need_static
from framework.llm.portfolio import with_portfolio
from framework.llm.prompt import DEPTH_LEVELS, FLOW_TRADES, Book, Brief, Trades, make_brief
from framework.market import Market, View
from framework.market_view import TICK_BARS
from framework.replies import Replies
from framework.strategy import Analyst, Strategy
from framework.times import format_interval, parse_duration, parse_interval

HISTORY = 600  # bars of history a brief is made from, at least
DAY = 86_400_000_000_000  # ns: what the 24 h change looks back


@dataclass(frozen=True)
class Answers:
    """What the analyst said, as the engine's stream and for the report."""

    signals: NDArray[Any]
    decisions: Sequence[Decision]
    name: str
    stand_in: bool
    describe: dict[str, Any]
    tape: Callable[[], bytes]
    ids: tuple[str, ...]  # of the market's instruments
    prompts: Sequence[Prompt]  # as they were asked, in the order of `decisions`
    delivered: Sequence[str]  # what became of each answer, see `framework.deliver`

    @property
    def due(self) -> int:
        """Questions that were asked."""
        return len(self.decisions)

    @property
    def missing(self) -> int:
        """Questions without an answer: the run is incomplete."""
        return sum(d.status == "missing" for d in self.decisions)

    @property
    def coverage(self) -> tuple[int, int]:
        """(valid decisions that reached the strategy, due decisions)."""
        return sum(word == YES for word in self.delivered), self.due

    def frame(self) -> pl.DataFrame:
        """Return the decisions table of a result."""
        rows = []
        arrivals = self.signals["arrival_ts"][np.argsort(self.signals["id"])].tolist()
        for i, d in enumerate(self.decisions):
            s = d.signal
            rows.append(
                {
                    "ts": d.ts, "instrument": self.ids[d.instrument], "status": d.status,
                    "regime": s.regime if s else None, "direction": s.direction if s else None,
                    "confidence": s.confidence if s else math.nan, "entry": _number(s, "suggested_entry"),
                    "stop": _number(s, "stop_loss"), "target": _number(s, "take_profit"),
                    "size": _number(s, "position_size_pct"), "latency_ns": d.latency_ns, "cost": d.cost,
                    "in_sample": bool(d.in_sample), "model": d.model,
                    "reasoning": d.reasoning or "; ".join(d.problems), "key": d.key,
                    "arrival_ts": arrivals[i], "delivered": self.delivered[i],
                    "repairs": "; ".join(d.repairs), "sample": d.sample,
                }
            )  # fmt: skip
        from framework.result import SCHEMAS

        return pl.DataFrame(rows, schema=SCHEMAS["decisions"])


def _number(signal: Any, name: str) -> float:
    value = getattr(signal, name, None) if signal is not None else None
    return math.nan if value is None else float(value)


def market_brief(view: View, instrument: int = 0, interval: str | int | None = None, *,
                 facts: Facts | None = None, instructions: str | None = None,
                 version: str | None = None) -> Brief:
    """Return the market brief of one instrument as known at `view.now`, with its book and trades.

    Parameters
    ----------
    view
        What `ask` gets.
    instrument
        Index in `Market.instruments`.
    interval
        Which bars; default those of the class's `bars`, else the finest. One that was not loaded is built
        from the finest.
    facts
        name -> AsOf(value, known_ts): numbers or short texts of the strategy's own; refused by name and time
        when known only later.
    instructions
        Text added to the system message; the same at every question.
    version
        Name of this wording, for tables; the model does not see it.
    """
    last = view.bars(1, interval, instrument)
    length = (
        parse_interval(interval)
        if interval
        else int(last[-1]["close_ts"] - last[-1]["open_ts"])
        if len(last)
        else DAY
    )
    bars = view.bars(max(HISTORY, DAY // length + 2), interval, instrument)
    name = view.instruments[instrument].symbol
    return make_brief(
        view.now, name, length, bars, book=_levels(view, instrument), trades=_trades(view, instrument),
        facts=facts, instructions=instructions, version=version,
    )  # fmt: skip


def portfolio_brief(view: View, broker: Any, instrument: int = 0, interval: str | int | None = None,
                    **more: Any) -> Brief:
    """Return the market brief with what `broker` holds: position, entry, gain, share of equity, open orders.

    Takes what `market_brief` takes. Such questions depend on the path of the run and are asked one by one.
    """
    return with_portfolio(market_brief(view, instrument, interval, **more), broker.at(instrument))


def _levels(view: View, instrument: int) -> Book | None:
    """Return the book a brief is made from; None without one, or before its first message."""
    book = view.book(instrument) if view.has_book(instrument) else None
    if book is None or book.age < 0:
        return None
    bids, asks = book.depth(DEPTH_LEVELS)
    return book.local_ts, np.column_stack(bids), np.column_stack(asks)


def _trades(view: View, instrument: int) -> Trades | None:
    """Return the trades a brief is made from; None without any."""
    if not view.has_trades(instrument):
        return None
    rows = view.trades(FLOW_TRADES, instrument)
    return rows["local_ts"], rows["qty"], rows["side"]


def question_times(made: Strategy, market: Market, feed_ns: int = 0) -> range:
    """Return the times at which `ask` is called: every `ask_every`, on its own grid, inside the market."""
    step = parse_duration(made.ask_every)
    if step <= 0:
        raise StrategyError(f'{type(made).__name__}.ask_every must be longer than 0, like "4h"')
    closes = seen_times(made, market, feed_ns)
    if not len(closes):
        return range(0)
    first = max(int(closes[min(made.warmup, len(closes) - 1)]), market.start)
    return range(-(-first // step) * step, market.stop + 1, step)


def seen_times(made: Strategy, market: Market, feed_ns: int) -> NDArray[np.int64]:
    """Return when the bars of instrument 0 that `on_bar` gets are seen."""
    if market.has_ticks(0):
        loaded = market.loaded_intervals(0)
        interval = parse_interval(made.bars or (loaded[0] if loaded else TICK_BARS))
        return market.shown_bars(0, interval).shown_ts
    if not len(market.match_bars(0)):
        return np.zeros(0, np.int64)
    joined = market.joined(parse_interval(made.bars) if made.bars else None)
    closes: NDArray[np.int64] = joined.bars["close_ts"][slice(*joined.shown[0])]
    return closes + feed_ns


def prompts_of(made: Strategy, market: Market, feed_ns: int = 0) -> list[Prompt]:
    """Call `ask` at every question time and return what it wants to ask."""
    view = View(market, market.start, feed_ns, made.bars)
    found: list[Prompt] = []
    for ts in question_times(made, market, feed_ns):
        found += as_prompts(made, made.ask(view.at(ts)), market, "ask")  # type: ignore[attr-defined]
    need_static(found)
    return found


def as_prompts(made: Strategy, asked: Any, market: Market, hook: str) -> list[Prompt]:
    """Return what `ask` or `ask_portfolio` gave back as prompts."""
    found: list[Prompt] = []
    for one in asked if isinstance(asked, (list, tuple)) else [asked]:
        if one is None:
            continue
        if isinstance(one, Brief):
            one = Prompt.of(one, index_of(one, market))
        if not isinstance(one, Prompt):
            words = "market_brief(view)" if hook == "ask" else "portfolio_brief(view, broker)"
            raise StrategyError(
                f"{type(made).__name__}.{hook} returns {type(one).__name__}; return {words}, a list of them, "
                "or None"
            )
        found.append(one)
    return found


def index_of(brief: Brief, market: Market) -> int:
    """Return the instrument a brief is about."""
    for k, one in enumerate(market.instruments):
        if brief.symbol in (one.symbol, one.id):
            return k
    return 0


def check_analyst(analyst: Any) -> None:
    """Refuse who cannot answer: the analyst must be an object with `decide`."""
    if analyst is not None and not (callable(getattr(analyst, "decide", None)) and hasattr(analyst, "name")):
        raise ConfigError(
            f"analyst must be an analyst, not {analyst!r}; write analyst=HolySheep(model=...) or "
            'analyst=CassetteAnalyst("results/run")'
        )


def answers(
    made: Strategy, market: Market, analyst: Analyst | None, feed_ns: int = 0, replies: Replies | None = None
) -> Answers | None:
    """Ask everything the strategy wants to know; None when it asks nothing or the market brings its signals.
    """
    if not callable(getattr(made, "ask", None)) or len(market.signals):
        return None
    analyst = analyst or stand_in()
    made.setup()
    prompts = prompts_of(made, market, feed_ns)
    decisions = analyst.decide(prompts)
    rows, words = deliver(decisions, replies or Replies())
    return told_of(made, market, analyst, prompts, decisions, rows, words)


def stand_in() -> Analyst:
    """Return who answers when nobody was named."""
    from framework.llm.rules import Rules

    return Rules()


def told_of(
    made: Strategy, market: Market, analyst: Analyst, prompts: Sequence[Prompt],
    decisions: Sequence[Decision], signals: NDArray[Any], delivered: Sequence[str],
) -> Answers:
    """Return what was asked and answered, for the engine and the report."""
    records = getattr(analyst, "records", None)

    def tape() -> bytes:
        from framework.llm.cassette import encode

        return encode(records({d.key for d in decisions})) if records else b""

    describe = getattr(analyst, "describe", None)
    who = {"name": analyst.name, "model": analyst.model, "stand_in": analyst.stand_in}
    said = dict(describe() if describe else who)
    said |= {"ask_every": format_interval(parse_duration(made.ask_every)), "questions": len(prompts)}
    said |= {name: found for name, found in described(prompts).items() if found}
    if alarms := list(getattr(analyst, "alarms", ())):
        said["alarms"] = alarms
    return Answers(
        signals, decisions, analyst.name, analyst.stand_in, said, tape,
        tuple(one.id for one in market.instruments), prompts, delivered,
    )  # fmt: skip


__all__ = ["Answers", "answers", "market_brief", "portfolio_brief"]
