"""Trades for bars from tables, markets and csv files, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from framework.data.bars import BarMaker, Bars, Size, Trades, check_empty
from framework.data.parse import EARLIEST
from framework.errors import ConfigError
from framework.instruments import Instrument, price_of
from framework.instruments import instrument as known_instrument
from framework.market import Market
from framework.market_columns import SUFFIX, Columns, frame_kind, shown_time
from framework.records import TRADE

if TYPE_CHECKING:
    import polars as pl

Rows = NDArray[Any]
CHUNK = 1 << 19  # rows of ticks at a time
SIDES = {"buy": 1, "sell": -1, "unknown": 0, "": 0}
EDGE = 100  # a bar whose first or last hundredth the trades miss is whole, as in `Market.as_candles`


def trade_bars(
    trades: Any,
    size: str | int | Size,
    *,
    instrument: Instrument | str | int | None = None,
    unit: str | None = None,
    empty: str = "omit",
    unfinished: bool = True,
    source: str = "trades",
) -> Bars:
    """Return the bars of trades.

    Parameters
    ----------
    trades : frame, iterable of frames, Market, or TRADE array
        Frames (polars, lazy, pandas, dict of arrays) have the columns of Tardis' trades: timestamp, price,
        amount, and where known local_timestamp, side and id. Rows stand in order of arrival; several frames
        follow each other, and only one is held at a time.
    size : str or int
        `"5m"`, `"100ticks"`, `"2.5vol"`, `"1000000dollars"`; see `parse_size`.
    instrument : Instrument, str or int, optional
        Of a Market with several, which one; of a TRADE array, whose ticks and lots it has.
    unit : str, optional
        Unit of whole-number times (s, ms, us, ns); by default us where timestamp and local_timestamp are
        there, as in Tardis' files.
    empty : {"omit", "fill"}
        Bars of time without a trade are left out, or flat: the close before, volume 0.
    unfinished : bool
        Keep a last bar of trades, volume or money that is not full.

    Returns
    -------
    Bars
        `complete` is False for bars of time that the trades cover only in part, and for an unfinished bar.

    Raises
    ------
    DataError
        A column that is not there, a row that cannot be used: source, row (1 = first), column, value, fix.
    ConfigError
        An unknown size or option.
    """
    check_empty(empty)
    maker = BarMaker(size, source)
    for chunk in chunks_of(trades, instrument, unit, source):
        maker.add(chunk)
    made = maker.done(unfinished=unfinished)
    if maker.size.interval:
        span = range_of(trades, instrument) or maker.span()
        made = covered(made, span)
        made = made.filled([span]) if empty == "fill" else made
    elif empty == "fill":
        raise ConfigError(f'empty: bars of {maker.size} are never empty; leave empty="fill" out')
    return made


def covered(bars: Bars, span: tuple[int, int]) -> Bars:
    """Return bars of time, complete where they lie within what the trades cover."""
    slack = (bars.rows["close_ts"] - bars.rows["open_ts"]) // EDGE
    whole = (bars.rows["open_ts"] + slack >= span[0]) & (bars.rows["close_ts"] - slack < span[1])
    return replace(bars, complete=bars.complete & whole)


def range_of(trades: Any, instrument: Any) -> tuple[int, int] | None:
    """Return what a market covers, None for tables."""
    return (trades.start, trades.stop) if isinstance(trades, Market) else None


def chunks_of(trades: Any, instrument: Any, unit: str | None, source: str) -> Iterator[Trades]:
    """Yield the trades of a table, of several, or of a market."""
    if isinstance(trades, Market):
        k = trades.number(instrument)
        rows = trades.trades.get(k)
        if rows is None:
            raise ConfigError(f"{source}: {trades.instruments[k].id} has no trades in this market")
        yield from tick_chunks(rows, trades.instruments[k])
    elif isinstance(trades, np.ndarray) and trades.dtype == TRADE:
        if not isinstance(instrument, Instrument | str):
            raise ConfigError(f"{source}: a TRADE array holds ticks and lots; say instrument= whose")
        what = known_instrument(instrument) if isinstance(instrument, str) else instrument
        yield from tick_chunks(trades, what)
    elif frame_kind(trades) or not isinstance(trades, Iterable):
        yield frame_trades(trades, unit, source)
    else:
        for i, frame in enumerate(trades, start=1):
            yield frame_trades(frame, unit, f"{source}, frame {i}")


def tick_chunks(rows: Rows, what: Instrument) -> Iterator[Trades]:
    """Yield TRADE rows: repeated ids are not there any more."""
    for start in range(0, len(rows), CHUNK):
        yield tick_trades(rows[start : start + CHUNK], what)


def tick_trades(rows: Rows, what: Instrument) -> Trades:
    """Return TRADE or DEAL rows as trades."""
    named = np.zeros(len(rows), np.uint8)
    ids = np.zeros(len(rows), np.int64)
    if "id" in (rows.dtype.names or ()):
        ids = rows["id"] ^ (rows["id2"] * np.int64(0x1E3779B97F4A7C15))
        named = rows["named"].astype(np.uint8)
    return Trades(
        rows["raw_ts"], rows["local_ts"], price_of(rows["tick"], what.tick_size),
        price_of(rows["lots"], what.lot_size), rows["side"], ids, named,
    )  # fmt: skip


def frame_trades(frame: Any, unit: str | None, source: str) -> Trades:
    """Return the rows of a table."""
    columns = Columns(frame, source)
    local = "local_timestamp" if "local_timestamp" in columns.names else None
    ts = stamps(columns, columns.named("timestamp"), unit, local is not None)
    price, amount = (columns.floats(columns.named(name)) for name in ("price", "amount"))
    arrival = stamps(columns, local, unit, True) if local else ts
    if local is None and (back := np.flatnonzero(ts[1:] < ts[:-1])).size:
        row = int(back[0]) + 1
        what = "is before the row above; sort the rows by time, or add their arrival, local_timestamp"
        raise columns.error(row, "timestamp", shown_time(int(ts[row])), what)
    ids, named = id_column(columns)
    return Trades(ts, arrival, price, amount, side_column(columns), ids, named)


def stamps(columns: Columns, name: str, unit: str | None, of_tardis: bool) -> Rows:
    """Return a time column in ns; whole numbers of Tardis' own columns are microseconds."""
    values = columns.cells(name).values
    whole = values.dtype.kind in "iuf" and columns.cells(name).zone == ""
    if unit is None and of_tardis and whole and not SUFFIX.search(name):
        bad = np.flatnonzero(~(values >= EARLIEST))
        if bad.size:
            row = int(bad[0])
            raise columns.error(
                row, name, values[row], "is no time since 2001 in us; say unit= s, ms, us or ns"
            )
        unit = "us"
    return columns.times(name, unit)


