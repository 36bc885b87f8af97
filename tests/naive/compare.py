"""The engine beside the twin: a case as a public call, a Result as the twin's tables, their differences."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import fields
from typing import Any

from tests.naive.candles import run
from tests.naive.execution import Execution
from tests.naive.model import Case, Options

INTEGERS = ("id", "ts", "group", "expire_ts", "cancel_ts")
NUMBERS = ("qty", "share", "price", "trigger", "stop", "target", "trail")
WORDS = ("instrument", "side", "type", "tif")
FLAGS = ("post_only", "reduce_only")
EXACT, CLOSE, MONEY = 1e-12, 1e-9, 1e-9  # relative: quantities; fees; 1e-9 x the money that moved


def name_of(k: int) -> str:
    """Instrument id of number k."""
    return f"synthetic:S{k}"


def frames(case: Case) -> tuple[Any, Any, dict[str, Any]]:
    """(orders polars frame, Market, keyword arguments) for `framework.replay_orders`."""
    return orders_frame(case), market_of(case), arguments(case.options)


def orders_frame(case: Case) -> Any:
    """The scripted orders as a polars frame with the columns of a result that hold anything."""
    import polars as pl

    def cell(row: dict[str, Any], name: str, n: int) -> Any:
        if name == "instrument":
            return name_of(row["instrument"])
        return row.get("id", n + 1) if name == "id" else row.get(name)

    kinds = {**dict.fromkeys(INTEGERS, pl.Int64), **dict.fromkeys(NUMBERS, pl.Float64),
             **dict.fromkeys(WORDS, pl.String), **dict.fromkeys(FLAGS, pl.Boolean)}
    columns = {name: [cell(row, name, n) for n, row in enumerate(case.orders)] for name in kinds}
    used = [name for name in kinds if name in ("ts", *WORDS) or any(columns[name])]
    return pl.DataFrame({n: columns[n] for n in used}, schema={n: kinds[n] for n in used})


def market_of(case: Case) -> Any:
    """Bars, funding and marks as a Market; bars of each length are a stream of their own."""
    import polars as pl

    from framework.instruments import Instrument
    from framework.market import Market

    parts = []
    for k, (row, bars) in enumerate(zip(case.instruments, case.bars, strict=True)):
        instrument = Instrument(
            name_of(k), kind=row["kind"], tick_size=row.get("tick"), lot_size=row.get("lot"),
            min_notional=row.get("min_notional") or 0.0, multiplier=row.get("multiplier", 1.0),
            maker=row.get("maker"), taker=row.get("taker"), tiers=row.get("tiers") or (), settle="USD",
        )
        streams = defaultdict(list)
        for bar in bars:
            streams[bar[1] - bar[0]].append(bar)
        names = ["open_ts", "close_ts", "open", "high", "low", "close", "volume"]
        for rows in streams.values():
            frame = pl.DataFrame([tuple(r) for r in rows], schema=names, orient="row")
            parts.append(Market.from_candles(frame, instrument, unit="ns"))
    market = Market.join(*parts)
    for k in range(len(case.bars)):
        if case.funding[k]:
            frame = pl.DataFrame(case.funding[k], schema=["ts", "rate"], orient="row")
            market = market.with_funding(frame, name_of(k), time="ts", rate="rate", unit="ns")
        if case.mark[k]:
            frame = pl.DataFrame(case.mark[k], schema=["ts", "price"], orient="row")
            market = market.with_mark(frame, name_of(k), time="ts", price="price", unit="ns")
    return market


def arguments(options: Options) -> dict[str, Any]:
    """Keyword arguments of `replay_orders`."""
    from framework import Costs, Fills, Latency, Risk

    x = options
    names = ("maker", "taker", "slippage", "entry_spread", "impact")
    costs = Costs(**{name: getattr(x, name) for name in names})
    rules = ("at", "intrabar", "exits_from", "grace", "volume_share", "slip_in_range")
    fills = {name: getattr(x, name) for name in rules}
    latency = Latency(order=x.order_latency, response=x.response_latency, table=x.latency_table)
    return {"cash": x.cash, "costs": costs, "latency": latency, "fills": Fills(**fills),
            "leverage": x.leverage, "margin": x.margin,
            "risk": Risk(x.max_order_notional, x.max_position_notional)}


def engine(case: Case) -> dict[str, Any]:
    """Run the case through `framework.replay_orders`; the twin's tables of its Result."""
    from framework import replay_orders

    orders, market, options = frames(case)
    return tables(replay_orders(orders, market, **options), case)


