"""A maker over 5,000,000 rows of book and trades: ours, bare loops, hftbacktest in the same call."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from .environments import python_of, script
from .measure import child, forget_peak, high_rss_mb, machine, peak_rss_mb, process, rss_mb, timed

TITLE = "Ticks: 5,000,000 rows (85 % levels, 15 % trades) in 8,898 s, a maker every 100 ms, 10 ms each way"
OURS = {  # class in tick_makers, plain Python, instruments
    "maker": ("Maker", False, 1), "maker, plain class": ("Maker", True, 1),
    "wake-ups only": ("Idle", False, 1), "wake-ups only, plain class": ("Idle", True, 1),
    "maker, partial fills": ("Maker", False, 1),
    "maker, two instruments": ("Makers", False, 2), "maker, four instruments": ("Makers", False, 4),
    "maker and every trade": ("MakerWithTape", False, 1),
    "maker and ten levels a message": ("MakerWithDepth", False, 1),
    "quotes at every message": ("EveryMessage", False, 1),
    "grid of 60 orders": ("Grid", False, 1), "IOC taker": ("Taker", False, 1),
}  # fmt: skip
FLOORS = ("one book", "two books, 64-byte rows", "one book, Python quotes")
PEERS = {
    "hftbacktest, HashMap": ("maker", "hashmap", "1"), "hftbacktest, ROIVector": ("maker", "roi", "1"),
    "hftbacktest, plain Python": ("plain", "hashmap", "1"),
    "hftbacktest, wake-ups only": ("idle", "hashmap", "1"),
    "hftbacktest, wake-ups only, ROIVector": ("idle", "roi", "1"),
    "hftbacktest, two instruments": ("maker", "hashmap", "2"),
    "hftbacktest, four instruments": ("maker", "hashmap", "4"),
}  # fmt: skip
COPIES = 10  # of the feed, in the long run


# --- the measured processes -------------------------------------------------------------------
def options(partial: bool = False) -> dict[str, Any]:
    """Return the account and the realism of every run; as the peer's."""
    from framework import Costs, Fills, Latency

    return {
        "cash": 1e7, "costs": Costs(maker=-0.00005, taker=0.0007, slippage=0.0),
        "latency": Latency(order="10ms", response="10ms"),
        "fills": Fills(partial=True) if partial else Fills.like("hftbacktest"),
    }  # fmt: skip


def markets(count: int, copies: int = 1) -> Any:
    """Return the feed as `count` instruments, each a little later than the one before."""
    from framework import Market

    from .tick_feed import market

    made = [market("MADE" if k == 0 else f"MADE{k}", k * 3_000_000, copies) for k in range(count)]
    return made[0] if count == 1 else Market.join(*made)


def strategy(name: str) -> Any:
    """Return the strategy of a row."""
    from . import tick_makers

    written, is_plain, count = OURS[name]
    cls = getattr(tick_makers, written)
    cls = tick_makers.plain(cls) if is_plain else cls
    return cls(count=count) if written == "Makers" else cls()


def ours(name: str, repeats: int = 9) -> dict[str, Any]:
    """Measure `backtest` calls; the first one compiles."""
    from framework import backtest

    from .tick_feed import ROWS

    feed, what, chosen = markets(OURS[name][2]), strategy(name), options("partial" in name)
    last: dict[str, Any] = {}

    def call() -> None:
        last.clear()  # one result at a time: its memory is not the next run's
        last["result"] = backtest(what, feed, **chosen)

    figures = timed(call, repeats)
    return {**figures, "events": ROWS * OURS[name][2], "peak_rss_mb": peak_rss_mb(), **ending(last["result"])}


def ending(result: Any) -> dict[str, Any]:
    """Return what shows that the work was the same."""
    fills = result.fills
    signs = (fills["side"] == "buy").cast(int) * 2 - 1
    return {"fills": len(fills), "orders": len(result.orders), "fees": round(float(fills["fee"].sum()), 6),
            "position": round(float((signs * fills["qty"]).sum()), 6)}  # fmt: skip


def floor(name: str) -> dict[str, Any]:
    """Measure a bare loop."""
    import numpy as np

    from . import tick_feed, tick_floors

    if name == FLOORS[1]:
        events = np.load(tick_feed.folder() / tick_feed.EVENTS)
        figures = timed(lambda: tick_floors.two_books(events, *tick_floors.empty(), *tick_floors.empty()), 5)
    else:
        given = tick_floors.columns()
        if name == FLOORS[2]:
            figures = timed(lambda: tick_floors.python_quotes(given), 5)
        else:
            figures = timed(lambda: tick_floors.one_book(*given, *tick_floors.empty()), 5)
    return {**figures, "events": tick_feed.ROWS, "peak_rss_mb": peak_rss_mb()}


