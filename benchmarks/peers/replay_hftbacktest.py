"""hftbacktest: scripted orders over recorded feeds, every answer of its exchange written down.

    python replay_hftbacktest.py convert OUT.npy TRADES.csv.gz ... BOOK.csv.gz ...
    python replay_hftbacktest.py replay EVENTS.npy SCRIPT.npy OUT.npz whole|partial QUEUE TICK LOT

`convert` is its own tardis.convert; QUEUE is risk_averse, power:N or log. SCRIPT.npy rows: id ts side market
tif tick lots cancel_ts (tif as hftbacktest numbers it). With "partial" each order runs alone: an order filled
exactly by a trade's excess ends its whole run (its issue 312). Only the exchange's rows are kept: nothing
here looks at the local book.
"""

from __future__ import annotations

import json
import sys

import hftbacktest as hb
import numpy as np
from hftbacktest import LIMIT, MARKET, BacktestAsset, HashMapMarketDepthBacktest

EXCHANGE, LOCAL = np.uint64(1 << 31), np.uint64(1 << 30)
LATENCY = 10_000_000  # ns, each way
RESPONSE, TIMEOUT = 3, 0  # what wait_next_feed says
FAR = 10**15  # ns: longer than any feed
ANSWER = np.dtype([(name, "i8") for name in ("id", "ts", "status", "left", "tick", "maker")])
ENDING = np.dtype([("id", "i8"), ("code", "i8"), ("position", "i8"), ("fee", "f8")])


def convert(out, files):
    """Save the exchange's side of what its own reader makes of Tardis files, trades first as it asks."""
    from hftbacktest.data.utils.tardis import convert

    trades = [f for f in files if "trades" in f]
    events = convert([*trades, *(f for f in files if f not in trades)], buffer_size=3_000_000)
    np.save(out, events[events["ev"] & EXCHANGE != 0])


class Run:
    """One backtest of some orders."""

    def __init__(self, events, partial, queue, tick, lot):
        asset = BacktestAsset().data(events).linear_asset(1.0).constant_order_latency(LATENCY, LATENCY)
        name, _, power = queue.partition(":")
        asset = {"risk_averse": asset.risk_adverse_queue_model, "log": asset.log_prob_queue_model,
                 "power": lambda: asset.power_prob_queue_model(float(power))}[name]()  # fmt: skip
        asset = asset.partial_fill_exchange() if partial else asset.no_partial_fill_exchange()
        asset = asset.trading_value_fee_model(-0.00005, 0.0007).tick_size(tick).lot_size(lot)
        self.hbt = HashMapMarketDepthBacktest([asset])
        self.tick, self.per_lot = tick, round(1 / lot)
        self.known: dict[int, tuple[int, int, int]] = {}  # order: status, exchange time, lots left
        self.answers: list[tuple[int, ...]] = []
        self.hbt.elapse(0)

    def note(self):
        """Write down what the answers that just came changed."""
        orders = self.hbt.orders(0)
        for id, before in self.known.items():
            order = orders.get(id)
            now = (int(order.status), int(order.exch_timestamp), round(order.leaves_qty * self.per_lot))
            if now != before:
                self.known[id] = now
                row = (id, now[1], now[0], now[2], int(order.exec_price_tick), int(order.arr[0]["maker"]))
                self.answers.append(row)

    def until(self, ts):
        """Go on to a time; 0, or why it cannot."""
        while True:
            code = self.hbt.wait_next_feed(True, ts - self.hbt.current_timestamp)
            if code != RESPONSE:
                return 0 if code == TIMEOUT else int(code)
            self.note()

    def send(self, row):
        """Send one order."""
        submit = self.hbt.submit_buy_order if row["side"] > 0 else self.hbt.submit_sell_order
        kind = MARKET if row["market"] else LIMIT
        qty, id = int(row["lots"]) / self.per_lot, int(row["id"])
        submit(0, id, int(row["tick"]) * self.tick, qty, int(row["tif"]), kind, False)
        order = self.hbt.orders(0).get(id)
        self.known[id] = (int(order.status), int(order.exch_timestamp), int(row["lots"]))

    def play(self, script):
        """Send and cancel everything in order of time; return the code it ended with."""
        acts = [(int(r["ts"]), 0, i) for i, r in enumerate(script)]
        acts += [(int(r["cancel_ts"]), 1, i) for i, r in enumerate(script) if r["cancel_ts"] > 0]
        for ts, is_cancel, i in sorted(acts):
            code = self.until(ts)
            if code:
                return code
            if not is_cancel:
                self.send(script[i])
            elif self.hbt.orders(0).get(int(script[i]["id"])).cancellable:
                self.hbt.cancel(0, int(script[i]["id"]), False)
        return self.until(int(self.hbt.current_timestamp) + FAR)

    def end(self, id, code):
        """Return what its account says in the end."""
        state = self.hbt.state_values(0)
        position, fee = round(float(state.position) * self.per_lot), float(state.fee)
        self.hbt.close()
        return id, code, position, fee


def replay(events, script, out, style, queue, tick, lot):
    """Play the script and save answers and endings."""
    rows, feed = np.load(script), np.load(events)
    feed["ev"] &= ~LOCAL
    answers, endings = [], []
    for part in np.split(rows, len(rows)) if style == "partial" else [rows]:
        run = Run(feed, style == "partial", queue, float(tick), float(lot))
        code = run.play(part)
        answers += run.answers
        endings.append(run.end(int(part[0]["id"]), code))
    np.savez(out, answers=np.array(answers, ANSWER), endings=np.array(endings, ENDING))
    print(json.dumps({"answers": len(answers), "version": hb.__version__}))


if __name__ == "__main__":
    if sys.argv[1] == "convert":
        convert(sys.argv[2], sys.argv[3:])
        print(json.dumps({"version": hb.__version__}))
    else:
        replay(*sys.argv[2:])