def tables(result: Any, case: Case) -> dict[str, Any]:
    """A Result in the shape of `candles.run`."""
    numbers = {name_of(k): k for k in range(len(case.bars))}
    sides = {"buy": 1, "sell": -1, "long": 1, "short": -1}

    def plain(row: dict[str, Any]) -> dict[str, Any]:
        if "instrument" in row:
            row["instrument"] = numbers.get(row["instrument"], row["instrument"])
        if "side" in row:
            row["side"] = sides.get(row["side"], row["side"])
        return row

    named = {name: [plain(row) for row in getattr(result, name).to_dicts()]
             for name in ("orders", "fills", "trades", "equity")}
    return {**named, **counts_of(result, case), "status": result.status}


def counts_of(result: Any, case: Case) -> dict[str, Any]:
    """Ambiguous and late counts and the final ledger, its equity marked at the last closes."""
    final = dict(result.manifest["final"])
    final["positions"] = [final[f"position:{name_of(k)}"] for k in range(len(case.bars))]
    ledger = Execution(case).ledger
    final["equity"] = final["start"] + final["realised"] - final["fees"] + final["funding"] - final["tokens"]
    final["equity"] += final["liquidation"]
    for k, qty in enumerate(final["positions"]):
        ledger.positions[k].qty, ledger.positions[k].entry = qty, final[f"entry:{name_of(k)}"]
        final["equity"] += ledger.unrealised(k, case.bars[k][-1][5])
    counts = {"ambiguous": "ambiguous_bars", "late": "late_orders"}
    return {**{name: result.metrics[key] for name, key in counts.items()}, "final": final}


def amended(case: Case) -> set[int]:
    """Ids of orders that an amend names: their qty and price columns may be the old or the new."""
    return {row["id"] for row in case.orders if row["type"] == "amend"}


def differences(case: Case, naive: dict[str, Any], result: Any) -> list[str]:
    """What differs between the twin's tables and the engine's (a Result, or tables), one line each."""
    other = result if isinstance(result, dict) else tables(result, case)
    money = MONEY * scale(case, naive)
    found = [f"{name}: twin {naive[name]}, engine {other[name]}"
             for name in ("status", "ambiguous", "late") if naive[name] != other[name]]
    dust = [money * EXACT / MONEY / value for value in unit_values(case)]
    found += order_differences(naive["orders"], other["orders"], amended(case), dust)
    found += fill_differences(naive["fills"], other["fills"], dust)
    found += row_differences("trade", naive["trades"], other["trades"], TRADE_COLUMNS, money)
    found += reason_differences(naive["trades"], other["trades"])
    found += row_differences("equity row", naive["equity"], other["equity"], EQUITY_COLUMNS, money)
    return found + final_differences(naive["final"], other["final"], money, max(dust))


# column -> (relative tolerance, does the money tolerance apply); None = equal
FILL_COLUMNS: dict[str, tuple[float, bool] | None] = {
    "order_id": None, "ts": None, "seen_ts": None, "bar_open_ts": None, "instrument": None, "side": None,
    "maker": None, "price": (EXACT, False),
}
TRADE_COLUMNS: dict[str, tuple[float, bool] | None] = {
    "instrument": None, "side": None, "entry_ts": None, "exit_ts": None, "entry_bar": None, "exit_bar": None,
    "qty": (CLOSE, False), "entry_price": (EXACT, False), "exit_price": (EXACT, False),
    "gross": (CLOSE, True), "fees": (CLOSE, True), "funding": (CLOSE, True), "pnl": (CLOSE, True),
}
EQUITY_COLUMNS: dict[str, tuple[float, bool] | None] = {
    "ts": None, "equity": (CLOSE, True), "realised": (CLOSE, True), "unrealised": (CLOSE, True),
    "fees": (CLOSE, True), "funding": (CLOSE, True), "tokens": (CLOSE, True),
}


