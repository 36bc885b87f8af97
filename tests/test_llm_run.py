"""A whole backtest against a relay that answers with everything that can go wrong: a verdict for each."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl

from framework import Market, Strategy, backtest, market_brief
from framework.testing.holysheep import Scripted
from framework.times import HOUR
from tests.broken_replies import CASES
from tests.llm_bench import GOOD, Bench, bench, quick
from tests.market_frames import ID, candles

__all__ = ["bench"]  # fixture

Row = tuple[str, list[Scripted], str]
LOST = [*(Scripted(status=code) for code in (408, 409, 429, 500, 502, 503, 504)), Scripted(cut=20),
        Scripted(body=b""), Scripted(body=b"<html>"), Scripted(body=b'{"choices": []}'),
        Scripted(headers={"Content-Encoding": "gzip"})]  # fmt: skip
ODD: list[Row] = [
    *((f"lost twice {n}", [one, one], "missing") for n, one in enumerate(LOST)),
    *((f"lost once {n}", [one, Scripted(GOOD)], "ok") for n, one in enumerate(LOST)),
    *((f"HTTP {code}", [Scripted(status=code)], "missing") for code in (400, 413, 422, 451)),
    ("5 MB", [Scripted(GOOD, size=5 * 2**20)], "invalid"),
    ("no content", [Scripted(message={"content": None})], "invalid"),
    ("a refusal", [Scripted(message={"refusal": "no"})], "refused"),
    ("an old call", [Scripted(message={"function_call": {"name": "buy"}})], "invalid"),
    ("usage that lies", [Scripted(GOOD, usage={"prompt_tokens": -1, "completion_tokens": 10**30})], "ok"),
]


def rows() -> list[Row]:
    """Return what comes for each question: the corpus, and between its replies what happens on the way."""
    found: list[Row] = []
    for name, text, options, status, _ in CASES:
        calls = {"tool_calls": [{"id": "1", "type": "function"}]} if options.get("tool_calls") else {}
        finish = options.get("finish_reason", "stop")
        found.append((name, [Scripted(text, finish_reason=finish, message=calls)], status))
        if len(found) % 3 == 0 and len(found) // 6 < len(ODD):  # never five lost in a row
            found.append(ODD[len(found) // 6])
    return found


class Obeys(Strategy):
    """One order for each signal that comes."""

    ask_every = "1h"

    def ask(self, view):
        return market_brief(view)

    def on_signal(self, signal, broker):
        if signal.direction != 0:
            broker.order(signal.direction, qty=0.01)


def flat(hours: int) -> Market:
    """Return a market that stands at 100, for which the corpus is written."""
    frame = candles(hours, HOUR).with_columns(
        *(pl.lit(value).alias(name) for name, value in
          {"open": 100.0, "high": 100.05, "low": 99.95, "close": 100.0}.items())
    )  # fmt: skip
    return Market.from_candles(frame, ID, "1h", "open")


def test_no_exception_and_no_order_but_from_a_valid_reply(bench: Bench) -> None:
    plan, seen, asked = rows(), dict[str, int](), Counter[int]()

    def answer(body: dict[str, Any]) -> Scripted:
        row = seen.setdefault(body["messages"][1]["content"], len(seen))
        scripts = plan[row][1]
        asked[row] += 1
        return scripts[min(asked[row], len(scripts)) - 1]

    server = bench.serve(answer)
    with bench.client(retries=1) as client:
        result = backtest(Obeys, flat(len(plan) + 2), analyst=quick(client))
    decided = result.decisions.head(len(plan))
    found = list(zip(decided["status"], (status for *_, status in plan), plan, strict=True))
    assert [(row[0], got, due) for got, due, row in found if got != due] == []
    assert len(plan) > 200
    assert server.calls > len(plan)
    assert result.status == "incomplete"
    assert {"ok", "invalid", "refused", "truncated", "missing"} == {*decided["status"]}
    due = result.decisions.filter((pl.col("status") == "ok") & (pl.col("direction") != "neutral"))
    assert result.orders["ts"].to_list() == (due["ts"] + due["latency_ns"]).to_list()
    assert result.orders.height > 50
    assert result.decisions.filter(pl.col("status") != "ok")["stop"].is_nan().all()
