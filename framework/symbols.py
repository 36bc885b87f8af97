"""Venue ids, how each venue writes a symbol, and the dated trading rules of the common instruments.

Venue ids are those of Tardis (`okex`, never `okx`): https://docs.tardis.dev. Trading rules are the venues'
own answers (`exchangeInfo`, `instruments`, `get_instruments`) on the day named; fees are the regular (lowest)
tier of the public fee pages.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from framework.errors import ConfigError, near


class Form(NamedTuple):
    """How one venue writes its symbols: the kind of its contracts and its way to write a pair."""

    kind: str  # spot, linear, inverse, or mixed (by symbol)
    pattern: str  # {b} base, {q} quote; "" = no single way
    quotes: tuple[str, ...] = ()  # quotes the pattern is for; () = any


class Row(NamedTuple):
    """Trading rules of one instrument from `since` (UTC date) on; units as in `Instrument`."""

    since: str
    tick: float
    lot: float
    min_notional: float
    multiplier: float = 1.0


FORMS: dict[str, tuple[Form, ...]] = {
    "binance": (Form("spot", "{b}{q}"),),
    "binance-us": (Form("spot", "{b}{q}"),),
    "binance-futures": (Form("linear", "{b}{q}", ("USDT", "USDC", "BUSD")),),
    "binance-delivery": (Form("inverse", "{b}{q}_PERP", ("USD",)),),
    "bybit": (
        Form("linear", "{b}{q}", ("USDT",)),
        Form("linear", "{b}PERP", ("USDC",)),
        Form("inverse", "{b}{q}", ("USD",)),
    ),
    "bybit-spot": (Form("spot", "{b}{q}"),),
    "okex": (Form("spot", "{b}-{q}"),),
    "okex-swap": (
        Form("linear", "{b}-{q}-SWAP", ("USDT", "USDC")),
        Form("inverse", "{b}-{q}-SWAP", ("USD",)),
    ),
    "okex-futures": (Form("mixed", ""),),
    "deribit": (
        Form("inverse", "{b}-PERPETUAL", ("USD",)),
        Form("linear", "{b}_{q}-PERPETUAL", ("USDC", "USDT")),
        Form("spot", "{b}_{q}", ("USDC", "USDT")),
    ),
    "bitmex": (Form("inverse", "{b}{q}", ("USD",)), Form("linear", "{b}{q}", ("USDT",))),
    "bitstamp": (Form("spot", "{b}{q}"),),
    "coinbase": (Form("spot", "{b}-{q}"),),
    "kraken": (Form("spot", "{b}/{q}"),),
    "bitfinex": (Form("spot", "{b}{q}"),),
    "gemini": (Form("spot", "{b}{q}"),),
    "kucoin": (Form("spot", "{b}-{q}"),),
    "gate-io": (Form("spot", "{b}_{q}"),),
    "gate-io-futures": (Form("linear", "{b}_{q}", ("USDT",)), Form("inverse", "{b}_{q}", ("USD",))),
    "huobi": (Form("spot", "{b}{q}"),),
    "huobi-dm-swap": (Form("inverse", "{b}-{q}", ("USD",)),),
    "huobi-dm-linear-swap": (Form("linear", "{b}-{q}", ("USDT",)),),
    "synthetic": (Form("linear", "{b}{q}-PERP"),),
}

# base coins some venues call by another name
RENAMED = {"bitmex": {"BTC": "XBT"}, "kraken": {"BTC": "XBT"}}

# quotes in the order in which a joined symbol (BTCUSDT) is tried. Only Binance quotes BUSD and TUSD, and it
# does not quote USD: so BNBUSD is a pair in USD elsewhere, and BTCBUSD is BTC in BUSD there
COINS = ("BTC", "ETH", "BNB")
COMMON = ("FDUSD", "USDT", "USDC", "EUR", "GBP", "JPY", "TRY", "KRW", "BRL", "AUD", "DAI", *COINS)
JOINED = {"binance": ("BUSD", "TUSD", *COMMON), "binance-futures": ("BUSD", *COMMON)}
QUOTES = ("USD", "BUSD", "TUSD", *COMMON)

# maker and taker of the regular tier, as fractions. Read 2026-11: public fee comparisons of the venues' pages
# agree on Binance, Bybit and OKX (spot and USDT perpetuals); Deribit from its own get_instruments; BitMEX
# from Tardis' instrument metadata (since 2024-10-22). A venue that is not here has no known fee and gets the
# framework's default.
FEES: dict[str, tuple[float, float]] = {
    "binance": (0.001, 0.001),
    "binance-futures": (0.0002, 0.0005),
    "bybit": (0.0002, 0.00055),
    "bybit-spot": (0.001, 0.001),
    "okex": (0.0008, 0.001),
    "okex-swap": (0.0002, 0.0005),
    "deribit": (0.0, 0.0005),
    "bitmex": (0.0005, 0.0005),
    "synthetic": (0.0002, 0.0005),
}

# Sources: binance 2021-10-12 and binance-futures 2021-07-22: the venues' exchangeInfo as kept by cryptofeed's
# sample data; binance-futures 2024: exchangeInfo as quoted in public clients (tick 0.1, minimum notional
# 100), 2023: the tick of its own candles, which carry one decimal from 2023-01-01 on; okex:
# /api/v5/public/instruments of 2022-05-13; bybit: /v5/market/instruments-info in nautilus_trader's test data
# (lots, minimum) and the tick of its candles of 2025-06; deribit: get_instruments of 2021-07-22; bitmex:
# Tardis' instrument metadata with its `changes`.
RULES: dict[str, tuple[Row, ...]] = {
    "binance:BTCUSDT": (Row("2021-10-12", 0.01, 1e-5, 10.0),),
    "binance:ETHUSDT": (Row("2021-10-12", 0.01, 1e-4, 10.0),),
    "binance:SOLUSDT": (Row("2021-10-12", 0.01, 0.01, 10.0),),
    "binance:LTCUSDT": (Row("2021-10-12", 0.1, 1e-3, 10.0),),
    "binance:ETHBTC": (Row("2021-10-12", 1e-6, 1e-4, 1e-4),),
    "binance-futures:BTCUSDT": (
        Row("2021-07-22", 0.01, 1e-3, 5.0),
        Row("2023-01-01", 0.1, 1e-3, 5.0),
        Row("2024-01-01", 0.1, 1e-3, 100.0),
    ),
    "binance-futures:ETHUSDT": (Row("2021-07-22", 0.01, 1e-3, 5.0), Row("2024-01-01", 0.01, 1e-3, 20.0)),
    "binance-futures:LTCUSDT": (Row("2021-07-22", 0.01, 1e-3, 5.0),),
    "okex:BTC-USDT": (Row("2022-05-13", 0.1, 1e-8, 0.0),),
    "okex:ETH-USDT": (Row("2022-05-13", 0.01, 1e-6, 0.0),),
    "okex-swap:BTC-USDT-SWAP": (Row("2022-05-13", 0.1, 1.0, 0.0, 0.01),),
    "okex-swap:ETH-USDT-SWAP": (Row("2022-05-13", 0.01, 1.0, 0.0, 0.1),),
    "okex-swap:BTC-USD-SWAP": (Row("2022-05-13", 0.1, 1.0, 0.0, 100.0),),
    "okex-swap:ETH-USD-SWAP": (Row("2022-05-13", 0.01, 1.0, 0.0, 10.0),),
    "bybit:BTCUSDT": (Row("2025-06-22", 0.1, 1e-3, 5.0),),
    "bybit:BTCUSD": (Row("2023-04-05", 0.5, 1.0, 0.0),),
    "deribit:BTC-PERPETUAL": (Row("2021-07-22", 0.5, 10.0, 0.0),),
    "deribit:ETH-PERPETUAL": (Row("2021-07-22", 0.05, 1.0, 0.0),),
    "bitmex:XBTUSD": (Row("2021-06-08", 0.5, 100.0, 0.0), Row("2024-07-31", 0.1, 100.0, 0.0)),
    "synthetic:BTCUSDT-PERP": (Row("2024-01-01", 0.1, 1e-3, 5.0),),
}

TAIL = re.compile(r"[-_](?:PERPETUAL|PERP|SWAP|\d{6}|\d{8}|\d{1,2}[A-Z]{3}\d{2}(?:-.*)?)$")


def venue_names() -> tuple[str, ...]:
    """Return the venue ids whose way of writing symbols is known."""
    return tuple(FORMS)


def split_pair(symbol: str, venue: str = "") -> tuple[str, str] | None:
    """Return (base, quote) of `BTC-USDT`, `btc/usdt`, `BTC/USDT:USDT`, `BTC_USDT` or `BTCUSDT`, else None."""
    text = symbol.upper().split(":")[0]
    parts = re.split(r"[-/_]", text)
    if len(parts) == 2 and parts[1] in QUOTES and parts[0].isalnum():
        return parts[0], parts[1]
    if len(parts) != 1 or not text.isalnum():
        return None
    for quote in JOINED.get(venue, ("USD", *COMMON)):
        if text.endswith(quote) and len(text) > len(quote) + 1:
            return text[: -len(quote)], quote
    return None


def split_symbol(venue: str, symbol: str) -> tuple[str, str] | None:
    """Return (base, quote) of a venue's raw symbol where they can be read off it, else None."""
    text = symbol.upper()
    if venue == "bybit" and text.endswith("PERP") and "-" not in text:
        return text[:-4], "USDC"
    body = TAIL.sub("", text)
    pair = split_pair(body, venue)
    if pair is None and body.isalnum() and body != text:
        pair = (body, "USD")  # deribit's BTC-PERPETUAL, BTC-27DEC24
    if pair is None:
        return None
    native = {new: old for old, new in RENAMED.get(venue, {}).items()}
    return native.get(pair[0], pair[0]), pair[1]