def once(name: str) -> dict[str, Any]:
    """One run of a fresh process: seconds of the whole call, compiling included."""
    return ours(name, 0)


def reading() -> dict[str, Any]:
    """Read the Tardis files into a Market."""
    from framework import Instrument
    from framework.data import from_tardis

    from .tick_feed import LOT, TICK, folder

    what = Instrument("binance-futures:MADE", "linear", TICK, LOT)
    files = {k: next(folder().glob(f"*_{k}_*.csv.gz")) for k in ("trades", "incremental_book_L2")}
    figures = timed(lambda: from_tardis(files, instrument=what), 3)
    return {**figures, "peak_rss_mb": peak_rss_mb()}


def long() -> dict[str, Any]:
    """The feed ten times end to end in one run: what a run adds to a process that holds the market."""
    import time

    from framework import backtest

    from .tick_feed import ROWS

    small = markets(1)
    for name in ("wake-ups only", "maker"):  # compiles
        backtest(strategy(name), small, **options())
    feed, out = markets(1, COPIES), {"events": COPIES * ROWS}
    for name in ("wake-ups only", "maker"):
        held, told = rss_mb(), forget_peak()
        c = time.process_time()
        result = backtest(strategy(name), feed, **options())
        cpu = time.process_time() - c
        peak = high_rss_mb() if told else peak_rss_mb()
        out[name] = {"cpu_s": cpu, "market_rss_mb": held, "run_rss_mb": peak, **ending(result)}
        del result
    return out


def part(name: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    """Measure one part in a process of its own."""
    return child([sys.executable, "-m", "benchmarks.bench_ticks", name], env)


def peer(*arguments: str, env: dict[str, str] | None = None) -> dict[str, Any] | None:
    """Measure hftbacktest in its environment; None when it is missing."""
    from .tick_feed import folder

    python = python_of("hftbacktest")
    if python is None:
        return None
    answer = child([python, "-W", "ignore", script("hftbacktest"), *arguments, str(folder())], env)
    if "error" in answer:
        print(f"hftbacktest {' '.join(arguments)} left out: {answer['error']}", file=sys.stderr)
        return None
    return answer


def processes(peers: bool) -> dict[str, Any]:
    """A first process with empty caches, a second one that finds what the first compiled."""
    from framework.jit import cache_root

    out: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        cache, theirs = Path(place) / "cache", Path(place) / "numba"
        cache.mkdir()
        os.symlink(cache_root() / "benchmarks", cache / "benchmarks")
        env = {"SHEEPFOLD_CACHE": str(cache), "PYTHONDONTWRITEBYTECODE": ""}
        for when in ("first", "second"):
            out[f"maker, {when} process"] = part("once maker", env)
            if peers:
                found = peer("speed", *PEERS["hftbacktest, HashMap"], env={"NUMBA_CACHE_DIR": str(theirs)})
                out[f"hftbacktest, {when} process"] = found
        run = [sys.executable, "-m", "benchmarks.bench_ticks", "once maker, plain class"]
        process(run, env)  # what plain classes need, and the first maker did not, is compiled
        out["plain class, whole process"] = process(run, env)
    return out


def run(peers: bool) -> dict[str, Any]:
    """Take every figure; what is missing is None."""
    part("maker")  # makes the feed and compiles, where that was not done yet
    rows = {name: part(name) for name in (*FLOORS, *OURS)}
    rows |= {name: peer("speed", *how) if peers else None for name, how in PEERS.items()}
    reads = {"ours": part("reading"), "hftbacktest": peer("convert") if peers else None}
    return {"machine": machine(), "rows": rows, "processes": processes(peers), "reading": reads,
            "long": part("long")}  # fmt: skip


def measure(name: str) -> dict[str, Any]:
    """Return the figures of one part in this process."""
    if name.startswith("once "):
        return once(name.removeprefix("once "))
    if name in FLOORS:
        return floor(name)
    return {"reading": reading, "long": long}[name]() if name not in OURS else ours(name)


def lines(figures: dict[str, Any]) -> list[str]:
    """Return the figures as Markdown."""
    from .tick_words import lines as words

    return words(figures)


if __name__ == "__main__":
    import json

    print(json.dumps(measure(sys.argv[1])))
