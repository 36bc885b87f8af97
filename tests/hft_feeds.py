"""Real feeds and scripted orders for both engines, and their answers in one form."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.environments import python_of
from framework import Costs, Fills, Instrument, Latency, Market, replay_orders
from framework.data import from_tardis
from tests.hft_twin import Answer, Feed

ROOT = Path(__file__).parent.parent
PLAYER = ROOT / "benchmarks" / "peers" / "replay_hftbacktest.py"
SCRIPT = np.dtype([(n, "i8") for n in ("id", "ts", "side", "market", "tif", "tick", "lots", "cancel_ts")])
SECOND = 1_000_000_000
GTC, GTX, FOK, IOC = 0, 1, 2, 3
STATUS = {0: "none", 1: "open", 2: "cancelled", 3: "filled", 4: "cancelled", 5: "open"}
FEEDS = {  # folder, instrument, ticks that prices stray from the last trade
    "perpetual": ("tardis-form", Instrument("binance-futures:BTCUSDT", "linear", 0.1, 0.001), 12.0),
    "spot": ("demo", Instrument("binance:BTCUSDT", "linear", 0.01, 0.000001, settle="USDT"), 150.0),
}
Rows = Any


@dataclass(frozen=True)
class Source:
    """One recorded feed: its files, ours and theirs; `shift` us are added to every local_timestamp."""

    name: str
    place: Path  # for what is made of it
    data: Path
    shift: int = 0

    @property
    def what(self) -> Instrument:
        return FEEDS[self.name][1]

    @property
    def stray(self) -> float:
        return FEEDS[self.name][2]

    @cached_property
    def files(self) -> dict[str, list[str]]:
        """Paths by kind, day after day."""
        folder, found = self.data / FEEDS[self.name][0], {}
        for kind in ("trades", "incremental_book_L2"):
            paths = sorted(folder.glob(f"*_{kind}_*.csv.gz"))
            found[kind] = [str(self.moved(p)) if self.shift else str(p) for p in paths]
        return found

    def moved(self, path: Path) -> Path:
        """Write a file anew with later local times."""
        new = self.place / path.name.removesuffix(".gz")
        later = pl.col("local_timestamp").cast(pl.Int64) + self.shift
        pl.read_csv(path, infer_schema=False).with_columns(later.cast(pl.String)).write_csv(new)
        return new

    def behind(self) -> int:
        """By how many us a local time lies before its exchange time, at most."""
        most = 0
        for path in (p for paths in self.files.values() for p in paths):
            frame = pl.read_csv(path, columns=["timestamp", "local_timestamp"])
            most = max(most, int((frame["timestamp"] - frame["local_timestamp"]).max()))  # type: ignore[arg-type]
        return most

    @cached_property
    def market(self) -> Market:
        """The feed as ours."""
        return from_tardis(self.files, self.what)

    @cached_property
    def events(self) -> str:
        """The exchange's rows by hftbacktest's own reader, as a file."""
        out = str(self.place / f"{self.name}-{self.shift}.npy")
        peer("convert", out, *self.files["trades"], *self.files["incremental_book_L2"])
        return out

    @cached_property
    def feed(self) -> Feed:
        """The same rows for the twin."""
        return Feed(np.load(self.events), self.what.tick_size, self.what.lot_size)


def peer(*arguments: str) -> dict[str, Any]:
    """Run the peer's player in its environment; return what it says."""
    python = python_of("hftbacktest")
    if python is None:
        raise SystemExit("hftbacktest cannot be installed here")
    command = [python, "-W", "ignore", str(PLAYER), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"hftbacktest: {done.stderr.strip()[-1500:]}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def script(source: Source, seed: int, count: int) -> Rows:
    """Return random orders around the last trade known here: limits of every kind, markets, cancels."""
    rng = np.random.default_rng(seed)
    market = source.market
    trades, stray = market.trades[0], source.stray
    rows = np.zeros(count, SCRIPT)
    rows["id"] = np.arange(1, count + 1)
    rows["ts"] = np.sort(rng.integers(market.start + SECOND, market.stop - 3 * SECOND, count))
    rows["side"] = rng.choice([-1, 1], count)
    last = trades["tick"][np.searchsorted(trades["local_ts"], rows["ts"], "right") - 1].astype(np.int64)
    kind = rng.random(count)
    rows["tif"] = np.select([kind < 0.45, kind < 0.70, kind < 0.80], [GTC, GTX, IOC], FOK)
    rows["market"] = kind >= 0.87
    away = np.round(rng.exponential(stray, count) - 0.3 * stray).astype(np.int64)
    into = np.round(rng.exponential(stray, count) - 0.1 * stray).astype(np.int64)
    rows["tick"] = last - rows["side"] * np.where(rows["tif"] < FOK, away, -into)
    rows["tif"][rows["market"] > 0] = GTC
    size = np.exp(rng.normal(-2.5, 2.0, count))  # coins
    rows["lots"] = 1 + np.round(size / source.what.lot_size).astype(np.int64)
    rests = (rows["tif"] < FOK) & (rows["market"] == 0) & (rng.random(count) < 0.6)
    waits = 30_000_000 + rng.exponential(8e9, count).astype(np.int64)
    rows["cancel_ts"] = np.where(rests, rows["ts"] + waits, 0)
    return rows


def frame(rows: Rows, what: Instrument) -> pl.DataFrame:
    """Return the script as `replay_orders` reads it."""
    is_market = rows["market"] > 0
    price = rows["tick"] / round(1 / what.tick_size)
    prices = [None if m else float(p) for m, p in zip(is_market, price, strict=True)]
    return pl.DataFrame({
        "id": rows["id"], "ts": rows["ts"], "side": np.where(rows["side"] > 0, "buy", "sell").astype(object),
        "type": np.where(is_market, "market", "limit").astype(object), "post_only": rows["tif"] == GTX,
        "qty": rows["lots"] / round(1 / what.lot_size), "price": prices,
        "tif": [("GTC", "GTC", "FOK", "IOC")[t] for t in rows["tif"]],
        "cancel_ts": [int(t) if t else None for t in rows["cancel_ts"]],
    }, schema_overrides={"cancel_ts": pl.Int64, "price": pl.Float64}, strict=False)  # fmt: skip


def ours(source: Source, rows: Rows, partial: bool, queue: str) -> dict[int, Answer]:
    """Return our answers by order."""
    what = source.what
    result = replay_orders(
        frame(rows, what), source.market, cash=1e12, latency=Latency(order="10ms", response="10ms"),
        costs=Costs(maker=-0.00005, taker=0.0007, slippage=0.0), fills=Fills(queue=queue, partial=partial),
    )  # fmt: skip
    per_price, per_lot = round(1 / what.tick_size), round(1 / what.lot_size)
    fills: dict[int, list[tuple[int, int, int, int]]] = {int(r["id"]): [] for r in rows}
    for f in result.fills.iter_rows(named=True):
        one = (f["ts"], round(f["price"] * per_price), round(f["qty"] * per_lot), int(f["maker"]))
        known = fills[f["order_id"]]
        if known and known[-1][0] == one[0]:  # a walk is told once, by its last level
            one = (*one[:2], one[2] + known.pop()[2], one[3])
        known.append(one)
    orders = result.orders.select("id", "status", "filled_qty").iter_rows()
    return {i: (status, round(filled * per_lot), fills[i]) for i, status, filled in orders}


def theirs(source: Source, rows: Rows, partial: bool, queue: str) -> tuple[dict[int, Answer], Rows]:
    """Return hftbacktest's answers by order, and how its runs ended."""
    sheet, out = str(source.place / "script.npy"), str(source.place / "answers.npz")
    np.save(sheet, rows)
    what = source.what
    peer("replay", source.events, sheet, out, "partial" if partial else "whole", queue,
         repr(what.tick_size), repr(what.lot_size))  # fmt: skip
    found = np.load(out)
    status = {int(r["id"]): "none" for r in rows}
    left = {int(r["id"]): int(r["lots"]) for r in rows}
    post_only = {int(r["id"]) for r in rows if r["tif"] == GTX and not r["market"]}
    fills: dict[int, list[tuple[int, int, int, int]]] = {i: [] for i in status}
    for a in found["answers"].tolist():
        i, ts, code, rest, tick, maker = a
        if rest < left[i]:
            fills[i].append((ts, tick, left[i] - rest, maker))
            left[i] = rest
        status[i] = "rejected" if code == 2 and i in post_only else STATUS[code]
    return {i: (status[i], sum(f[2] for f in fills[i]), fills[i]) for i in status}, found["endings"]


def data_folder() -> Path:
    """Return the folder of real data."""
    return Path(os.environ.get("SHEEPFOLD_DATA") or ROOT / ".." / "shared" / "data")