def kind_of(venue: str, symbol: str) -> str:
    """Return the contract kind of a raw symbol; spot where nothing is known."""
    forms = FORMS.get(venue, ())
    kinds = {form.kind for form in forms}
    if len(kinds) == 1 and "mixed" not in kinds:
        return forms[0].kind
    pair = split_symbol(venue, symbol)
    if pair is None or not forms:
        return "spot"
    if venue == "deribit" and TAIL.search(symbol.upper()) is None:
        return "spot"
    return "inverse" if pair[1] == "USD" else "linear"


def candidates(base: str, quote: str, venue: str) -> list[str]:
    """Return every raw symbol a venue may mean by a pair."""
    name = RENAMED.get(venue, {}).get(base, base)
    return [
        f.pattern.format(b=name, q=quote)
        for f in FORMS[venue]
        if f.pattern and (not f.quotes or quote in f.quotes)
    ]


def resolve(symbol: str, venue: str | None = None) -> str:
    """Return the instrument id `<venue>:<raw symbol>` that a symbol in any usual spelling stands for.

    Parameters
    ----------
    symbol : str
        `BTC-USDT`, `BTC/USDT`, `btcusdt`, a venue's raw symbol (`BTC-USDT-SWAP`), or a whole id.
    venue : str, optional
        Tardis venue id; needed unless `symbol` is a whole id.

    Raises
    ------
    ConfigError
        Unknown venue (near names), a symbol the venue does not write, or more than one possible instrument
        (the choices).
    """
    if venue is None:
        return resolve_alone(symbol)
    if venue not in FORMS:
        families = [name for name in FORMS if venue == "okx" and name.startswith("okex")]
        hint = f"Tardis calls it {', '.join(families)}: choose one" if families else near(venue, FORMS)
        raise ConfigError(f"venue: unknown {venue!r}; {hint}")
    head, colon, tail = symbol.partition(":")
    if colon and head == venue:
        symbol = tail
    raw = symbol.upper()
    if not re.fullmatch(r"[A-Z0-9][A-Z0-9\-_/.:]*", raw):
        raise ConfigError(f"symbol: {symbol!r} is no symbol; write it like BTC-USDT")
    if TAIL.search(raw) or f"{venue}:{raw}" in RULES:
        return f"{venue}:{raw}"
    return f"{venue}:{only_candidate(raw, venue)}"


