"""Decisions of a model: replay into columns, a sweep, recording, the cost of one; peers in the same call."""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from . import llm_contrast, llm_made
from .measure import child, machine, peak_rss_mb, timed

TITLE = "Decisions: 100,000 recorded answers, 200 points over 2,880 questions, recording on loopback"
SOURCES = {"from cassette.jsonl": llm_made.CASSETTE, "from cassette.jsonl.gz": llm_made.PACKED,
           "from the store": llm_made.STORE}  # fmt: skip
QUESTIONS = 2_880  # 30 days, one each 15 minutes
GRID = {"min_confidence": [0.5 + 0.02 * k for k in range(20)], "max_share": [0.05 * k for k in range(1, 11)]}
SWEEPS = ("cold", "warm", "replay", "columns")
THINKS = 0.5  # s a reply takes
IN_FLIGHT = {8: 80, 32: 640}  # concurrency: questions
GOALS = (  # part, field, limit, words, the larger the better
    ("from cassette.jsonl", "wall_s", 1.5, "s", False), ("from cassette.jsonl.gz", "wall_s", 1.5, "s", False),
    ("from the store", "wall_s", 10.0, "s", False),
    ("sweep", "cold_calls", QUESTIONS, "upstream calls cold", False),
    ("sweep", "warm_calls", 0, "upstream calls warm", False),
    ("recording", "32", 55.0, "decisions/s, 32 in flight", True),
)  # fmt: skip


# --- the measured processes -------------------------------------------------------------------
def columns(name: str) -> dict[str, Any]:
    """Measure recorded answers made columns, every record checked."""
    from framework.llm.columns import columns as read

    source = llm_made.folder() / SOURCES[name]
    files = [source] if source.is_file() else [*source.iterdir()]

    def once() -> None:
        assert len(read(source, instruments=(llm_made.WHAT,))) == llm_made.DECISIONS

    figures = timed(once, 1 if files[1:] else 3)
    return {**figures, "disk_mb": sum(f.stat().st_size for f in files) / 1e6, "peak_rss_mb": peak_rss_mb()}


def one_question(count: int = QUESTIONS) -> dict[str, Any]:
    """Measure the steps of one replayed decision, us each."""
    from framework import View, market_brief
    from framework.llm.client import HolySheep
    from framework.llm.decision import Prompt
    from framework.llm.record import key_of

    feed = llm_made.market(count)
    stamps = feed.match_bars(0)["close_ts"][llm_made.WARM : llm_made.WARM + count].tolist()
    view = View(feed, feed.start)
    briefs = [market_brief(view.at(ts)) for ts in stamps]
    asked = [Prompt.of(brief) for brief in briefs]
    store = llm_made.folder(count) / llm_made.STORE
    with HolySheep(llm_made.MODEL, store=store, response_format="json_object") as client:
        client.decide(asked)
        steps: dict[str, Callable[[], Any]] = {
            "brief": lambda: [market_brief(view.at(ts)) for ts in stamps],
            "render": lambda: [Prompt.of(brief) for brief in briefs],
            "key": lambda: [key_of(client.request(prompt)) for prompt in asked],
            "key and look-up in memory": lambda: client.decide(asked),
            "key and look-up in the store": lambda: fresh(store, asked),
        }
        return {name: timed(run, 3)["cpu_s"] / count * 1e6 for name, run in steps.items()}


def fresh(store: Any, asked: Any) -> None:
    """Decide with a client that has seen nothing yet."""
    from framework.llm.client import HolySheep

    with HolySheep(llm_made.MODEL, store=store, response_format="json_object") as client:
        client.decide(asked)


def sweep(count: int = QUESTIONS, grid: dict[str, list[float]] = GRID) -> dict[str, Any]:
    """Sweep from an empty store, again, without a server, and with the answers as columns of the market."""
    from framework import sweep as run
    from framework.llm.client import HolySheep
    from framework.llm.columns import columns as read
    from framework.llm.rules import Rules
    from framework.testing.holysheep import HolySheepServer

    feed, took, prints = llm_made.market(count), dict[str, float](), set[tuple[str, ...]]()

    def once(name: str, market: Any, **options: Any) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        table = run(llm_made.Quarterly, market, **grid, **options)
        took[f"{name}_s"], took[f"{name}_cpu_s"] = time.perf_counter() - wall, time.process_time() - cpu
        prints.add(tuple(table["fingerprint"]))

    def asked(name: str, place: str, mode: str) -> None:
        with HolySheep(llm_made.MODEL, mode=mode, store=place, concurrency=16, canary=False) as client:
            once(name, feed, analyst=client)

    once("compiling", feed, analyst=Rules())
    prints.clear()
    with tempfile.TemporaryDirectory() as place:
        with HolySheepServer() as server:
            os.environ |= server.environment
            asked("cold", place, "record")
            calls = server.calls
            asked("warm", place, "record")
            more = server.calls - calls
        asked("replay", place, "replay")
        signals = feed.with_signals(read(place, instruments=(llm_made.WHAT,)))
        once("columns", signals)
    points = math.prod(map(len, grid.values()))
    assert len(prints) == 1, "a sweep is not as another"
    return {"points": points, "questions": count, "cold_calls": calls, "warm_calls": more, **took}


