"""hftbacktest: the tick maker, the same clock without orders, and its reading of Tardis files.

python run_hftbacktest.py speed maker|idle|plain hashmap|roi ASSETS FOLDER    # of benchmarks.tick_feed
python run_hftbacktest.py convert FOLDER                                     # Tardis csv.gz to its events
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import resource
import sys
import time
from pathlib import Path

import hftbacktest as hb
import numba as nb
import numpy as np
from hftbacktest import GTX, LIMIT, BacktestAsset, HashMapMarketDepthBacktest, ROIVectorMarketDepthBacktest

STEP, LATENCY = 100_000_000, 10_000_000  # ns
TICK, LOT, SIZE, LIMIT_POSITION, HALF = 0.1, 0.001, 0.01, 1.0, 5
MAKER, TAKER = -0.00005, 0.0007
WARM = 50_000  # events of the first, compiling run


def idle(hbt, assets):
    """Wake up and read the middle."""
    wakes, total = 0, 0.0
    while hbt.elapse(STEP) == 0:
        wakes += 1
        for k in range(assets):
            d = hbt.depth(k)
            total += (d.best_bid_tick + d.best_ask_tick) / 2.0
    return wakes, 0


def maker(hbt, assets):
    """Keep one bid and one ask five ticks from the middle; leave alone what stands right."""
    wakes, sent = 0, 0
    while hbt.elapse(STEP) == 0:
        wakes += 1
        for k in range(assets):
            hbt.clear_inactive_orders(k)
            depth = hbt.depth(k)
            middle = (depth.best_bid_tick + depth.best_ask_tick) / 2.0
            bid, ask = math.floor(middle - HALF), math.ceil(middle + HALF)
            has_bid = has_ask = False
            walk = hbt.orders(k).values()
            while walk.has_next():
                order = walk.get()
                if order.side == 1 and order.price_tick == bid:
                    has_bid = True
                elif order.side == -1 and order.price_tick == ask:
                    has_ask = True
                elif order.cancellable:
                    hbt.cancel(k, order.order_id, False)
            position = hbt.position(k)
            if not has_bid and position < LIMIT_POSITION:
                sent += 1
                hbt.submit_buy_order(k, sent, bid * TICK, SIZE, GTX, LIMIT, False)
            if not has_ask and position > -LIMIT_POSITION:
                sent += 1
                hbt.submit_sell_order(k, sent, ask * TICK, SIZE, GTX, LIMIT, False)
    return wakes, sent


def engine(feeds, depth):
    """Build the backtest: risk-averse queue, whole fills, 10 ms each way. It keeps no hold of the arrays."""
    made = []
    for data in feeds:
        one = BacktestAsset().data(data).linear_asset(1.0).constant_order_latency(LATENCY, LATENCY)
        one = one.risk_adverse_queue_model().no_partial_fill_exchange()
        one = one.trading_value_fee_model(MAKER, TAKER).tick_size(TICK).lot_size(LOT)
        made.append(one.roi_lb(29_000.0).roi_ub(31_000.0) if depth == "roi" else one)
    return (ROIVectorMarketDepthBacktest if depth == "roi" else HashMapMarketDepthBacktest)(made)


def later(events, k):
    """Return the events of another instrument: the same, a little later."""
    out = events.copy()
    out["exch_ts"] += k * 3_000_000
    out["local_ts"] += k * 3_000_000
    return out


def state(hbt, assets):
    """Return what the account ends with."""
    values = [hbt.state_values(k) for k in range(assets)]
    return {
        "fills": sum(int(v.num_trades) for v in values),
        "position": sum(round(float(v.position), 6) for v in values),
        "fees": round(sum(float(v.fee) for v in values), 6),
        "balance": round(sum(float(v.balance) for v in values), 4),
    }


def run(call, feeds, depth):
    """Return wall and CPU seconds of one run, without building it, and what came out."""
    hbt, assets = engine(feeds, depth), len(feeds)
    wall, cpu = time.perf_counter(), time.process_time()
    wakes, sent = call(hbt, assets)
    times = time.perf_counter() - wall, time.process_time() - cpu
    out = {**state(hbt, assets), "wakes": wakes, "orders": sent}
    hbt.close()
    return times, out


def speed(what, depth, assets, folder):
    """Compile on a little, then measure; each run is a fresh engine over the same events."""
    events = np.load(Path(folder) / "events.npy")
    written = {"idle": idle, "maker": maker, "plain": maker}[what]
    call = written if what == "plain" else nb.njit(written)
    feeds = [events, *(later(events, k) for k in range(1, assets))]
    first, _ = run(call, [feed[:WARM].copy() for feed in feeds], depth)
    runs = [run(call, feeds, depth) for _ in range(9)]
    cpu, wall = (min(times[i] for times, _ in runs) for i in (1, 0))
    figures = {"first_s": first[0], "cpu_s": cpu, "wall_s": wall, "repeats": len(runs)}
    return {**figures, "events": assets * len(events), **runs[-1][1]}


def convert(folder):
    """Read the Tardis files, three times."""
    from hftbacktest.data.utils.tardis import convert

    files = [str(next(Path(folder).glob(f"*_{kind}_*.csv.gz"))) for kind in ("trades", "incremental_book_L2")]
    wall, cpu, rows = [], [], 0
    for _ in range(4):
        w, c = time.perf_counter(), time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            rows = len(convert(files, buffer_size=6_000_000))
        wall.append(time.perf_counter() - w)
        cpu.append(time.process_time() - c)
    return {"first_s": wall[0], "wall_s": min(wall[1:]), "cpu_s": min(cpu[1:]), "rows": rows}


if __name__ == "__main__":
    if sys.argv[1] == "speed":
        found = speed(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
    else:
        found = convert(sys.argv[2])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"peer": "hftbacktest", "version": hb.__version__, **found, "peak_rss_mb": peak}))
