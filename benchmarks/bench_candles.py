"""A year of one-minute bars, SMA 10/50, one unit, fee 0.1 %, slippage 0.05 %: ours, the floor, the peers."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .environments import python_of, script
from .measure import child, machine, peak_rss_mb, process, timed
from .peers import workload as w

TITLE = "Candles: 525,600 one-minute bars, SMA 10/50 cross"
OURS = {"compiled": "compiled class", "metrics": "compiled, every metric", "plain": "plain Python class"}
MORE = {  # what else is measured of ours: class in sma_cross, instruments, options
    "strict": ("CompiledCross", 1, {"strict": True}), "brackets": ("Brackets", 1, {}),
    "brackets, plain class": ("PlainBrackets", 1, {}), "two instruments": ("CompiledCross", 2, {}),
}  # fmt: skip
PEERS = {
    "vectorbt-rust": ("vectorbt", "rust"), "vectorbt-numba": ("vectorbt", "numba"),
    "backtesting": ("backtesting",), "backtrader": ("backtrader",),
}  # fmt: skip
# What the peers end with, the same strategy by their own rules (their versions: environments.py).
EQUITY = {"vectorbt": 9_280_294.891, "backtesting": 9_402_523.970, "backtrader": 9_341_040.843}
GOALS = {"compiled over vectorbt-numba": 3.0, "compiled over vectorbt-rust": 2.0}
PLAIN_GOAL = 0.9e6  # bars a second
COMMANDS = {  # strategy and options; the first compiles the engine, the other ones find it
    "cold": ("ema_cross",), "page and pictures": ("ema_cross",), "no page": ("ema_cross", "--no-report"),
    "regime_trader, page and pictures": ("regime_trader",),
    "regime_trader, no page": ("regime_trader", "--no-report"),
}  # fmt: skip
COMMAND_GOALS = {"cold": 24.0, "page and pictures": 4.0, "no page": 2.0}  # seconds
HEADS = ("engine", "wall s", "CPU s", "bars/s", "x vectorbt-numba", "x floor", "MB", "trades", "final equity")



# --- the measured processes -------------------------------------------------------------------
def floor() -> dict[str, Any]:
    """The bare loop."""
    import numpy as np

    from .sma_cross import floor as loop

    bars = w.candles()
    opens, closes = np.ascontiguousarray(bars[:, 0]), np.ascontiguousarray(bars[:, 3])
    arguments = (opens, closes, w.FAST, w.SLOW, w.CASH, w.FEE, w.SLIPPAGE, np.empty(len(bars)))
    figures = timed(lambda: loop(*arguments), 20)
    trades, last = loop(*arguments)
    return {**figures, "trades": trades, "equity": last}


def ours(which: str) -> dict[str, Any]:
    """One backtest call: strategy, ledger and equity of every bar; "metrics" adds trades and all metrics."""
    from framework import backtest

    from .sma_cross import COSTS, CompiledCross, PlainCross, market

    bars, strategy = market(), PlainCross if which == "plain" else CompiledCross
    before = peak_rss_mb()

    def once() -> Any:
        result = backtest(strategy(), bars, cash=w.CASH, costs=COSTS)
        return dict(result.metrics) if which == "metrics" else result

    figures = timed(once, 3 if which == "plain" else 9)
    memory = {"market_rss_mb": before, "peak_rss_mb": peak_rss_mb()}
    result = backtest(strategy(), bars, cash=w.CASH, costs=COSTS)
    trades, equity = int(result.metrics["trades"]), float(result.metrics["final_equity"])
    return {**figures, **memory, "trades": trades, "equity": equity}


def more(which: str) -> dict[str, Any]:
    """One backtest call of another strategy, with other options, or of two instruments."""
    from framework import backtest

    from . import sma_cross

    name, count, options = MORE[which]
    bars = sma_cross.market() if count == 1 else sma_cross.market() + sma_cross.market("OTHER")
    strategy = getattr(sma_cross, name)
    figures = timed(
        lambda: backtest(strategy(), bars, cash=w.CASH, costs=sma_cross.COSTS, **options),
        5 if strategy.compiled else 2,
    )
    result = backtest(strategy(), bars, cash=w.CASH, costs=sma_cross.COSTS, **options)
    trades, equity = int(result.metrics["trades"]), float(result.metrics["final_equity"])
    return {**figures, "bars": count * w.YEAR, "trades": trades, "equity": equity}


def around() -> dict[str, Any]:
    """What stands around a run: a frame made a market, and a view asked for 50 bars at every close."""
    from framework import View

    from .sma_cross import market

    load = timed(market, 5)["cpu_s"]
    bars = market()
    stamps = bars.match_bars(0)["close_ts"][:20_000].tolist()
    view = View(bars, bars.start)

    def look() -> None:
        for ts in stamps:
            view.at(ts).bars(50)

    return {"load_s": load, "view_us": timed(look, 5)["cpu_s"] / len(stamps) * 1e6}


def agreement() -> dict[str, Any]:
    """Final equity of our compiled class under each peer's rules."""
    from framework import backtest

    from .sma_cross import CompiledCross, market, peer_rules

    bars = market()
    runs = {k: backtest(CompiledCross(), bars, cash=w.CASH, **options) for k, options in peer_rules().items()}
    return {k: float(result.metrics["final_equity"]) for k, result in runs.items()}


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "floor": floor, "agreement": agreement, "around": around, **{k: (lambda k=k: ours(k)) for k in OURS},
    **{k: (lambda k=k: more(k)) for k in MORE},
}  # fmt: skip


