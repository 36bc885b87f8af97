"""Orders written down in a frame: checked at the door, turned into the engine's rows."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from framework.engine.state import REQUEST
from framework.errors import DataError, FrameworkError, near
from framework.instruments import grid_inverse, price_of
from framework.market import Market
from framework.market_columns import shown_time
from framework.options import Latency
from framework.records import (
    AMEND,
    CANCEL,
    CANCEL_ALL,
    CLOSE,
    GTD,
    KIND_NAMES,
    LIMIT,
    MARKET,
    NEVER,
    NONE,
    OPEN,
    ORDER,
    PENDING,
    STOP,
    STOP_LIMIT,
    TIF_NAMES,
    TRAILING,
)
from framework.script_frame import as_polars, is_number
from framework.times import DAY, parse_text, parse_time

COLUMNS = (
    "ts", "instrument", "side", "type", "qty", "share", "price", "trigger", "stop", "target", "trail", "tif",
    "post_only", "reduce_only", "expire_ts", "group", "cancel_ts", "id",
)  # fmt: skip
NUMBERS = ("qty", "share", "price", "trigger", "stop", "target", "trail")
TYPES = (*KIND_NAMES[:6], "cancel_all", "amend")
EXACT = 2**53  # above it a float no longer holds every whole number
WHOLE = 'pass whole numbers (pandas: astype("Int64"), polars: cast(pl.Int64))'
Rows = NDArray[Any]


class Script:
    """An orders frame as the engine's ORDER and REQUEST rows.

    Raises
    ------
    DataError
        A column or a cell that cannot be used: row (1 = first), column, value, fix.
    """

    def __init__(self, frame: Any, market: Market, latency: Latency, unit: str | None = None) -> None:
        self.market = market
        self.latency = latency
        self.frame = as_polars(frame)
        self.n = len(self.frame)
        for name in self.frame.columns:
            if name not in COLUMNS:
                raise DataError(f"orders: unknown column '{name}': {near(name, COLUMNS)}")
        if "ts" not in self.frame.columns:
            raise DataError("orders: no column 'ts' (decision time, int64 ns UTC or UTC datetimes)")
        longest = max((i for _, i in market.bars), default=0)
        self.earliest = market.start - max(DAY, longest)
        self.ts = self.times("ts")
        self.cells = {name: self.numbers(name) for name in NUMBERS}
        self.asked = {name: values.copy() for name, values in self.cells.items()}
        self.orders, self.requests = self.rows()

    def fail(self, row: int, column: str, words: str) -> DataError:
        """Return the error of one cell."""
        return DataError(f"orders row {row + 1}, {column}: {words}")

    def texts(self, name: str) -> list[Any]:
        """Return a column's cells, None where absent."""
        return self.frame[name].to_list() if name in self.frame.columns else [None] * self.n

    def times(self, name: str) -> NDArray[np.int64]:
        """Return a time column in ns; NEVER where absent."""
        out = np.full(self.n, NEVER, dtype=np.int64)
        values = self.texts(name)
        if name in self.frame.columns:
            column = self.frame[name]
            if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None:
                values = column.dt.cast_time_unit("ns").to_physical().to_list()  # Python's stop at 1 us
        for row, value in enumerate(values):
            if value is None or (isinstance(value, float) and math.isnan(value)):
                if name == "ts":
                    raise self.fail(row, name, "is missing")
                continue
            out[row] = self.time(row, name, value)
        return out

    def time(self, row: int, name: str, value: Any) -> int:
        """Return one time in ns; refuse what is not exact, has no zone, or lies long before the market."""
        if isinstance(value, float):
            if abs(value) > EXACT or value != int(value):
                raise self.fail(row, name, f"{value!r} as a float is no exact time in ns; {WHOLE}")
            value = int(value)
        if isinstance(value, datetime) and value.tzinfo is None:
            raise self.fail(row, name, f"{value} has no time zone; say which, such as tzinfo=datetime.UTC")
        try:
            ts = parse_text(value, naive_is_utc=False) if isinstance(value, str) else parse_time(value)
        except FrameworkError as error:
            raise self.fail(row, name, str(error).removeprefix("time: ")) from None
        if ts < self.earliest:
            is_number = self.frame[name].dtype.is_numeric()
            first = shown_time(self.market.start)
            what = f"{value} is {shown_time(ts)}" if is_number else shown_time(ts)
            fix = "integers are ns: is it ms?" if is_number else "leave the row out, or load that time too"
            raise self.fail(row, name, f"{what}, long before the market's first open {first}; {fix}")
        return ts

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a number column, NaN where absent."""
        if name not in self.frame.columns:
            return np.full(self.n, math.nan)
        try:
            values = np.array(self.frame[name].cast(pl.Float64))  # nulls become NaN
        except (pl.exceptions.PolarsError, ValueError):
            row = next(j for j, value in enumerate(self.texts(name)) if not is_number(value))
            raise self.fail(row, name, f"{self.texts(name)[row]!r} is no number") from None
        bad = np.flatnonzero(np.isinf(values) | (values <= 0.0))
        if bad.size:
            shown = float(values[bad[0]])
            words = f"{shown!r} must be finite and above 0; leave it empty for none"
            raise self.fail(int(bad[0]), name, words)
        return values

    def check_grid(self, row: int, k: int, column: str, step: float | None) -> None:
        """Refuse a value that is off the instrument's grid, and put it there exactly: 3 * 0.1 is 0.3."""
        value = float(self.cells[column][row])
        if not step or math.isnan(value):
            return
        steps = round(value / step)
        if abs(value / step - steps) > 1e-6 or steps == 0:
            what = "lot size" if column == "qty" else "tick size"
            raise self.fail(
                row, column, f"{value!r} is off the grid of {self.market.instruments[k].id} ({what} {step!r})"
            )
        if grid_inverse(step):  # else the grid itself has rounded values, and what was written is as good
            self.cells[column][row] = price_of(steps, step)

    def instrument(self, row: int, value: Any) -> int:
        """Return the instrument number of one row."""
        ids = [i.id for i in self.market.instruments]
        if value is None and len(ids) == 1:
            return 0
        if isinstance(value, int) and 0 <= value < len(ids):
            return value
        matches = [j for j, i in enumerate(self.market.instruments) if value in (i.id, i.symbol)]
        if len(matches) != 1:
            raise self.fail(row, "instrument", f"{value!r} is not in the market: {near(str(value), ids)}")
        return matches[0]

    def kind(self, row: int, value: Any) -> int:
        """Return the kind of one row, worked out from its prices where it is not given."""
        has = {name: not math.isnan(self.cells[name][row]) for name in NUMBERS}
        if value is None:
            if has["price"]:
                return STOP_LIMIT if has["trigger"] else LIMIT
            return STOP if has["trigger"] else MARKET
        text = str(value).lower()
        if text not in TYPES:
            raise self.fail(row, "type", f"{value!r} is unknown: {near(text, TYPES)}")
        code = {"cancel_all": CANCEL_ALL, "amend": AMEND}.get(text, TYPES.index(text))
        needs = {
            LIMIT: ("price",),
            STOP: ("trigger",),
            STOP_LIMIT: ("price", "trigger"),
            TRAILING: ("trail",),
        }
        for name in needs.get(code, ()):
            if not has[name]:
                raise self.fail(row, name, f"a {text} order needs a {name}")
        for name in ("price", "trigger"):
            if has[name] and code in (MARKET, LIMIT, STOP, TRAILING) and name not in needs.get(code, ()):
                raise self.fail(
                    row, name, f"a {text} order takes no {name}; change its type or leave it empty"
                )
        return code

    def size(self, row: int, kind: int) -> None:
        """Check that an order has exactly one of qty and share."""
        given = [n for n in ("qty", "share") if not math.isnan(self.cells[n][row])]
        if kind <= TRAILING and len(given) != 1:
            raise self.fail(
                row, "qty", f"give exactly one of qty and share, got {' and '.join(given) or 'none'}"
            )

    def rows(self) -> tuple[Rows, Rows]:
        """Return ORDER rows (frame order) and REQUEST rows (arrival order)."""
        columns = {
            n: self.texts(n)
            for n in ("instrument", "side", "type", "tif", "post_only", "reduce_only", "group", "id")
        }
        expire, cancel = self.times("expire_ts"), self.times("cancel_ts")
        given = self.ids(columns["id"])
        orders: list[Any] = []
        requests: list[Any] = []
        amends: list[Any] = []
        for row in range(self.n):
            k = self.instrument(row, columns["instrument"][row])
            kind = self.kind(row, columns["type"][row])
            one = self.market.instruments[k]
            for name in NUMBERS:
                if name != "share":
                    self.check_grid(row, k, name, one.lot_size if name == "qty" else one.tick_size)
            if kind in (AMEND, CANCEL_ALL):
                amends.append((row, k, kind))
                continue
            self.size(row, kind)
            order = self.order(row, k, kind, columns, int(expire[row]))
            order["id"] = given[row]
            requests.append((row, k, 0, len(orders), order))
            orders.append(order)
        table = np.array(orders, dtype=ORDER) if orders else np.zeros(0, ORDER)
        return table, self.sent(table, requests, amends, cancel, given)

    def whole(self, row: int, name: str, value: Any, none: int) -> int:
        """Return a cell that holds a whole number; `none` where it is empty."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return none
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
            raise self.fail(row, name, f"{value!r} is not a whole number")
        return int(value)

    def ids(self, values: list[Any]) -> list[int]:
        """Return one id per row, the frame's own or 1, 2, 3."""
        return [self.whole(row, "id", value, row + 1) for row, value in enumerate(values)]

    def side(self, row: int, kind: int, value: Any) -> int:
        """Return +1 or -1; a close has none."""
        if kind == CLOSE:
            return 0
        code = {"buy": 1, "sell": -1, 1: 1, -1: -1}.get(value.lower() if isinstance(value, str) else value)
        if code is None:
            raise self.fail(row, "side", f"{value!r} must be buy or sell")
        return code

    def order(self, row: int, k: int, kind: int, columns: dict[str, list[Any]], expire: int) -> Any:
        """Return one ORDER row."""
        o = np.zeros(1, ORDER)[0]
        tif = str(columns["tif"][row] or "GTC").upper()
        if tif not in TIF_NAMES:
            raise self.fail(row, "tif", f"{columns['tif'][row]!r} is unknown: {near(tif, TIF_NAMES)}")
        if tif == "GTD" and expire == NEVER:
            raise self.fail(row, "expire_ts", "a GTD order needs an expire_ts")
        o["instrument"], o["kind"], o["side"] = k, kind, self.side(row, kind, columns["side"][row])
        o["tif"] = GTD if expire < NEVER and tif == "GTC" else TIF_NAMES.index(tif)
        o["post_only"] = int(bool(columns["post_only"][row]))
        o["reduce_only"] = int(bool(columns["reduce_only"][row]) or kind == CLOSE)
        o["group"] = self.whole(row, "group", columns["group"][row], 0)
        o["status"], o["known"] = PENDING, OPEN
        o["ts"], o["end_ts"], o["expire_ts"], o["last_fill_ts"] = self.ts[row], NEVER, expire, NEVER
        for name in NUMBERS:
            o[name] = self.cells[name][row]
        for name in ("qty", "price", "trigger"):
            o[f"asked_{name}"] = self.asked[name][row]
        if kind == CLOSE:
            o["qty"] = o["share"] = math.nan
        o["parent"] = o["seen_bar"] = o["works_in"] = NONE
        return o

    def sent(
        self, table: Rows, requests: list[Any], amends: list[Any], cancel: NDArray[np.int64], given: list[int]
    ) -> Rows:
        """Return every request in the order it is sent."""
        out: list[tuple[Any, ...]] = []
        row_of = {int(o["id"]): j for j, o in enumerate(table)}
        for row, _, _, j, order in requests:
            if row_of[int(order["id"])] != j:
                other = next(r for r, *_, o in requests if o["id"] == order["id"] and r != row)
                raise self.fail(max(row, other), "id", f"{order['id']} stands twice; ids are unique")
        empty = (math.nan,) * 5
        for row, k, _, j, _ in requests:
            rank = 0 if table[j]["reduce_only"] else 1
            arrival = self.arrival(k, int(self.ts[row]))
            table[j]["arrival_ts"] = arrival
            out.append((int(self.ts[row]), arrival, 0, rank, 2 * row, 0, j, k, *empty))
            if cancel[row] < NEVER:
                sent = int(cancel[row])
                if sent < self.ts[row]:
                    raise self.fail(row, "cancel_ts", "lies before ts, when the order is sent")
                out.append((sent, self.arrival(k, sent), 0, -1, 2 * row + 1, CANCEL, j, k, *empty))
        for row, k, kind in amends:
            if kind == AMEND and given[row] not in row_of:
                raise self.fail(
                    row, "id", f"no order has the id {given[row]}; an amend names the order it changes"
                )
            j = row_of.get(given[row], NONE) if kind == AMEND else NONE
            values = (
                tuple(self.cells[n][row] for n in ("qty", "price", "trigger", "stop", "target"))
                if kind == AMEND
                else empty
            )
            sent = int(self.ts[row])
            out.append((sent, self.arrival(k, sent), 0, -1, 2 * row, kind, j, k, *values))
        made = np.array(out, dtype=REQUEST) if out else np.zeros(0, REQUEST)
        made = made[np.lexsort((made["sequence"], made["ts"]))]
        made["segment"] = np.cumsum(made["kind"] != 0)
        return made

    def arrival(self, k: int, ts: int) -> int:
        """Time at which something sent at `ts` reaches the exchange."""
        table = self.latency.rows(self.market.instruments[k].venue)
        at = max(int(np.searchsorted(table["ts"], ts, side="right")) - 1, 0)
        took = int(table["order"][at])
        if self.latency.interpolate and at + 1 < len(table) and ts > table["ts"][at]:
            first, following = int(table["ts"][at]), int(table["ts"][at + 1])
            took += (int(table["order"][at + 1]) - took) * (ts - first) // (following - first)
        return ts + took
