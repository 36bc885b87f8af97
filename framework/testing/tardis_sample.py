"""A SYNTHETIC market as the csv files Tardis would have of it: something to download without data or key."""

from __future__ import annotations

import gzip
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.instruments import Instrument, price_of
from framework.market import Market
from framework.market_ticks import Book
from framework.times import DAY, HOUR, format_time, parse_time

START, MINUTES, SEED = "2024-01-31 23:50", 20, 7  # over a midnight: the second day is the first of a month
LAG = 20_000  # us between a mark price and its arrival
Table = dict[str, Any]


@lru_cache(maxsize=1)
def sample_files() -> dict[str, bytes]:
    """Return the files by path, `synthetic/trades/2024/02/01/BTCUSDT-PERP`; always the same bytes."""
    from framework.data.synthetic_ticks import ticks

    market = ticks(MINUTES, SEED, START)
    made: dict[str, bytes] = {}
    first = parse_time(START) // DAY * DAY
    for day in (first, first + DAY):
        for kind, table in (
            ("trades", trades_of(market, day)),
            ("incremental_book_L2", book_of(market.books[0], market.instruments[0], day)),
            ("derivative_ticker", ticker_of(market, day)),
        ):
            where = format_time(day)[:10].replace("-", "/")
            made[f"synthetic/{kind}/{where}/{market.instruments[0].symbol}"] = packed(table, market)
    return made


def instruments_of_sample() -> dict[str, list[dict[str, Any]]]:
    """Return what `/instruments/synthetic` says of it."""
    from framework.data.synthetic_ticks import PERP

    return {
        PERP.venue: [{
            "id": PERP.symbol, "datasetId": PERP.symbol, "exchange": PERP.venue, "baseCurrency": "BTC",
            "quoteCurrency": "USDT", "type": "perpetual", "contractType": "linear_perpetual", "active": True,
            "availableSince": "2024-01-31T00:00:00.000Z", "priceIncrement": PERP.tick_size,
            "amountIncrement": PERP.lot_size, "minTradeAmount": PERP.lot_size, "makerFee": PERP.maker,
            "takerFee": PERP.taker, "inverse": False, "contractMultiplier": 1,
        }]
    }  # fmt: skip


def packed(table: Table, market: Market) -> bytes:
    """Return a table as csv.gz, the exchange and symbol before its columns."""
    import polars as pl

    venue, symbol = market.instruments[0].venue, market.instruments[0].symbol
    rows = len(table["timestamp"])
    frame = pl.DataFrame({"exchange": [venue] * rows, "symbol": [symbol] * rows, **table})
    return gzip.compress(frame.write_csv().encode(), 6, mtime=0)


def in_day(times: NDArray[np.int64], day: int) -> slice:
    """Return the rows that arrived on a day."""
    low, high = np.searchsorted(times, (day, day + DAY))
    return slice(int(low), int(high))


def prices(ticks: NDArray[Any], instrument: Instrument) -> list[float]:
    """Return prices of ticks as the decimals a file has."""
    return [price_of(int(tick), instrument.tick_size) for tick in ticks]


def amounts(lots: NDArray[Any], instrument: Instrument) -> list[float]:
    """Return amounts of lots as the decimals a file has."""
    return [price_of(int(lot), instrument.lot_size) for lot in lots]


def trades_of(market: Market, day: int) -> Table:
    """Return the columns of a trades file."""
    every, what = market.trades[0], market.instruments[0]
    span = in_day(every["local_ts"], day)
    rows = every[span]
    return {
        "timestamp": rows["raw_ts"] // 1_000, "local_timestamp": rows["local_ts"] // 1_000,
        "id": np.arange(span.start, span.stop) + 1,
        "side": ["buy" if side > 0 else "sell" for side in rows["side"]],
        "price": prices(rows["tick"], what), "amount": amounts(rows["lots"], what),
    }  # fmt: skip


def book_of(book: Book, what: Instrument, day: int) -> Table:
    """Return the columns of an incremental_book_L2 file: it opens with the whole book, as real ones do."""
    span = in_day(book.messages["local_ts"][:-1], day)
    edges = book.messages["first"][span.start : span.stop + 1]
    keys, lots = book.keys[edges[0] : edges[-1]], book.lots[edges[0] : edges[-1]]
    counts = np.diff(edges)
    stamps, arrivals = (np.repeat(book.messages[name][span], counts) for name in ("ts", "local_ts"))
    opening = np.zeros(len(keys), dtype=bool)
    if span.start:  # the state at midnight
        state, full = book.state_before(span.start)
        state, full = state[full > 0], full[full > 0]
        keys, lots = np.concatenate((state, keys)), np.concatenate((full, lots))
        stamps, arrivals = (np.concatenate((np.full(len(state), day), old)) for old in (stamps, arrivals))
        opening = np.concatenate((np.ones(len(state), dtype=bool), opening))
    else:
        opening[: counts[0]] = True
    return {
        "timestamp": stamps // 1_000, "local_timestamp": arrivals // 1_000, "is_snapshot": opening,
        "side": ["ask" if key & 1 else "bid" for key in keys],
        "price": prices(keys >> 1, what), "amount": amounts(np.maximum(lots, 0), what),
    }  # fmt: skip


def ticker_of(market: Market, day: int) -> Table:
    """Return the columns of a derivative_ticker file: mark price, rate and time of the next funding."""
    every = market.mark[0]
    rows = every[in_day(every["ts"], day)]
    rate = float(market.funding[0]["rate"][-1])
    empty = [None] * len(rows)
    return {
        "timestamp": rows["ts"] // 1_000, "local_timestamp": rows["ts"] // 1_000 + LAG,
        "funding_timestamp": (rows["ts"] // (8 * HOUR) + 1) * (8 * HOUR) // 1_000,
        "funding_rate": [rate] * len(rows), "predicted_funding_rate": empty, "open_interest": empty,
        "last_price": empty, "index_price": empty, "mark_price": rows["price"],
    }  # fmt: skip
