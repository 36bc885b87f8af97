"""`load`: a range of stored days as a Market, in memory or streamed day by day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.data.loading_market import Side, in_memory
from framework.data.loading_stock import SIDES, Asked, Stock
from framework.data.loading_tapes import streamed
from framework.data.pack import Damaged
from framework.data.schema import KINDS
from framework.errors import ConfigError, near
from framework.instruments import Instrument
from framework.market import GAPS, Market
from framework.symbols import FORMS, resolve
from framework.times import format_time, parse_interval, parse_time

if TYPE_CHECKING:
    from framework.data.store import Store

IN_MEMORY = 20_000_000  # rows of books and trades; a longer market is streamed
STREAMS = (*KINDS, "book", *SIDES, "bars:1m")


def load(
    venue: str,
    symbol: str | Iterable[str],
    start: Any,
    stop: Any,
    streams: str | Iterable[str] | None = None,
    *,
    store: Store | str | Any = None,
    stream: bool | None = None,
    instrument: Instrument | str | Iterable[Instrument | str] | None = None,
    gaps: str = "report",
) -> Market:
    """Return the market of stored days, [start, stop) by arrival.

    Parameters
    ----------
    venue : str
        Tardis' exchange id, such as `binance-futures`.
    symbol : str or list of str
        In any usual spelling; of several the market has one instrument each.
    start, stop : date, str, datetime or ns
        Dates are UTC midnights; one day is `"2024-08-01", "2024-08-02"`.
    streams : str or list of str, optional
        Kinds (`trades`, `incremental_book_L2`, `book_snapshot_25`, `book_snapshot_5`, `quotes`,
        `book_ticker`, `derivative_ticker`, `liquidations`), `book` (the best kind stored), `funding`, `mark`,
        or `bars:INTERVAL` (candles built of the stored trades). Default: trades, the best book and
        derivative_ticker, as far as they are stored.
    store : Store, str or Path, optional
        Default SHEEPFOLD_STORE, else the user's own data folder.
    stream : bool, optional
        True: rows come into memory while a run needs them, however long the range is; False: all are loaded.
        Default: streamed above 20 million rows of books and trades. The results are the same.
    instrument : Instrument or str, optional
        Rules to use in place of the built-in ones (one for each symbol, in order); None as a grid: read from
        the data.
    gaps : {"report", "refuse"}
        Days that are not in the store are told in `remarks`, or refused.

    Raises
    ------
    DataError
        Nothing is stored, days are missing (with `gaps="refuse"`), a day the doctor refused, damaged files.
    ConfigError
        An argument that is wrong.

    Examples
    --------
    >>> market = load("binance-futures", "BTCUSDT", "2024-08-01", "2024-08-03")  # doctest: +SKIP
    """
    from framework.data.store import Store

    shelf = store if isinstance(store, Store) else Store(store)
    asked = asked_for(start, stop, streams, gaps)
    named = named_ones(venue, symbol, instrument)
    stocks = [Stock(shelf, venue, one, rules, asked) for one, rules in named]
    mended: set[Path] = set()
    while True:
        try:
            return market_of(stocks, asked, stream)
        except Damaged as damage:
            if damage.path in mended:
                raise
            mended.add(damage.path)
            mend(stocks, damage)


def mend(stocks: Sequence[Stock], damage: Damaged) -> None:
    """Make the pack that is damaged anew from its raw rows."""
    for stock in stocks:
        part = stock.part_of(damage.path)
        if part is not None:
            stock.mend(part, damage.what)


def market_of(stocks: Sequence[Stock], asked: Asked, stream: bool | None) -> Market:
    """Return the market of all instruments."""
    sides = [Side(stock) for stock in stocks]
    bases = [side.base() for side in sides]
    base = bases[0] if len(bases) == 1 else Market.join(*bases)
    if stream is None:
        stream = sum(side.rows for side in sides) > IN_MEMORY
    return streamed(base, sides, asked) if stream else in_memory(base, sides, asked)


def asked_for(start: Any, stop: Any, streams: Any, gaps: str) -> Asked:
    """Return what is asked for; refuse what cannot be."""
    if gaps not in GAPS:
        raise ConfigError(f"gaps: unknown {gaps!r}; {near(str(gaps), GAPS)}")
    first, last = parse_time(start), parse_time(stop)
    if first >= last:
        raise ConfigError(
            f"stop: {format_time(last)} is not after start {format_time(first)}; stop is exclusive, so one "
            "day is start and the day after it"
        )
    if streams is None:
        return Asked(first, last, gaps, None)
    names = [streams] if isinstance(streams, str) else list(streams)
    if not names:
        raise ConfigError(f"streams: there is none; choose from {', '.join(STREAMS)}")
    for name in names:
        if str(name).startswith("bars:"):
            parse_interval(str(name).partition(":")[2])
        elif name not in STREAMS:
            raise ConfigError(f"streams: unknown {name!r}; {near(str(name), STREAMS)}")
    return Asked(first, last, gaps, tuple(dict.fromkeys(map(str, names))))


def named_ones(venue: str, symbol: Any, instrument: Any) -> list[tuple[str, Instrument | str | None]]:
    """Return each symbol as Tardis writes it with the rules that are given for it."""
    symbols = [symbol] if isinstance(symbol, str) else list(symbol)
    if not symbols or not all(isinstance(one, str) and one.strip() for one in symbols):
        raise ConfigError(f"symbol: {symbol!r} is no symbol; give one such as BTCUSDT, or a list")
    rules = [instrument] if isinstance(instrument, Instrument | str) or instrument is None else [*instrument]
    if len(rules) != len(symbols) and instrument is not None:
        raise ConfigError(f"instrument: {len(rules)} for {len(symbols)} symbols; give one for each, in order")
    names = [stored_name(venue, one) for one in symbols]
    if len(set(names)) < len(names):
        raise ConfigError(f"symbol: {', '.join(names)}: one is given twice; give each once")
    return list(zip(names, rules if instrument is not None else [None] * len(names), strict=True))


def stored_name(venue: str, symbol: str) -> str:
    """Return a symbol as csv files have it: upper case, resolved where the venue's spelling is known."""
    id = resolve(symbol, venue) if venue in FORMS else f"{venue}:{symbol.strip()}"
    return id.partition(":")[2].upper()
