"""The normalized messages of tardis-machine: one parser for live streams, replays and what was recorded.

Every message is one JSON object with `type`, `exchange` and `localTimestamp`; all but two have `symbol` and
`timestamp`. Times are ISO 8601 UTC with 3 or 6 digits, kept here as ns. A field the exchange did not give is
absent, and NaN (or None) here. A level `{}` only fills a snapshot up to its depth.
Source: https://docs.tardis.dev/api/tardis-machine#normalized-data-types and tardis-machine 18.2.0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import orjson

from framework.data.message_kinds import (
    BookChange,
    BookSnapshot,
    BookTicker,
    Disconnect,
    Levels,
    Liquidation,
    Message,
    Ticker,
    Trade,
    TradeBar,
    Trouble,
)
from framework.data.schema import short
from framework.errors import DataError, near
from framework.times import DAY, MILLISECOND, SECOND

NAN, INFINITY = float("nan"), float("inf")
Fields = Mapping[str, Any]
SIDES = frozenset(("buy", "sell", "unknown"))
WRONG = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
TIME_LENGTHS = (24, 27)  # 2024-03-01T00:00:00.499Z, 2024-03-01T00:00:00.507205Z
MOST_SECONDS = 1 << 12  # of texts remembered
_seconds: dict[str, int] = {}  # the instant (ns) of a text up to its seconds


def parse(text: str) -> Message:
    """Return the message a JSON text is.

    Raises
    ------
    DataError
        It is no normalized message; the text stands in the error, cut where it is long.
    """
    try:
        fields = orjson.loads(text)
        return READERS[fields["type"]](fields)
    except WRONG as error:
        raise DataError(f"message: {_why(text, error)}; it reads {short(text)}") from None


def _why(text: str, error: Exception) -> str:
    """Say in words what is wrong with a message."""
    try:
        fields = orjson.loads(text)
    except (ValueError, TypeError, RecursionError) as wrong:
        return f"is no JSON ({wrong})"
    if not isinstance(fields, dict):
        return f"is no JSON object but {type(fields).__name__}"
    kind = fields.get("type")
    if not isinstance(kind, str) or kind not in READERS:
        return f"has the unknown type {short(repr(kind), 40)}; {near(str(kind), READERS)}"
    if isinstance(error, KeyError):
        return f"is a {kind} without {error.args[0]}"
    return f"is a {kind}, and {short(str(error))}"


def instant(text: str) -> int:
    """Return the ns of an ISO time with 3 or 6 digits and Z."""
    second = _seconds.get(text[:19])
    if second is None:
        second = _second(text[:19])
    length = len(text)
    digits = text[20:-1]
    if length not in TIME_LENGTHS or text[19] != "." or text[-1] != "Z" or not digits.isdigit():
        raise ValueError(f"{text!r} is no time like 2024-03-01T00:00:00.507205Z")
    return second + int(digits) * (1_000_000 if length == 24 else 1_000)


def _second(text: str) -> int:
    """Return the ns of `2024-03-01T00:00:00`, and remember it."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", text, re.ASCII):
        raise ValueError(f"{text!r} is no time like 2024-03-01T00:00:00")
    days = date.fromisoformat(text[:10]).toordinal() - date(1970, 1, 1).toordinal()
    hour, minute, second = int(text[11:13]), int(text[14:16]), int(text[17:19])
    if hour > 23 or minute > 59 or second > 59 or days < 0:
        raise ValueError(f"{text!r} is no time of a day after 1970")
    if len(_seconds) > MOST_SECONDS:
        _seconds.clear()
    value = _seconds[text] = days * DAY + (hour * 3600 + minute * 60 + second) * SECOND
    return value


def _text(fields: Fields, name: str) -> str:
    value = fields[name]
    if type(value) is not str or not value:
        raise ValueError(f"its {name} is {value!r}")
    return value


def _head(m: Fields) -> tuple[str, str, int, int]:
    """Return exchange, symbol, ts and local_ts."""
    exchange, symbol = m["exchange"], m["symbol"]
    if type(exchange) is not str or type(symbol) is not str or not exchange or not symbol:
        raise ValueError(f"its exchange and symbol are {exchange!r} and {symbol!r}")
    return exchange, symbol, instant(m["timestamp"]), instant(m["localTimestamp"])


def _number(m: Fields, name: str) -> float:
    """Return a finite number."""
    value = m[name]
    if (type(value) is float or type(value) is int) and -INFINITY < value < INFINITY:
        return float(value)
    raise ValueError(f"its {name} is {value!r}")


