"""What a command asks for, as plain values that a manifest keeps and `rerun` reads back."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.errors import ConfigError, FrameworkError, ResultError, near

if TYPE_CHECKING:
    from framework.market import Market
    from framework.options import Costs, Fills, Latency
    from framework.strategy import Analyst, Strategy

LONGEST_PATH = 3_900  # bytes: room is left for the files of a folder
PATHS = ("funding", "mark", "cassette", "store")


@dataclass(frozen=True)
class Job:
    """The options of one `sheepfold backtest`; None = not given. Texts are as they were typed."""

    strategy: str
    params: tuple[str, ...] = ()
    cash: float = 10_000.0
    maker: float | None = None
    taker: float | None = None
    slippage: float | None = None
    latency: str | None = None
    fills: str | None = None
    leverage: float = 1.0
    margin: str = "cross"
    seed: int = 0
    strict: bool = False
    market: str | None = None
    instrument: str | None = None
    interval: str | None = None
    stamp: str | None = None
    unit: str | None = None
    time: str | None = None
    funding: str | None = None
    mark: str | None = None
    start: str | None = None
    stop: str | None = None
    streams: str | None = None
    store: str | None = None
    model: str | None = None
    record: bool = False
    refresh: bool = False
    cassette: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Job:
        """Take what belongs to a job out of a command's arguments."""
        chosen = {one.name: given[one.name] for one in fields(cls) if given.get(one.name) is not None}
        for name, value in chosen.items():
            if isinstance(value, str):
                typed = {"start": "--from", "stop": "--to", "strategy": "FILE"}
                check_text(typed.get(name, f"--{name}"), value)
        return cls(**{**chosen, "params": tuple(chosen.get("params", ()))})

    def words(self) -> dict[str, Any]:
        """Return the job for a manifest: paths relative to the current folder, secrets never part of it."""
        found = asdict(self)
        found["strategy"] = relative(self.strategy)
        for name in PATHS:
            if found[name] is not None:
                found[name] = relative(found[name])
        kind, colon, rest = (self.market or "").partition(":")
        if kind in ("candles", "tardis"):
            parts = rest.split(",") if kind == "tardis" else [rest]
            found["market"] = kind + colon + ",".join(relative(part) for part in parts)
        return {**found, "params": list(self.params)}

    @classmethod
    def from_words(cls, found: Any, where: str) -> Job:
        """Read a job back from a manifest; ResultError where it was not made by the command."""
        if not isinstance(found, dict) or "strategy" not in found:
            raise ConfigError(
                f"{where}: was saved by a program, not by `sheepfold backtest`; "
                "run that program again and use Result.diff"
            )
        known = {one.name for one in fields(cls)}
        if unknown := sorted(set(found) - known):
            raise ResultError(
                f"{where}: was made with option '{unknown[0]}', which this version does not have"
            )
        return cls.of(found)

    def options(self) -> dict[str, Any]:
        """Return the keyword arguments of `backtest` but for market and analyst; checked."""
        from framework.options import engine_options

        costs, latency, fills = self.costs(), latency_of(self.latency), fills_of(self.fills)
        engine_options(
            costs, latency, fills, self.leverage, self.margin, None, self.strict
        )  # refuses what is out of range
        return {
            "cash": self.cash, "costs": costs, "latency": latency, "fills": fills, "leverage": self.leverage,
            "margin": self.margin, "seed": self.seed, "strict": self.strict,
        }  # fmt: skip

    def costs(self) -> Costs:
        """Return the costs."""
        from framework.options import Costs

        given = {"maker": self.maker, "taker": self.taker, "slippage": self.slippage}
        return Costs(**{name: value for name, value in given.items() if value is not None})

    def parameters(self) -> dict[str, str]:
        """Return `-p name=value` pairs; texts, which the strategy reads by the declared type."""
        return pairs(self.params, "-p")

    def replayed(self, cls: type[Strategy] | None = None) -> Market:
        """Return the market: what --market names, else the sample of the class, cut to --from and --to."""
        from framework.samples import market_from_option

        if (self.market or "").startswith("store:"):
            return self.stored()
        if given := [name for name in ("streams", "store") if getattr(self, name) is not None]:
            raise ConfigError(f"--{given[0]}: is for --market store:VENUE:SYMBOL; leave it out")
        market = market_from_option(
            self.market or f"sample:{cls.sample if cls else ''}", self.instrument, self.interval, self.stamp,
            self.unit, self.funding, self.mark, self.time,
        )  # fmt: skip
        if self.start is None and self.stop is None:
            return market
        return market.slice(moment("--from", self.start), moment("--to", self.stop))

    def stored(self) -> Market:
        """Return the market of stored days: `store:VENUE:SYMBOL`, several with commas between them."""
        from framework.data.loading import load
        from framework.market import Market

        venues = stored_ids(self.market or "")
        for name in ("interval", "stamp", "unit", "time", "funding", "mark"):
            if getattr(self, name) is not None:
                raise ConfigError(f"--{name}: stored days have their own; leave it out, or see --streams")
        if self.start is None or self.stop is None:
            raise ConfigError(
                f"{'--from' if self.start is None else '--to'}: say which days of the store, such as "
                "--from 2024-08-01 --to 2024-08-03 (the last one is not included)"
            )
        if self.instrument is not None and sum(map(len, venues.values())) > 1:
            raise ConfigError("--instrument: is for one symbol; leave it out")
        streams = self.streams.split(",") if self.streams is not None else None
        start, stop = moment("--from", self.start), moment("--to", self.stop)
        try:
            parts = [
                load(venue, symbols, start, stop, streams, store=self.store, instrument=self.instrument)
                for venue, symbols in venues.items()
            ]
        except ConfigError as error:
            words = str(error)
            raise ConfigError(f"--{words}" if words.startswith("streams:") else words) from None
        return parts[0] if len(parts) == 1 else Market.join(*parts)

    def analyst(self, cls: type[Strategy]) -> Analyst | None:
        """Return who answers; None = `Rules`. A key alone never spends: only --record and --refresh do."""
        chosen = [f"--{name}" for name in ("model", "record", "refresh", "cassette") if getattr(self, name)]
        if not chosen:
            return None
        if not callable(getattr(cls, "ask", None)):
            raise ConfigError(f"{chosen[0]}: {cls.__name__} asks nothing (it has no `ask`); leave it out")
        if self.cassette is not None:
            if self.record or self.refresh:
                raise ConfigError(
                    "--cassette: answers are read from it; leave it out to ask with --record or --refresh"
                )
            from framework.llm.replay import CassetteAnalyst

            return CassetteAnalyst(self.cassette, model=self.model)
        from framework.llm.client import HolySheep

        asked: dict[str, Any] = {"model": self.model} if self.model else {}
        mode = "refresh" if self.refresh else "record" if self.record else "replay"
        return HolySheep(**asked, mode=mode)


