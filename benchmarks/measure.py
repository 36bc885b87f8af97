"""How a figure is taken: medians of wall and CPU time, each engine in a process of its own, peak memory."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def timed(run: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Call once, then `repeats` times; return seconds: first call, medians and minima of the others."""
    wall, cpu = [], []
    for _ in range(repeats + 1):
        t, c = time.perf_counter(), time.process_time()
        run()
        cpu.append(time.process_time() - c)
        wall.append(time.perf_counter() - t)
    return {
        "first_s": wall[0],
        "wall_s": statistics.median(wall[1:] or wall),
        "wall_min_s": min(wall[1:] or wall),
        "cpu_s": statistics.median(cpu[1:] or cpu),
        "cpu_min_s": min(cpu[1:] or cpu),
        "repeats": repeats,
    }


def peak_rss_mb() -> float:
    """Return the peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def rss_mb() -> float:
    """Return the memory this process holds now; NaN where the system does not say."""
    pages = Path("/proc/self/statm")
    if not pages.exists():
        return float("nan")
    return int(pages.read_text().split()[1]) * resource.getpagesize() / 2**20


def forget_peak() -> bool:
    """Let the peak that `high_rss_mb` tells begin now; False where the system cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def high_rss_mb() -> float:
    """Return the peak since `forget_peak`."""
    rows = Path("/proc/self/status").read_text().splitlines()
    return next(int(row.split()[1]) / 1024 for row in rows if row.startswith("VmHWM"))


def call(command: Sequence[str], env: dict[str, str] | None) -> subprocess.CompletedProcess[str]:
    """Run a command in the project's folder."""
    both = {**os.environ, **(env or {})}
    return subprocess.run(list(command), cwd=ROOT, env=both, capture_output=True, text=True, check=False)


def last_words(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last line a failed command said, without this machine's folders."""
    said = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
    return said[-1].replace(sys.executable, "python").replace(str(ROOT), ".")


def child(command: Sequence[str], env: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a command that prints one JSON line; a failure is {"error": its last line}, never an exception."""
    try:
        done = call(command, env)
    except OSError as error:
        return {"error": str(error)}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        return {"error": last_words(done)}
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer


def process(command: Sequence[str], env: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a whole program; return its wall and CPU seconds from start to end, or {"error": its last line}."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = call(command, env)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        return {"error": last_words(done)}
    return {"wall_s": wall, "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def machine() -> dict[str, Any]:
    """Return what the figures were taken on; the load says how far to trust them."""
    import numba
    import numpy as np
    import polars as pl

    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        rows = [x.partition(": ") for x in info.read_text().splitlines()]
        cpu = next((value for name, _, value in rows if name.startswith("model name")), cpu)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": sys.version.split()[0],
        "numba": numba.__version__,
        "numpy": np.__version__,
        "polars": pl.__version__,
    }