def _maybe(m: Fields, name: str) -> float:
    """Return a finite number, NaN for one that is absent or null."""
    return NAN if m.get(name) is None else _number(m, name)


def _price(m: Fields) -> float:
    value = m["price"]
    if (type(value) is float or type(value) is int) and 0.0 < value < INFINITY:
        return float(value)
    raise ValueError(f"its price is {value!r}")


def _amount(m: Fields) -> float:
    value = m["amount"]
    if (type(value) is float or type(value) is int) and 0.0 <= value < INFINITY:
        return float(value)
    raise ValueError(f"its amount is {value!r}")


def _whole(m: Fields, name: str) -> int:
    value = m[name]
    if type(value) is not int or value < 0:
        raise ValueError(f"its {name} is {value!r}")
    return value


def _deal(m: Fields) -> tuple[Any, ...]:
    side, id = m["side"], m.get("id")
    if side not in SIDES:
        raise ValueError(f"its side is {side!r}")
    if id is not None and type(id) is not str:
        raise ValueError(f"its id is {id!r}")
    return (*_head(m), id or None, side, _price(m), _amount(m))


def _levels(levels: Any) -> Levels:
    """Return (price, amount) of levels; `{}` may only fill up the end."""
    if type(levels) is not list:
        raise ValueError(f"its levels are {levels!r}")
    found = tuple((_price(level), _amount(level)) for level in levels if level)
    if len(found) < len(levels) and any(levels[len(found) :]):
        raise ValueError("it has an empty level before a full one")
    return found


def _changes(levels: Any) -> Levels:
    """Return (price, amount) of changes, none empty."""
    found = _levels(levels)
    if len(found) < len(levels):
        raise ValueError("it has a level without price")
    return found


def _trade(m: Fields) -> Trade:
    return Trade(*_deal(m))


def _liquidation(m: Fields) -> Liquidation:
    return Liquidation(*_deal(m))


def _book_change(m: Fields) -> BookChange:
    flag = m["isSnapshot"]
    if type(flag) is not bool:
        raise ValueError(f"its isSnapshot is {flag!r}")
    return BookChange(*_head(m), flag, _changes(m["bids"]), _changes(m["asks"]))


def _book_snapshot(m: Fields) -> BookSnapshot:
    depth, interval = _whole(m, "depth"), _whole(m, "interval")
    return BookSnapshot(
        *_head(m), _text(m, "name"), depth, interval * MILLISECOND, _maybe(m, "grouping"),
        _levels(m["bids"]), _levels(m["asks"]),
    )  # fmt: skip


def _book_ticker(m: Fields) -> BookTicker:
    return BookTicker(*_head(m), *(_maybe(m, n) for n in ("askAmount", "askPrice", "bidPrice", "bidAmount")))


TICKER_FIELDS = (
    "fundingRate", "predictedFundingRate", "openInterest", "lastPrice", "indexPrice", "markPrice",
)  # fmt: skip
BAR_FIELDS = ("interval", "open", "high", "low", "close", "volume", "buyVolume", "sellVolume")


def _ticker(m: Fields) -> Ticker:
    funding = m.get("fundingTimestamp")
    return Ticker(
        *_head(m), None if funding is None else instant(funding), *(_maybe(m, n) for n in TICKER_FIELDS)
    )


def _trade_bar(m: Fields) -> TradeBar:
    values: list[Any] = [*_head(m), _text(m, "name"), _text(m, "kind")]
    values += [_number(m, name) for name in BAR_FIELDS]
    values += [_whole(m, "trades"), _number(m, "vwap")]
    values += [instant(m["openTimestamp"]), instant(m["closeTimestamp"])]
    return TradeBar(*values)


def _disconnect(m: Fields) -> Disconnect:
    symbols = tuple(str(s) for s in m.get("symbols") or ())
    reason = _text(m, "reason") if "reason" in m else "exchange"  # `reason` stands in what we record
    return Disconnect(_text(m, "exchange"), instant(m["localTimestamp"]), symbols, reason)


def _trouble(m: Fields) -> Trouble:
    details = str(m.get("details", ""))
    return Trouble(
        _text(m, "exchange"), instant(m["localTimestamp"]), details, _whole(m, "subSequentErrorsCount")
    )


READERS: dict[str, Callable[[Fields], Message]] = {
    "trade": _trade, "book_change": _book_change, "book_snapshot": _book_snapshot, "trade_bar": _trade_bar,
    "derivative_ticker": _ticker, "liquidation": _liquidation, "book_ticker": _book_ticker,
    "disconnect": _disconnect, "error": _trouble,
}  # fmt: skip