def part(name: str) -> dict[str, Any]:
    """Measure one part in a process of its own."""
    return child([sys.executable, "-m", "benchmarks.bench_candles", name])


def peer(name: str) -> dict[str, Any] | None:
    """Measure one peer in its environment; None when it is missing."""
    python = python_of(PEERS[name][0])
    if python is None:
        return None
    answer = child([python, "-W", "ignore", script(PEERS[name][0]), "speed", *PEERS[name][1:]])
    if "error" in answer:
        print(f"{name} left out: {answer['error']}", file=sys.stderr)
        return None
    return answer


def command() -> dict[str, Any]:
    """`sheepfold backtest` as a whole process: the first on a machine, then with and without the page."""
    out: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        env = {"SHEEPFOLD_CACHE": str(Path(folder) / "cache"), "PYTHONDONTWRITEBYTECODE": ""}
        for name, (strategy, *more) in COMMANDS.items():
            run = [sys.executable, "-m", "framework", "backtest", f"strategies/{strategy}.py"]
            place = str(Path(folder) / name.replace(" ", "_"))
            out[name] = process([*run, "--out", place, *more], env)
    return out


def run(peers: bool) -> dict[str, Any]:
    """Take every figure; what is missing is None."""
    part("compiled")  # compiles, where that was not done yet: its memory is not that of a run
    rows = {name: part(name) for name in ("floor", *OURS)}
    rows |= {name: peer(name) if peers else None for name in PEERS}
    return {
        "machine": machine(), "rows": rows, "more": {name: part(name) for name in MORE},
        "agreement": part("agreement"), "around": part("around"), "command": command(),
        "ratios": ratios(rows),
    }  # fmt: skip



# --- what is said about them ------------------------------------------------------------------
def speed(row: dict[str, Any] | None) -> float | None:
    """Bars a CPU second, or None: each engine runs one thread; wall time on a busy machine says little."""
    return w.YEAR / row["cpu_s"] if row and "cpu_s" in row else None


def ratios(rows: dict[str, dict[str, Any] | None]) -> dict[str, float | None]:
    """Ours over each peer and over the floor."""
    out: dict[str, float | None] = {}
    for mine in ("compiled", "plain"):
        for other in ("floor", *PEERS):
            a, b = speed(rows[mine]), speed(rows[other])
            out[f"{mine} over {other}"] = a / b if a and b else None
    return out


def cell(value: float | None, form: str) -> str:
    """A number, or a dash."""
    return "-" if value is None else format(value, form)


def lines(figures: dict[str, Any]) -> list[str]:
    """Return the figures as Markdown."""
    rows = figures["rows"]
    out = ["| " + " | ".join(HEADS) + " |", "|---" * len(HEADS) + "|"]
    for name, row in rows.items():
        out.append("| " + " | ".join([OURS.get(name, name), *cells(row, rows)]) + " |")
    out += ["", "bars/s and ratios are of CPU seconds: each engine runs one thread."]
    rest = (more_lines(figures), memory_lines(rows), agreement_lines(figures["agreement"]),
            command_lines(figures["command"]), goals(figures))  # fmt: skip
    return out + [line for part in rest for line in ("", *part)]