def recording(plan: dict[int, int] = IN_FLIGHT, thinks: float = THINKS) -> dict[str, Any]:
    """Record with many in flight; the server takes `thinks` seconds for each."""
    from framework.llm.client import HolySheep
    from framework.testing.holysheep import HolySheepServer

    total = sum(plan.values())
    asked = list(llm_made.prompts(llm_made.market(total), total))
    out: dict[str, Any] = {"thinks_s": thinks}
    with HolySheepServer(latency=f"{thinks * 1000:.0f}ms") as server, tempfile.TemporaryDirectory() as place:
        os.environ |= server.environment
        for width, count in plan.items():
            mine, asked = asked[:count], asked[count:]
            with HolySheep(llm_made.MODEL, mode="record", store=place, concurrency=width) as client:
                start = time.perf_counter()
                got = client.decide(mine)
                wall = time.perf_counter() - start
            assert all(d.status == "ok" for d in got)
            took = sorted(d.latency_ns / 1e6 for d in got)
            out[str(width)] = count / wall
            low, high = took[count // 2], took[count * 99 // 100]
            out[f"{width} more"] = {"wall_s": wall, "p50_ms": low, "p99_ms": high}
    return out


def measure(name: str) -> dict[str, Any]:
    """Return the figures of one part in this process."""
    if name in SOURCES:
        return columns(name)
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "question": one_question, "sweep": sweep, "recording": recording, "contrast": llm_contrast.ours,
    }  # fmt: skip
    return parts[name]()


def part(name: str) -> dict[str, Any]:
    """Measure one part in a process of its own."""
    return child([sys.executable, "-m", "benchmarks.bench_llm", name])


# --- the page ---------------------------------------------------------------------------------
def run(peers: bool = True) -> dict[str, Any]:
    """Measure everything; what cannot run here is {"error": ...}."""
    for count in (llm_made.DECISIONS, QUESTIONS):
        llm_made.folder(count)
    names = (*SOURCES, "question", "sweep", "recording")
    contrast = {"ours": part("contrast")}
    if peers:
        contrast |= {name: llm_contrast.peer(name) for name in llm_contrast.PEERS}
    return {"machine": machine(), "rows": {name: part(name) for name in names}, "contrast": contrast}


def columns_table(rows: dict[str, Any]) -> Iterator[str]:
    """Yield the replay into columns as a table."""
    yield "| 100,000 decisions | wall s | CPU s | CPU us each | MB on disk | MB peak |"
    yield "|---|---|---|---|---|---|"
    for name in SOURCES:
        row = rows[name]
        if "error" in row:
            yield f"| {name} | {row['error']} | | | | |"
            continue
        each = row["cpu_s"] / llm_made.DECISIONS * 1e6
        yield (f"| {name} | {row['wall_s']:.2f} | {row['cpu_s']:.2f} | {each:.1f} | {row['disk_mb']:.0f} | "
               f"{row['peak_rss_mb']:.0f} |")  # fmt: skip


def notes(rows: dict[str, Any]) -> Iterator[str]:
    """Yield what sweep, recording and question measured, a line each."""
    for name, words in (("question", question_words), ("sweep", sweep_words), ("recording", recording_words)):
        row = rows[name]
        yield f"* {name}: {row['error']}" if "error" in row else f"* {words(row)}"


def question_words(row: dict[str, float]) -> str:
    """Say what a replayed decision costs."""
    once = row["brief"] + row["render"] + row["key and look-up in the store"]
    steps = ", ".join(f"{name} {us:.0f}" for name, us in row.items())
    return f"one replayed decision of a backtest: {once:.0f} us of CPU ({steps})"


def sweep_words(row: dict[str, Any]) -> str:
    """Say what a sweep costs, cold, warm, and without asking at all."""
    due, rate = row["points"] * row["questions"], row["points"] / row["columns_s"]
    wall = {name: f"{row[f'{name}_s']:.2f} s ({row[f'{name}_cpu_s']:.2f} CPU s)" for name in SWEEPS}
    return (
        f"sweep of {row['points']} points over {row['questions']:,} questions ({due:,} decisions due): cold "
        f"{row['cold_calls']:,} upstream calls, {wall['cold']}; warm {row['warm_calls']}, {wall['warm']}; "
        f"strict replay without a server {wall['replay']}; its columns in the market {wall['columns']}, "
        f"{rate:,.0f} points/s"
    )


def recording_words(row: dict[str, Any]) -> str:
    """Say how fast answers of half a second come in."""
    said = []
    for width in IN_FLIGHT:
        more = row[f"{width} more"]
        said.append(
            f"{width} in flight {row[str(width)]:.1f} decisions/s of at most {width / row['thinks_s']:.0f} "
            f"(recorded latency median {more['p50_ms']:.0f} ms, 99 % {more['p99_ms']:.0f} ms)"
        )
    return f"recording, {row['thinks_s'] * 1000:.0f} ms a reply: {'; '.join(said)}"


def goals(rows: dict[str, Any]) -> Iterator[str]:
    """Yield each goal and whether it was met."""
    for name, key, limit, words, is_more in GOALS:
        row = rows[name]
        if "error" not in row:
            met = row[key] >= limit if is_more else row[key] <= limit
            yield f"* {name}, {words}: {row[key]:,.4g} (goal {limit:,g}): {'met' if met else 'MISSED'}"


def lines(figures: dict[str, Any]) -> list[str]:
    """Return the figures as Markdown."""
    rows = figures["rows"]
    said = "Every record's key and checksum are verified; seconds are medians."
    asked = llm_contrast.lines(figures["contrast"])
    return [*columns_table(rows), "", said, "", *notes(rows), "", *asked, "", *goals(rows)]


if __name__ == "__main__":
    import json

    print(json.dumps(measure(sys.argv[1])))
