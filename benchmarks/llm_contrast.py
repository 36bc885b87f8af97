"""One loopback server, the same questions: ten at once, half a reply, one asked again; ours and the peers."""

from __future__ import annotations

import os
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from . import llm_made
from .environments import python_of, script
from .measure import child
from .peers import chat

PEERS = ("litellm", "dspy")
THINKS = 0.3  # s: long enough for ten to be in flight together
HEADS = ("client", "upstream calls for 10 at once", "half a reply given out again as an answer",
         "tokens told: paid, hit", "USD told: paid, hit", "us a hit")  # fmt: skip
USAGE = {"prompt_tokens": 800, "completion_tokens": 150, "total_tokens": 950}


@contextmanager
def counting() -> Iterator[tuple[Any, Counter[str]]]:
    """Lend a server and how often each question reached it; the last line of a question says which it is."""
    from framework.testing.holysheep import HolySheepServer, Scripted
    from framework.testing.holysheep_replies import signal_for

    asked, lock = Counter[str](), threading.Lock()

    def plan(body: dict[str, Any]) -> Scripted:
        last = body["messages"][-1]["content"].rpartition("\n")[2]
        with lock:
            asked[last] += 1
        text = signal_for(body)
        if last == chat.CUT:
            return Scripted(text=text[:30], finish_reason="length", usage=USAGE)
        return Scripted(text=text, usage=USAGE)

    with HolySheepServer(plan, latency=THINKS) as server:
        yield server, asked


def peer(name: str) -> dict[str, Any]:
    """Let a peer ask, by its own Python."""
    python = python_of(name)
    if python is None:
        return {"error": "not installed here"}
    with counting() as (server, asked), tempfile.TemporaryDirectory() as place:
        env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "DSPY_CACHEDIR": place}
        command = [python, script(name), server.url, server.key, place]
        first, again = child(command, env), child(command, env)
        failed = next((told for told in (first, again) if "error" in told), None)
        if failed:
            return failed
        return {**first, "again": again["paid"], "calls": asked[chat.SAME], "paid_calls": asked[chat.PAID]}


def ours() -> dict[str, Any]:
    """Ask as the peers do: a client in each of ten threads over one store, then one that only replays."""
    from framework import __version__
    from framework.llm.client import HolySheep

    first = next(llm_made.prompts(llm_made.market(1), 1))
    with counting() as (server, asked), tempfile.TemporaryDirectory() as place:
        os.environ |= server.environment

        def client(mode: str) -> HolySheep:
            return HolySheep(chat.MODEL, mode=mode, store=place, canary=False)

        def decide(one: HolySheep, text: str) -> Any:
            return one.decide([replace(first, text=f"{first.text}\n{text}")])[0]

        def alone(text: str) -> None:
            with client("record") as mine:
                decide(mine, text)

        chat.at_once(alone)
        with client("record") as one:
            decide(one, chat.CUT)
            cut = decide(one, chat.CUT)
            paid = decide(one, chat.PAID)
        with client("replay") as one:
            again = decide(one, chat.PAID)
            return {
                "version": __version__, "calls": asked[chat.SAME], "paid_calls": asked[chat.PAID],
                "cut": {"text": cut.signal and str(cut.signal), "status": cut.status},
                "paid": {"tokens": USAGE["total_tokens"], "usd": paid.cost},
                "again": {"tokens": one.records()[0]["reply"]["usage"]["total_tokens"], "usd": again.cost,
                          "spent": one.spent_usd},
                "hit_us": chat.hit_us(lambda text: decide(one, text)),
            }  # fmt: skip


def usd(value: float | None) -> str:
    """Write a price; a client that says none says 0."""
    return f"{value or 0.0:.4f}"


def lines(rows: dict[str, dict[str, Any]]) -> list[str]:
    """Return the clients as a table."""
    out = ["| " + " | ".join(HEADS) + " |", "|" + "---|" * len(HEADS)]
    for name, row in rows.items():
        if "error" in row:
            out.append(f"| {name} | {row['error']} |" + " |" * (len(HEADS) - 2))
            continue
        cut = "yes" if row["cut"]["text"] else f"no ({row['cut'].get('status', 'asked again')})"
        paid, again = row["paid"], row["again"]
        cells = (f"{name} {row['version']}", f"{row['calls']}", cut, f"{paid['tokens']}, {again['tokens']}",
                 f"{usd(paid['usd'])}, {usd(again['usd'])}", f"{row['hit_us']:,.0f}")  # fmt: skip
        out.append("| " + " | ".join(cells) + " |")
    mine = rows["ours"]
    if "error" not in mine:
        both = f"{usd(mine['again']['usd'])} booked into the run, {usd(mine['again']['spent'])} spent"
        out += ["", f"A hit of ours says both: {both}. Prices are each one's own; hits another process's, "
                "of ours another client's."]  # fmt: skip
    return out
