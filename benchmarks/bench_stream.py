"""Live stream on the loopback: from the socket of the sender to the hook, at 20,000 messages a second.

Each message carries the time it was sent at; a hook's delay is its own clock less that. Two thirds change a
book, one third are trades. The sender is a process of its own and needs most of a core: with two cores, any
other busy program is in every figure. The floor, the bare websockets library, tells how much.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import subprocess
import sys
import threading
import time
from typing import Any

from .measure import machine

TITLE = "Live stream: 20,000 messages a second, from socket to hook"
RATE, SECONDS, SKIP = 20_000, 3, 2_000  # a second, s, messages of warming up
REPEATS = 3
WAYS = {
    "for": "for event in stream", "async": "async for event in stream", "moments": "stream.moments(), book()",
    "json": "for event in stream, json of the standard library", "floor": "bare websockets, nothing read",
}  # fmt: skip
GOALS = {"p50_ms": 0.3, "p99_ms": 2.0}
STAMP = "2024-03-01T00:00:00.000000Z"


def texts() -> list[str]:
    """Return the messages that are sent over and over, a snapshot first."""
    head = {"symbol": "BTCUSDT", "exchange": "binance"}
    times = {"timestamp": STAMP, "localTimestamp": STAMP}
    side = [{"price": 60000.1 + i / 10, "amount": 1.5 + i} for i in range(400)]
    made: list[dict[str, Any]] = [
        {"type": "book_change", **head, "isSnapshot": True, "bids": side[:200], "asks": side[200:], **times}
    ]
    for i in range(999):
        level = {"price": 60000.1 + i % 200 / 10, "amount": i % 7 and 0.25 * i}
        other = {"price": 60000.1 + (200 + i % 200) / 10, "amount": 1 + 0.125 * i}
        if i % 3:
            made.append(
                {
                    "type": "book_change",
                    **head,
                    "isSnapshot": False,
                    "bids": [level],
                    "asks": [other, level],
                    **times,
                }
            )
            made[-1]["asks"] = [other]
        else:
            made.append(
                {
                    "type": "trade",
                    **head,
                    "id": str(10**9 + i),
                    "price": 60020.1,
                    "amount": 0.01,
                    "side": "buy",
                    **times,
                }
            )
    return [json.dumps(message, separators=(",", ":")) for message in made]


def serve(rate: int, count: int) -> None:
    """Send to whoever connects, each message at its time with that time in it; print the port first."""
    from websockets.sync.server import serve as listen

    frames = [framed(text.encode()) for text in texts()]

    def talk(link: Any) -> None:
        for frame, at in frames[:1]:
            link.socket.sendall(dated(frame, at))
        begin, step = time.perf_counter() + 0.2, 1.0 / rate
        for i in range(count):
            while time.perf_counter() < begin + i * step:
                pass
            frame, at = frames[1 + i % (len(frames) - 1)]
            link.socket.sendall(dated(frame, at))
        link.close()

    with listen(talk, "127.0.0.1", 0, compression=None) as server:
        print(server.socket.getsockname()[1], flush=True)
        threading.Timer(60.0, server.shutdown).start()
        server.serve_forever()


def framed(data: bytes) -> tuple[bytearray, int]:
    """Return a text frame, and where in it the local time stands."""
    frame = bytearray((0x81, 126)) + len(data).to_bytes(2, "big") + data
    return frame, frame.rindex(STAMP.encode())


def dated(frame: bytearray, at: int) -> bytearray:
    """Return a frame with the time now."""
    us = time.time_ns() // 1000
    day = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(us // 10**6))
    frame[at : at + 26] = f"{day}.{us % 10**6:06d}".encode()
    return frame


def delays(way: str, url: str) -> list[int]:
    """Return the ns from sending to the hook of every message, read in one way."""
    from framework.data import connect, messages

    if way == "floor":
        return asyncio.run(floor(url))
    if way == "json":
        messages.orjson = json  # type: ignore[assignment]
    now, found = time.time_ns, []
    stream = connect("binance", "BTCUSDT", "trade,book_change", url=url)
    if way == "async":
        return asyncio.run(awaited(stream))
    with stream:
        if way == "moments":
            for ts, _ in stream.moments():
                stream.state.book(levels=5)
                found.append(now() - ts)
        else:
            for event in stream:
                found.append(now() - event.local_ts)  # noqa: PERF401 - a hook, not a list
    return found


async def awaited(stream: Any) -> list[int]:
    """Return the delays of the async side."""
    async with stream:
        return [time.time_ns() - event.local_ts async for event in stream]


async def floor(url: str) -> list[int]:
    """Return the delays of the library alone; the time in the text is read afterwards."""
    from websockets.asyncio.client import connect

    from framework.data.messages import parse

    came: list[tuple[int, str]] = []
    async with connect(url + "/ws-stream-normalized?options=", compression=None, proxy=None) as socket:
        async for text in socket:
            came.append((time.time_ns(), text))  # noqa: PERF401 - a hook, not a list
    return [at - parse(text).local_ts for at, text in came]


def part(way: str, rate: int = RATE, seconds: float = SECONDS) -> dict[str, Any]:
    """Measure one way in this process, with a sender beside."""
    argv = [sys.executable, "-m", "benchmarks.bench_stream", "serve", str(rate), str(int(rate * seconds))]
    sender = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        assert sender.stdout is not None
        url = f"ws://127.0.0.1:{int(sender.stdout.readline())}"
        gc.collect()
        gc.freeze()  # what stands is looked at no more, as in the command
        cpu, start = time.process_time(), time.perf_counter()
        found = delays(way, url)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - start
    finally:
        sender.kill()
        sender.wait()
    cuts = statistics.quantiles(found[SKIP:], n=1000)
    return {
        "messages": len(found), "per_s": len(found) / wall,
        "p50_ms": cuts[499] / 1e6, "p99_ms": cuts[989] / 1e6, "p999_ms": cuts[998] / 1e6,
        "cpu_us": cpu / len(found) * 1e6,
    }  # fmt: skip


def rows(repeats: int = REPEATS) -> dict[str, dict[str, Any]]:
    """Return the figures of every way: of several runs, each in a process of its own, the median by p50."""
    from .measure import child

    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way in WAYS:
            found[way].append(child([sys.executable, "-m", "benchmarks.bench_stream", way]))
    return {way: middle(some) for way, some in found.items()}


def middle(some: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the run in the middle, or an error where each failed."""
    fine = sorted((row for row in some if "error" not in row), key=lambda row: row["p50_ms"])
    return fine[len(fine) // 2] if fine else some[0]


def run(peers: bool) -> dict[str, Any]:
    """Take every figure; there are no peers."""
    return {"machine": machine(), "rows": rows()}


def lines(figures: dict[str, Any]) -> list[str]:
    """Return the figures as Markdown."""
    out = ["| read by | p50 ms | p99 ms | p99.9 ms | CPU us a message | messages/s |", "|---" * 6 + "|"]
    for way, row in figures["rows"].items():
        if "error" in row:
            out.append(f"| {WAYS[way]} | {row['error']} | | | | |")
            continue
        cells = (f"{row[n]:.3f}" for n in ("p50_ms", "p99_ms", "p999_ms"))
        out.append(f"| {WAYS[way]} | {' | '.join(cells)} | {row['cpu_us']:.1f} | {row['per_s']:,.0f} |")
    for way in ("for", "async"):
        row = figures["rows"][way]
        if "error" not in row:
            met = all(row[name] <= goal for name, goal in GOALS.items())
            words = f"Goal: p50 below 0.3 ms and p99 below 2 ms, {WAYS[way]}"
            out += ["", f"{words}: {'met' if met else 'missed'}."]
    return out


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]), int(sys.argv[3]))
    else:
        print(json.dumps(part(sys.argv[1], *(int(x) for x in sys.argv[2:3]))))