def cells(row: dict[str, Any] | None, rows: dict[str, dict[str, Any] | None]) -> list[str]:
    """One engine's figures as text."""
    if row is None or "error" in row:
        return [row["error"] if row else "not run", *["-"] * (len(HEADS) - 2)]
    mine, others = speed(row), (speed(rows["vectorbt-numba"]), speed(rows["floor"]))
    over = [cell(mine / other if mine and other else None, ".2f") for other in others]
    return [f"{row['wall_s']:.4f}", f"{row['cpu_s']:.4f}", cell(mine, ",.0f"), *over,
            f"{row['peak_rss_mb']:.0f}", f"{row['trades']:,}", f"{row['equity']:,.3f}"]  # fmt: skip


def more_lines(figures: dict[str, Any]) -> list[str]:
    """What else ours was measured at; two instruments count their bars twice."""
    words, base = [], figures["rows"]["compiled"].get("cpu_s")
    for name, row in figures["more"].items():
        if "error" in row:
            words.append(f"{name} not run ({row['error']})")
            continue
        beside = f", {row['cpu_s'] / base - 1:+.0%} CPU" if name == "strict" and base else ""
        words.append(f"{name} {row['bars'] / row['cpu_s']:,.0f} bars/s ({row['trades']:,} trades{beside})")
    around = figures["around"]
    rest = [] if "error" in around else [
        f"A frame of the year becomes a market in {around['load_s']:.2f} s; `view.at(ts).bars(50)` takes "
        f"{around['view_us']:.1f} us."
    ]  # fmt: skip
    return ["The same year: " + "; ".join(words) + ".", *rest]


def memory_lines(rows: dict[str, dict[str, Any] | None]) -> list[str]:
    """What runs add to the memory of a process that holds the market."""
    words = []
    for name, said in OURS.items():
        row = rows[name] or {}
        if "market_rss_mb" in row:
            words.append(f"{said} {row['peak_rss_mb'] - row['market_rss_mb']:.0f} MB")
    return ["Peak memory of all repeats beyond the process with its market: " + ", ".join(words) + "."]


def agreement_lines(found: dict[str, Any]) -> list[str]:
    """Our final equity under each peer's rules against what that peer ended with."""
    if "error" in found:
        return [f"Agreement with the peers: not run ({found['error']})"]
    words = []
    for name, there in EQUITY.items():
        same = "equal" if abs(found[name] - there) < 6e-4 else f"there {there:,.3f}"
        words.append(f"{name} {found[name]:,.3f} ({same})")
    return ["Final equity under each peer's rules: " + ", ".join(words) + "."]


def command_lines(found: dict[str, Any]) -> list[str]:
    """Whole-process times of the command."""
    words = [f"{k} {v.get('error') or format(v['wall_s'], '.2f') + ' s'}" for k, v in found.items()]
    return ["`sheepfold backtest`, process start to end: " + "; ".join(words) + "."]


def goals(figures: dict[str, Any]) -> list[str]:
    """Each goal, and whether it is met here."""
    out = []
    for name, least in GOALS.items():
        found = figures["ratios"][name]
        out.append(f"* {name}: {cell(found, '.2f')} (goal {least:g}){verdict(found, least)}")
    found = speed(figures["rows"]["plain"])
    words = f"* plain class, bars/s: {cell(found, ',.0f')} (goal {PLAIN_GOAL:,.0f})"
    out.append(words + verdict(found, PLAIN_GOAL))
    for name in COMMANDS:
        most = COMMAND_GOALS[name.removeprefix("regime_trader, ")]
        took = figures["command"][name].get("wall_s")
        words = "" if took is None else ": met" if took <= most else ": MISSED"
        out.append(f"* command, {name}: {cell(took, '.2f')} s (goal {most:g} s){words}")
    return out


def verdict(found: float | None, least: float) -> str:
    """Say whether a goal is met."""
    return "" if found is None else ": met" if found >= least else ": MISSED"


if __name__ == "__main__":
    answer = PARTS[sys.argv[1]]()
    print(json.dumps({"peak_rss_mb": peak_rss_mb(), **answer}))
