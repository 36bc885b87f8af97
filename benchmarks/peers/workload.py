"""Bars, strategies' numbers and output of the peer scripts (needs numpy only)."""

from __future__ import annotations

import csv
import gzip
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

YEAR = 525_600  # minutes
START_S = 1_704_067_200  # 2024-01-01T00:00:00Z
FEE, SLIPPAGE = 0.001, 0.0005
CASH = 10_000_000.0
FAST, SLOW = 10, 50
STOP, TARGET = 0.02, 0.03
COLUMNS = ("open", "high", "low", "close", "volume")


def candles(rows: int = YEAR, seed: int = 7) -> np.ndarray:
    """Return one-minute bars of a random walk, 60 % a year, in cents: float64 (rows, 5) as COLUMNS."""
    rng = np.random.default_rng(seed)
    sigma = 0.60 / np.sqrt(YEAR)
    close = 30_000.0 * np.exp(np.cumsum(rng.normal(0.0, sigma, rows)))
    first = np.concatenate(([30_000.0], close[:-1]))
    up, down = (np.abs(rng.normal(0.0, sigma / 2, rows)) for _ in range(2))
    high = np.maximum(first, close) * (1 + up)
    low = np.minimum(first, close) * (1 - down)
    volume = np.round(rng.lognormal(2.0, 1.0, rows), 3)
    return np.column_stack([np.round(c, 2) for c in (first, high, low, close)] + [volume])


def gappy(rows: int = 1500, seed: int = 11) -> tuple[np.ndarray, np.ndarray]:
    """Return (open times in ns, bars as COLUMNS) of made daily bars that open far from the last close."""
    rng = np.random.default_rng(seed)
    jump, move = np.exp(rng.normal(0.0, 0.03, rows)), np.exp(rng.normal(0.0, 0.02, rows))
    close = 1_000.0 * np.cumprod(jump * move)
    first = close / move
    high = np.maximum(first, close) * (1 + np.abs(rng.normal(0.0, 0.02, rows)))
    low = np.minimum(first, close) * (1 - np.abs(rng.normal(0.0, 0.02, rows)))
    prices = [np.round(c, 2) for c in (first, high, low, close)]
    open_ts = (START_S + np.arange(rows) * 86_400) * 1_000_000_000
    return open_ts, np.column_stack([*prices, np.full(rows, 10.0)])


def bars_of(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (open times in ns, bars as COLUMNS): "made", or a sample file, its first column open_time_ms."""
    if path == "made":
        return gappy()
    with gzip.open(path, "rt") as f:
        rows = list(csv.reader(f))[1:]
    open_ts = np.array([int(r[0]) * 1_000_000 for r in rows])
    return open_ts, np.array([[float(x) for x in r[1:6]] for r in rows])


def every(open_ts: np.ndarray) -> int:
    """Bars between two decisions of the bracket strategy: 24 for hourly bars, else 1."""
    return 24 if np.diff(open_ts[:2])[0] == 3_600_000_000_000 else 1


def frame(bars: np.ndarray, open_ts: np.ndarray | None = None, names: Iterable[str] = COLUMNS) -> Any:
    """Return the bars as a pandas frame indexed by open time."""
    import pandas as pd

    if open_ts is None:
        open_ts = (START_S + np.arange(len(bars)) * 60) * 1_000_000_000
    index = pd.DatetimeIndex(np.asarray(open_ts).astype("datetime64[ns]"))
    return pd.DataFrame(bars, index=index, columns=list(names))


Fill = tuple[int, str, float, float, float]  # bar, side, price, qty, fee


def write(path: str, versions: str, open_ts: np.ndarray, fills: list[Fill]) -> None:
    """Write fills with their bar's open time; the first line says what made them."""
    command = " ".join([Path(sys.argv[0]).name, *(Path(a).name for a in sys.argv[1:])])
    with gzip.GzipFile(path, "wb", mtime=0) as z:
        lines = [f"# {versions}; python {command}", "bar_open_ts,side,price,qty,fee"]
        lines += [f"{open_ts[i]},{side},{price!r},{qty!r},{fee!r}" for i, side, price, qty, fee in fills]
        z.write(("\n".join(lines) + "\n").encode())
    print(json.dumps({"fills": len(fills), "versions": versions}))


def versions(name: str, version: str) -> str:
    """Return what made a file: the peer's, numpy's and Python's version."""
    return f"{name} {version}, numpy {np.__version__}, Python {sys.version.split()[0]}"


def measure(name: str, version: str, run: Callable[[], tuple[int, float]], repeats: int, **more: Any) -> None:
    """Run once unmeasured when repeated, then `repeats` times; print one JSON line with the medians."""
    wall, cpu, answer = [], [], run() if repeats > 1 else None
    for _ in range(repeats):
        t, c = time.perf_counter(), time.process_time()
        answer = run()
        wall.append(time.perf_counter() - t)
        cpu.append(time.process_time() - c)
    trades, equity = answer or (0, 0.0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    out = {"peer": name, "version": version, "bars": YEAR, "wall_s": statistics.median(wall),
           "cpu_s": statistics.median(cpu), "repeats": repeats, "trades": trades, "equity": equity,
           "peak_rss_mb": peak, **more}  # fmt: skip
    print(json.dumps(out))