def only_candidate(raw: str, venue: str) -> str:
    """Return the one raw symbol a pair stands for at a venue; refuse none and many with the choices."""
    pair = split_symbol(venue, raw)
    if pair is None:
        return raw
    if raw in (names := candidates(*pair, venue)) and re.search(r"[-_/]", raw) is not None and "-" not in raw:
        return raw  # written as the venue writes it, such as deribit's spot BTC_USDC
    if len(names) == 1:
        return names[0]
    if names:
        choices = ", ".join(f"{venue}:{name}" for name in names)
        raise ConfigError(f"symbol: {raw!r} at {venue} may be {choices}; give one of these ids")
    known = [f"{pair[0]}-{q}" for form in FORMS[venue] for q in form.quotes]
    dated = f"{raw}-YYMMDD with the expiry" if not known else " or ".join(known)
    raise ConfigError(
        f"symbol: {venue} does not write {raw!r}; give {dated}, or the raw symbol in an Instrument"
    )


def resolve_alone(symbol: str) -> str:
    """Return a whole id unchanged but for its case; a symbol without a venue is refused with choices."""
    venue, colon, raw = symbol.partition(":")
    if colon and "/" not in venue:
        if not raw or not venue:
            raise ConfigError(f"instrument: {symbol!r} is no id; write it like binance-futures:BTCUSDT")
        return symbol
    pair = split_pair(symbol)
    if pair is None:
        raise ConfigError(f"symbol: {symbol!r} needs its venue; write it like binance-futures:BTCUSDT")
    found = [
        f"{v}:{name}"
        for v in ("binance", "binance-futures", "bybit", "okex-swap")
        for name in candidates(*pair, v)
    ]
    raise ConfigError(f"symbol: {symbol!r} needs its venue: {', '.join(found)}, ...; give one of these ids")