def stored_ids(market: str) -> dict[str, list[str]]:
    """Return the symbols of each exchange that `store:VENUE:SYMBOL,VENUE:SYMBOL` names."""
    found: dict[str, list[str]] = {}
    for text in market.partition(":")[2].split(","):
        venue, _, symbol = text.strip().partition(":")
        if not venue or not symbol:
            raise ConfigError(
                f"--market: {market!r} lacks a symbol; write it like "
                "store:binance-futures:BTCUSDT,binance-futures:ETHUSDT"
            )
        found.setdefault(venue, []).append(symbol)
    return found


def check_text(option: str, text: str, longest: int = 255) -> None:
    """Refuse an empty text, which would silently mean the default, and names no file system can hold."""
    if not text.strip():
        raise ConfigError(f"{option} '': is empty; give a value or leave it out")
    long = max(len(os.fsencode(part)) for part in text.split(os.sep))
    if long > longest or len(os.fsencode(text)) > LONGEST_PATH:
        raise ConfigError(f"{option} {text[:40]}...: a name of {long} bytes is too long; at most {longest}")


def relative(path: str) -> str:
    """Return a path as seen from the current folder: what is saved names no machine."""
    if not Path(path).is_absolute():
        return path
    try:
        return os.path.relpath(path)
    except ValueError:  # another drive
        return path


def moment(option: str, text: str | None) -> str | None:
    """Return a date or time after checking that it can be read."""
    from framework.times import parse_time

    if text is not None:
        try:
            parse_time(text)
        except FrameworkError as error:
            raise type(error)(f"{option}: {error}") from None
    return text


def pairs(given: Sequence[str], option: str) -> dict[str, str]:
    """Split `name=value` texts."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ConfigError(f"{option} {text}: write it as name=value")
        if name in found:
            raise ConfigError(f"{option} {text}: {name} is given twice")
        found[name] = value.strip()
    return found


def latency_of(text: str | None) -> Latency:
    """Return `20ms` (order and response) or `order=20ms,response=30ms,feed=5ms`."""
    from framework.options import Latency

    if text is None:
        return Latency()
    try:
        if "=" not in text:
            return Latency(order=text, response=text)
        given = pairs(text.split(","), "--latency")
        for name in given:
            if name not in ("feed", "order", "response"):
                raise ConfigError(f"unknown '{name}': {near(name, ('feed', 'order', 'response'))}")
        return Latency(**given)  # type: ignore[arg-type]
    except FrameworkError as error:
        words = str(error)
        raise type(error)(words if words.startswith("--") else f"--latency: {words}") from None


def fills_of(text: str | None) -> Fills:
    """Return a preset (`backtrader`), choices (`at=close,intrabar=best`), or a preset and changes to it."""
    from framework.options import Fills

    if text is None:
        return Fills()
    first, *rest = text.split(",")
    if "=" in first:
        made, rest = Fills(), [first, *rest]
    else:
        made = Fills.like(first.strip())
    known = {one.name: one for one in fields(Fills)}
    values = {one.name: getattr(made, one.name) for one in fields(Fills)}
    for name, value in pairs(rest, "--fills").items():
        if name not in known:
            raise ConfigError(f"--fills: unknown '{name}': {near(name, known)}")
        values[name] = fill_value(name, value, str(known[name].type))
    return Fills(**values)


def fill_value(name: str, text: str, kind: str) -> Any:
    """Return a value of `Fills` from its text."""
    from framework.strategy import checked

    if kind == "float | None":
        if text.lower() == "none":
            return None
        kind = "float"
    return checked("--fills", name, {"str": str, "bool": bool, "float": float}[kind], text)