def text_column(columns: Columns, name: str) -> pl.Series:
    """Return a column of texts, null where a cell is missing."""
    import polars as pl

    if columns.kind == "polars":
        column: pl.Series = columns.frame.get_column(name).cast(pl.String)
        return column
    cells = columns.cells(name).values.tolist()
    return pl.Series(name, [None if cell is None or cell != cell else str(cell) for cell in cells], pl.String)


def side_column(columns: Columns) -> Rows:
    """Return +1, -1 or 0 of the taker's side; 0 for all where there is no such column."""
    if "side" not in columns.names:
        return np.zeros(len(columns), np.int8)
    if columns.kind == "polars" and (quick := enum_sides(columns.frame.get_column("side"))) is not None:
        return quick
    text = text_column(columns, "side").fill_null("")
    bought, sold = (text == name for name in ("buy", "sell"))
    odd = ~text.is_in(list(SIDES))
    if odd.any():
        row = int(odd.arg_true()[0])
        raise columns.error(row, "side", text[row], "is no side; write buy, sell or unknown")
    side: Rows = bought.to_numpy().astype(np.int8) - sold.to_numpy().astype(np.int8)
    return side


def enum_sides(column: pl.Series) -> Rows | None:
    """Return the sides of the store's own column type without making texts of it; None for another."""
    names = getattr(column.dtype, "categories", None)
    if not isinstance(names, Iterable) or column.null_count():
        return None
    codes = [SIDES.get(name) for name in names]
    return None if None in codes else np.array([*codes, 0], np.int8)[column.to_physical().to_numpy()]


def id_column(columns: Columns) -> tuple[Rows, Rows]:
    """Return numbers that stand for the ids, and 1 where there is one."""
    if "id" not in columns.names:
        return np.zeros(len(columns), np.int64), np.zeros(len(columns), np.uint8)
    is_text = columns.kind == "polars" and not columns.frame.get_column("id").dtype.is_numeric()
    if not is_text and (values := columns.cells("id").values).dtype.kind in "iuf":
        whole = values.dtype.kind != "f"
        ids = values.astype(np.int64) if whole else values.astype(np.float64).view(np.int64)
        return ids, np.isfinite(values).astype(np.uint8)
    text = text_column(columns, "id")
    named = (text.str.len_bytes() > 0).fill_null(False)
    return text.hash(seed=0).to_numpy().view(np.int64), named.to_numpy().astype(np.uint8)
