"""Made decisions: a market of 15-minute bars, its questions, and their answers as a cassette and as a store.

The answers are those of the loopback server to the same questions, through the same reading and the same
records as paid ones; only the socket is left out.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from framework import Instrument, Market, compiled, market_brief
from framework.jit import cache_root
from framework.llm.decision import Prompt
from framework.llm.record import SCHEMA
from framework.llm.reply import PARSER
from strategies.regime_trader import RegimeTrader

from .peers import workload as w

VERSION = 1
MODEL = "gpt-4.1"
DECISIONS, STEP = 100_000, 900_000_000_000  # ns between two questions
WARM = 200  # bars before the first question
WHAT = Instrument("binance-futures:MADE", "linear", 0.01, 0.001)
CASSETTE, PACKED, STORE = "cassette.jsonl", "cassette.jsonl.gz", "store"


@compiled
class Quarterly(RegimeTrader):
    """The example, asked at every close of a 15-minute bar."""

    ask_every = "15m"
    warmup = WARM


def market(decisions: int) -> Market:
    """Return enough 15-minute bars for so many questions."""
    bars = w.candles(decisions + WARM)
    columns = dict(zip(w.COLUMNS, bars.T, strict=True))
    open_ts = w.START_S * 1_000_000_000 + STEP * np.arange(len(bars))
    return Market.from_candles({"open_ts": open_ts, "close_ts": open_ts + STEP, **columns}, WHAT)


def prompts(feed: Market, decisions: int) -> Iterator[Prompt]:
    """Yield the questions, one for each close after the warm-up."""
    from framework import View

    view = View(feed, feed.start)
    for ts in feed.match_bars(0)["close_ts"][WARM : WARM + decisions].tolist():
        yield Prompt.of(market_brief(view.at(ts)))


def records(decisions: int) -> Iterator[dict[str, Any]]:
    """Yield one record a question: the loopback server's answer, read, judged and priced."""
    from framework.llm.client import HolySheep
    from framework.llm.prices import price_of, price_tokens, tokens_of
    from framework.llm.record import Reply, judge, make_record
    from framework.testing.holysheep_replies import signal_for

    client = HolySheep(MODEL, response_format="json_object")
    price = price_of(MODEL)
    assert price is not None
    usage = {"prompt_tokens": 800, "completion_tokens": 150}
    for k, prompt in enumerate(prompts(market(decisions), decisions)):
        request = client.request(prompt)
        reply = Reply(signal_for(request["body"]), model=MODEL, id=f"made-{k}", usage=usage)
        cost = price_tokens(price, tokens_of(usage, len(prompt.text), client.max_tokens))
        latency = 500_000_000 + 7_919 * k % 900_000_000
        yield make_record(request, prompt, reply, judge(reply, prompt), analyst=client.name, stand_in=False,
                          latency_ns=latency, cost=cost)  # fmt: skip


def make(place: Path, decisions: int) -> None:
    """Write a cassette, the same packed, and a store with the same records."""
    from framework.llm.cassette import write_cassette
    from framework.llm.record import canonical
    from framework.llm.store import Store

    rows = list(records(decisions))
    write_cassette(place / PACKED, rows)
    with gzip.open(place / PACKED) as packed:
        (place / CASSETTE).write_bytes(packed.read())
    with Store(place / STORE) as store:
        for row in rows:
            store.set(row["key"], canonical(row))


def folder(decisions: int = DECISIONS) -> Path:
    """Return the folder with the files, made on first use: some minutes for all of them."""
    place = cache_root() / "benchmarks" / f"decisions-{decisions}-v{VERSION}.{SCHEMA}.{PARSER}"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(dir=place.parent))
        make(new, decisions)
        try:
            os.replace(new, place)
        except OSError:  # another process was faster
            shutil.rmtree(new)
    return place
