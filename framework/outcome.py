"""From the engine's arrays to what a researcher reads: tables, metrics, fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from framework import metrics
from framework.engine.tables import Tables
from framework.instruments import Instrument
from framework.records import (
    CLOSE,
    INVERSE,
    KIND_NAMES,
    LIMIT,
    LIQUIDATION,
    NEVER,
    REASONS,
    STATUS_NAMES,
    STOP,
    STOP_LIMIT,
    TIF_NAMES,
    TRAILING,
)

Rows = NDArray[Any]
SIDES = {1: "buy", -1: "sell", 0: ""}
RESTING = (LIMIT, STOP, STOP_LIMIT, TRAILING)  # kinds that a bar's range can fill
BOUND_METRICS = ("final_equity", "total_return", "max_drawdown", "sharpe", "trades", "ambiguous_bars")
THINNED = 4000  # points of the price curve a page keeps for each instrument

ORDER_LAYOUT = (
    "id", "ts", "arrival_ts", "end_ts", "instrument", "side", "kind", "tif", "qty", "price", "trigger",
    "status", "filled", "value", "last_fill_ts", "n_fills", "reason", "asked_qty", "asked_price",
    "asked_trigger",
)  # fmt: skip
FILL_LAYOUT = (
    "order_id",
    "ts",
    "seen_ts",
    "bar_open_ts",
    "instrument",
    "side",
    "price",
    "qty",
    "fee",
    "maker",
)


def names(codes: Rows, words: tuple[str, ...]) -> pl.Series:
    """Return codes as words."""
    return pl.Series(np.array(words, dtype=object)[codes.astype(np.int64)].tolist(), dtype=pl.String)


def when(values: Rows) -> pl.Series:
    """Return times with "never" as null."""
    return pl.Series(values).set(pl.Series(values >= NEVER), None)


class Outcome:
    """The tables of one finished run."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        c = tables.clock
        self.sim = tables.sim
        self.order_rows = self.sim.orders[: int(c["n_orders"])]
        self.fill_rows = self.sim.fills[: int(c["n_fills"])]
        self.instruments: tuple[Instrument, ...] = tables.market.instruments
        self.ids = tuple(i.id for i in self.instruments)

    def orders(self) -> pl.DataFrame:
        """Return the orders table: the row keeps what was asked."""
        o = self.order_rows
        price = np.where(np.isnan(o["asked_price"]), o["asked_trigger"], o["asked_price"])
        qty = np.where(np.isnan(o["asked_qty"]), o["qty"], o["asked_qty"])
        with np.errstate(invalid="ignore", divide="ignore"):
            average = np.where(o["filled"] > 0.0, o["value"] / o["filled"], np.nan)
        maker = np.zeros(len(o), dtype=bool)
        maker[self.fill_rows["order"]] = self.fill_rows["maker"] == 1
        return pl.DataFrame(
            {
                "id": o["id"], "ts": o["ts"], "arrival_ts": o["arrival_ts"], "end_ts": when(o["end_ts"]),
                "instrument": names(o["instrument"], self.ids),
                "side": pl.Series([SIDES[s] for s in o["side"].tolist()], dtype=pl.String),
                "type": names(o["kind"], KIND_NAMES), "tif": names(o["tif"], TIF_NAMES), "qty": qty,
                "price": price,
                "status": names(o["status"], STATUS_NAMES), "filled_qty": o["filled"], "avg_price": average,
                "last_fill_ts": when(np.where(o["n_fills"] > 0, o["last_fill_ts"], NEVER)), "maker": maker,
                "n_fills": o["n_fills"], "reason": names(o["reason"], REASONS),
            }
        )  # fmt: skip

    def fills(self) -> pl.DataFrame:
        """Return the fills table, one row per execution."""
        f = self.fill_rows
        return pl.DataFrame(
            {
                "order_id": f["order_id"], "ts": f["ts"], "seen_ts": f["seen_ts"],
                "bar_open_ts": pl.Series(f["bar_open_ts"]).set(pl.Series(f["bar_open_ts"] < 0), None),
                "instrument": names(f["instrument"], self.ids),
                "side": pl.Series([SIDES[s] for s in f["side"].tolist()], dtype=pl.String),
                "price": f["price"], "qty": f["qty"], "fee": f["fee"], "maker": f["maker"] == 1,
            }
        )  # fmt: skip

    def trips(self) -> Rows:
        """Return round trips, first in first out, as the engine's rows."""
        from framework.engine.trace import round_trips

        return round_trips(self.tables)

    def trades(self) -> pl.DataFrame:
        """Return the trades table: round trips, first in first out."""
        t, f = self.trips(), self.fill_rows
        entry, leave = f[t["entry"]], f[t["exit"]]
        last = self.order_rows[leave["order"]]
        why = [
            REASONS[role] if role else REASONS[r] if k == LIQUIDATION else "close" if k == CLOSE else "order"
            for role, r, k in zip(
                last["role"].tolist(), last["reason"].tolist(), last["kind"].tolist(), strict=True
            )
        ]
        return pl.DataFrame(
            {
                "instrument": names(t["instrument"], self.ids),
                "side": pl.Series(np.where(t["side"] > 0, "long", "short").tolist(), dtype=pl.String),
                "qty": t["qty"], "entry_ts": entry["ts"], "exit_ts": leave["ts"],
                "entry_bar": entry["bar_open_ts"],
                "exit_bar": leave["bar_open_ts"], "entry_price": entry["price"], "exit_price": leave["price"],
                "gross": t["gross"], "fees": t["fees"], "funding": t["funding"],
                "pnl": t["gross"] - t["fees"] + t["funding"], "reason": pl.Series(why, dtype=pl.String),
            }
        )  # fmt: skip

    def equity(self, sample: int = 0) -> pl.DataFrame:
        """Return the equity table, one row per bar close; with `sample` ns one per step, as known then.

        With several instruments `position` is the first one's and `position:<id>` the others'.
        """
        from framework.engine.trace import account_rows

        rows, positions = account_rows(self.tables, sample)
        frame = pl.DataFrame({name: np.ascontiguousarray(rows[name]) for name in rows.dtype.names or ()})
        for k in range(1, len(self.ids)):
            frame = frame.with_columns(
                pl.Series(f"position:{self.ids[k]}", np.ascontiguousarray(positions[:, k]))
            )
        return frame

    def price(self) -> pl.DataFrame:
        """Return closes per instrument, thinned for the page; of a run on ticks mids, and the spreads."""
        parts = []
        for k, name in enumerate(self.ids):
            if self.tables.market.has_ticks(k):
                from framework.execution import curves

                parts.append(curves(self, k, THINNED))
                continue
            bars = self.tables.market.match_bars(k)
            step = max(1, -(-len(bars) // THINNED))
            at = np.unique(np.append(np.arange(step - 1, len(bars), step), len(bars) - 1))
            at = at[at >= 0]
            parts.append(
                pl.DataFrame({"ts": bars["close_ts"][at], "close": bars["close"][at]}).with_columns(
                    instrument=pl.lit(name)
                )
            )
        return pl.concat(parts, how="diagonal")

    def metrics(self, decisions: tuple[int, int] | None = None) -> dict[str, Any]:
        """Return every metric of the report and the run's counters."""
        from framework.engine.trace import account_rows

        rows, positions = account_rows(self.tables)
        t, f = self.trips(), self.fill_rows
        total = self.sim.total[0]
        found = metrics.summary(
            rows["ts"], rows["equity"], start=float(total["start"]), start_ts=self.tables.market.start,
            position=np.abs(positions).sum(axis=1) if len(positions) else (),
            pnl=t["gross"] - t["fees"] + t["funding"],
            notional=self.values(t["instrument"], t["qty"], f["price"][t["entry"]]),
            traded=float(self.values(f["instrument"], f["qty"], f["price"]).sum()), fees=float(total["fees"]),
            funding=float(total["funding"]), slippage=float(f["slippage"].sum()),
            tokens=float(total["tokens"]), ambiguous=int(self.tables.clock["ambiguous"]), decisions=decisions,
        )  # fmt: skip
        status = self.order_rows["status"]
        found |= {
            "orders": len(self.order_rows), "fills": len(f), "rejected": int((status == 5).sum()),
            "late_orders": int(self.tables.clock["late"]), "liquidation": float(total["liquidation"]),
        }  # fmt: skip
        if self.tables.market.is_ticks:
            from framework.execution import execution

            found |= execution(self)
        return found

    def values(self, instrument: Rows, qty: Rows, price: Rows) -> Rows:
        """Return |notional| of quantities at prices, in the settlement currency."""
        m = self.sim.rules["multiplier"][instrument]
        inverse = self.sim.rules["kind"][instrument] == INVERSE
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(inverse, qty * m / price, qty * price * m))

    def final(self) -> dict[str, float]:
        """Return the final true ledger."""
        total = self.sim.total[0]
        n = len(self.ids)
        out = {
            name: float(total[name])
            for name in ("start", "realised", "fees", "funding", "tokens", "liquidation", "cash")
        }
        for k in range(n):
            out[f"position:{self.ids[k]}"] = float(self.sim.account[k]["position"])
            out[f"entry:{self.ids[k]}"] = float(self.sim.account[k]["entry"])
        return out

    def fingerprint(self) -> str:
        """Return sha256 over orders, fills, final ledger and the market's content, in a fixed layout.

        Little-endian int64 and float64, columns in the order of the layouts above: no versions, names, paths,
        clocks.
        """
        h = hashlib.sha256(b"sheepfold result 1\n")
        for rows, layout in ((self.order_rows, ORDER_LAYOUT), (self.fill_rows, FILL_LAYOUT)):
            h.update(len(rows).to_bytes(8, "little"))
            for name in layout:
                h.update(plain_bytes(rows[name]))
        ledger = self.sim.total[:1]
        for name in ("start", "realised", "fees", "funding", "tokens", "liquidation"):
            h.update(plain_bytes(ledger[name]))
        account = self.sim.account[: len(self.ids)]
        for name in ("position", "entry"):
            h.update(plain_bytes(account[name]))
        h.update(bytes.fromhex(self.tables.market.content_hash()))
        return h.hexdigest()


def plain_bytes(values: Rows) -> bytes:
    """Return a column as little-endian bytes with one NaN and one zero."""
    if values.dtype.kind == "f":
        plain = np.where(np.isnan(values), np.nan, values + 0.0)
        return np.ascontiguousarray(plain, dtype="<f8").tobytes()
    return np.ascontiguousarray(values, dtype="<i8").tobytes()


def bounds(outcome: Outcome, chosen_rule: str, rerun: Callable[[str], Tables]) -> dict[str, dict[str, Any]]:
    """Return key metrics under "worst", the chosen rule, and "best"; one run where no order ever rested.

    Nothing where every instrument has ticks: no order of events is assumed there.
    """
    market = outcome.tables.market
    if all(market.has_ticks(k) for k in range(len(outcome.ids))):
        return {}
    chosen = {name: outcome.metrics()[name] for name in BOUND_METRICS}
    found = {"worst": chosen, "chosen": chosen, "best": chosen}
    rests = bool(np.isin(outcome.order_rows["kind"], RESTING).any())
    for rule in ("worst", "best"):
        if rule != chosen_rule and rests:
            other = Outcome(rerun(rule)).metrics()
            found[rule] = {name: other[name] for name in BOUND_METRICS}
    return found


__all__ = ["Outcome", "bounds"]
