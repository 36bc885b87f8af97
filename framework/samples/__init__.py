"""Bundled samples: real candles that may be shipped (NOTICE.md), SYNTHETIC candles and SYNTHETIC ticks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from framework.data.candle_files import add_files, load_candles
from framework.data.synthetic import perp
from framework.errors import ConfigError, FrameworkError, near
from framework.market import Market

__all__ = ["load", "market_from_option", "names"]


class Sample(NamedTuple):
    """Bundled files of one sample: (file, instrument id) pairs, stamped by the bars' open."""

    interval: str
    files: tuple[tuple[str, str], ...]


HERE = Path(__file__).parent
SYNTHETIC = ("perp-1m", "ticks", "ticks-hedge")
FILES = {
    "btcusd-1h": Sample("1h", (("coinbase_BTCUSD_1h_2017-07_2019-10.csv.gz", "coinbase:BTC-USD"),)),
    "majors-1d": Sample(
        "1d",
        tuple(
            (f"bitstamp_{coin}USD_1d_2014-2020.csv.gz", f"bitstamp:{coin}USD")
            for coin in ("BTC", "ETH", "LTC")
        ),
    ),
}


def names() -> tuple[str, ...]:
    """Return the names of the bundled samples."""
    return (*FILES, *SYNTHETIC)


@lru_cache(maxsize=8)
def load(name: str) -> Market:
    """Return a bundled sample as a Market; every call gives the same immutable object.

    Parameters
    ----------
    name : str
        `btcusd-1h` (Coinbase BTC-USD), `majors-1d` (Bitstamp BTC, ETH, LTC), or SYNTHETIC: `perp-1m`
        (candles of a perpetual), `ticks` (its trades and order book), `ticks-hedge` (and those of its spot).

    Raises
    ------
    ConfigError
        Unknown name, with near names.
    """
    if name in SYNTHETIC:
        return made(name)
    if name not in FILES:
        raise ConfigError(f"sample: unknown {name!r}; {near(name, names())}")
    interval, files = FILES[name]
    return Market.join(*(load_candles(HERE / file, id, interval, "open", name=name) for file, id in files))


def made(name: str) -> Market:
    """Return a SYNTHETIC sample; the generator of ticks is compiled only where they are asked for."""
    if name == "perp-1m":
        return perp()
    from framework.data.synthetic_ticks import ticks, ticks_hedge

    return ticks() if name == "ticks" else ticks_hedge()


def market_from_option(
    text: str,
    instrument: str | None = None,
    interval: str | None = None,
    stamp: str | None = None,
    unit: str | None = None,
    funding: str | None = None,
    mark: str | None = None,
    time: str | None = None,
) -> Market:
    """Return the market the command's `--market` names.

    Parameters
    ----------
    text : str
        `sample:NAME` (no other option applies), `candles:PATH` (instrument, interval and stamp are needed),
        `tardis:FOLDER` or `tardis:FILE,FILE` (tick files; their names say the instrument).
    instrument, interval, stamp, unit, time : str, optional
        As of `Market.from_candles`.
    funding, mark : str, optional
        Files of funding rates and mark prices.

    Raises
    ------
    ConfigError
        Unknown form, a missing option, or an option a sample does not take.
    """
    kind, _, rest = text.partition(":")
    options = {
        "instrument": instrument, "interval": interval, "stamp": stamp, "unit": unit, "time": time,
        "funding": funding, "mark": mark,
    }  # fmt: skip
    if kind == "sample" and rest:
        given = [name for name, value in options.items() if value is not None]
        if given:
            raise ConfigError(
                f"--{given[0]}: a sample has its own; leave it out, or use --market candles:PATH"
            )
        return load(rest)
    if kind == "tardis" and rest:
        return tick_files(rest, options)
    if kind != "candles" or not rest:
        raise ConfigError(
            f"--market: {text!r} is neither sample:NAME ({', '.join(names())}) nor candles:PATH nor "
            "tardis:FOLDER nor store:VENUE:SYMBOL"
        )
    if instrument is None:
        raise ConfigError("--instrument: say what the candles are of, like binance-futures:BTCUSDT")
    with said_as(as_options):
        market = load_candles(rest, instrument, interval, stamp, unit, time)
    with said_as(as_columns):
        return add_files(market, funding, mark)


def tick_files(paths: str, options: dict[str, str | None]) -> Market:
    """Return the market of a folder of tick files, or of several files with commas between them."""
    for name in ("interval", "stamp", "unit", "time"):
        if options[name] is not None:
            raise ConfigError(f"--{name}: is for candles; tick files carry their own times, leave it out")
    from framework.data import from_tardis

    files: str | list[str] = paths.split(",") if "," in paths and not Path(paths).exists() else paths
    market = from_tardis(files, options["instrument"])
    with said_as(as_columns):
        return add_files(market, options["funding"], options["mark"])


@contextmanager
def said_as(words: Callable[[str], str]) -> Iterator[None]:
    """Say an error in the command's words: it speaks of keywords, and the command has options."""
    try:
        yield
    except FrameworkError as error:
        raise type(error)(words(str(error))) from None


def as_options(text: str) -> str:
    """Write `stamp="open"` and `stamp: ...` as the options `--stamp open` and `--stamp: ...`."""
    text = re.sub(r"^(stamp|interval|unit): ", r"--\1: ", text)
    text = re.sub(r"\b(stamp|interval|time|unit)=(['\"])([^'\"]*)\2", r"--\1 \3", text)
    return re.sub(r"(?<![\w-])(stamp|interval|time|unit)=", r"--\1", text)


def as_columns(text: str) -> str:
    """Funding and mark files have no options: a column is found by its name, a unit by the name's end."""
    text = re.sub(r"say (time|rate|price)= one of (.*)", r"rename the right one to \1 (there are \2)", text)
    return text.replace("say unit= s, ms, us or ns", "end its name in the unit: _s, _ms, _us or _ns")