def reason_differences(mine: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[str]:
    """Trades ended by a bracket exit, a close or the venue say so; how other orders are named is free."""
    pairs = [(a["reason"], b["reason"]) for a, b in zip(mine, theirs, strict=False)]
    return [f"trade {n} reason: twin {a!r}, engine {b!r}" for n, (a, b) in enumerate(pairs)
            if a != b and a != "order"][:1]


def unit_values(case: Case) -> list[float]:
    """About what one unit of each instrument is worth: a share of a nearly empty account loses digits."""
    values = []
    for row, bars in zip(case.instruments, case.bars, strict=True):
        price = 1.0 / bars[0][2] if row["kind"] == "inverse" else bars[0][2]
        values.append(price * row.get("multiplier", 1.0))
    return values


def fill_differences(
    mine: list[dict[str, Any]], theirs: list[dict[str, Any]], dust: list[float]
) -> list[str]:
    """Fills row by row: quantity to 1e-12, or to 1e-12 of the money that moved; fee to 1e-9."""
    found = row_differences("fill", mine, theirs, FILL_COLUMNS, 0.0)
    for n, (a, b) in enumerate(zip(mine, theirs, strict=False)):
        if not same(a["qty"], b["qty"], EXACT, dust[a["instrument"]]):
            found.append(f"fill {n} qty: twin {a['qty']!r}, engine {b['qty']!r}")
        elif same(a["qty"], b["qty"], EXACT) and not same(a["fee"], b["fee"], CLOSE):
            found.append(f"fill {n} fee: twin {a['fee']!r}, engine {b['fee']!r}")
    return found


def final_differences(mine: dict[str, Any], theirs: dict[str, Any], money: float, dust: float) -> list[str]:
    """Differences of the final ledger."""
    found = []
    for name, value in mine.items():
        a, b = (list(x) if isinstance(x, list | tuple) else [x] for x in (value, theirs.get(name)))
        tolerance = money if name != "positions" else dust
        if len(a) != len(b) or not all(same(x, y, EXACT, tolerance) for x, y in zip(a, b, strict=True)):
            found.append(f"final {name}: twin {value}, engine {theirs.get(name)}")
    return found


def scale(case: Case, naive: dict[str, Any]) -> float:
    """Money that moved: start cash plus the notional of every fill."""
    total = case.options.cash
    for fill in naive["fills"]:
        row = case.instruments[fill["instrument"]]
        price = 1.0 / fill["price"] if row["kind"] == "inverse" else fill["price"]
        total += fill["qty"] * price * row.get("multiplier", 1.0)
    return total


def same(a: Any, b: Any, relative: float, absolute: float = 0.0) -> bool:
    """Equal within tolerance; None and NaN are the same nothing."""
    nothing = [x is None or (isinstance(x, float) and math.isnan(x)) for x in (a, b)]
    if any(nothing):
        return all(nothing)
    return math.isclose(a, b, rel_tol=relative, abs_tol=absolute)


def row_differences(what: str, mine: list[dict[str, Any]], theirs: list[dict[str, Any]],
                    columns: dict[str, tuple[float, bool] | None], money: float) -> list[str]:
    """Differences of two tables row by row; after the first differing row nothing more is said."""
    found = []
    if len(mine) != len(theirs):
        found.append(f"{what}s: twin {len(mine)}, engine {len(theirs)}")
    for n, (a, b) in enumerate(zip(mine, theirs, strict=False)):
        for name, tolerance in columns.items():
            if tolerance is None:
                equal = a[name] == b[name]
            else:
                equal = same(a[name], b[name], tolerance[0], money if tolerance[1] else 0.0)
            if not equal:
                found.append(f"{what} {n} {name}: twin {a[name]!r}, engine {b[name]!r}")
        if found:
            break
    return found


def order_differences(mine: list[dict[str, Any]], theirs: list[dict[str, Any]],
                      amended: set[int], dust: list[float]) -> list[str]:
    """Orders by id: status, reason, quantities, ends."""
    found = []
    others = {row["id"]: row for row in theirs}
    if sorted(others) != sorted(row["id"] for row in mine) or len(others) != len(theirs):
        found.append(f"order ids: twin {sorted(r['id'] for r in mine)}, engine {[r['id'] for r in theirs]}")
    for a in mine:
        b = others.get(a["id"])
        if b is None:
            continue
        names = ["instrument", "type", "status", "reason", "ts", "arrival_ts", "n_fills"]
        names += ["end_ts"] if a["status"] != "open" else []
        names += ["side"] if a["side"] else []
        found += [f"order {a['id']} {x}: twin {a[x]!r}, engine {b[x]!r}" for x in names if a[x] != b[x]]
        sizes = ["filled_qty", "avg_price"] + (["price", "qty"] if a["id"] not in amended else [])
        sizes = [x for x in sizes if x != "qty" or a["reason"] != "below lot"]
        found += [f"order {a['id']} {x}: twin {a[x]!r}, engine {b[x]!r}" for x in sizes
                  if not same(a[x], b[x], CLOSE if x == "avg_price" else EXACT,
                              dust[a["instrument"]] if x.endswith("qty") else 1e-300)]
    return found


def dump(case: Case) -> str:
    """A case as readable lines: options that are not the default, instruments, bars, streams, orders."""
    base = Options()
    changed = {f.name: getattr(case.options, f.name) for f in fields(Options)
               if getattr(case.options, f.name) != getattr(base, f.name)}
    lines = [f"seed {case.seed}", f"options {changed}"]
    for k, row in enumerate(case.instruments):
        lines.append(f"instrument {k} {row}")
        lines += [f"  bar {i:3} {bar}" for i, bar in enumerate(case.bars[k])]
        lines += [f"  funding {row}" for row in case.funding[k]] + [f"  mark {row}" for row in case.mark[k]]
    for row in case.orders:
        lines.append(f"order {({name: v for name, v in row.items() if v not in (None, False)})}")
    return "\n".join(lines)


def check(case: Case) -> list[str]:
    """Run both sides; differences, or the error the engine raised."""
    try:
        other = engine(case)
    except Exception as error:
        return [f"engine raised {type(error).__name__}: {error}"]
    return differences(case, run(case), other)
