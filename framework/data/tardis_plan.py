"""What a download will do, checked before it does anything: what the exchange offers, days, gaps, keys."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from framework import symbols as forms
from framework.data.metadata import Exchange, Incident, Offer, describe, exchange
from framework.data.tardis_names import (
    MOST_FILES,
    Wanted,
    check_days,
    check_kinds,
    check_venue,
    dataset_symbol,
    listed,
    series_of,
)
from framework.errors import ConfigError, near
from framework.times import DAY, format_time

GROUPS = ("SPOT", "PERPETUALS", "FUTURES", "OPTIONS")


@dataclass(frozen=True)
class Plan:
    """The files of a download in their order, and what is known of them beforehand."""

    venue: str
    series: list[list[Wanted]]
    start: int
    stop: int
    incidents: list[Incident]
    remarks: list[str]

    @property
    def files(self) -> list[Wanted]:
        """All files, in their order."""
        return [wanted for files in self.series for wanted in files]

    @property
    def keyed_days(self) -> list[str]:
        """The days that need a key."""
        return sorted({wanted.date for wanted in self.files if not wanted.is_free})

    def without(self, some: Iterable[Wanted]) -> Plan:
        """Return the plan without some of its files."""
        gone = set(some)
        series = [[wanted for wanted in files if wanted not in gone] for files in self.series]
        return replace(self, series=series)

    def gaps(self) -> list[str]:
        """Return the reported incidents of the range, a line each."""
        return [
            f"reported gap {format_time(one.start)} .. "
            f"{'not over' if one.stop is None else format_time(one.stop)}: {one.words}"
            for one in self.incidents
        ]


def plan_of(
    venue: object, symbols: object, kinds: object, start: object, stop: object,
    store: Path | None, say: Callable[[str], None],
) -> Plan:  # fmt: skip
    """Return the plan of a download.

    Raises
    ------
    ConfigError
        Anything that is impossible: an unknown exchange, symbol or kind, a range that runs backwards or that
        the exchange does not offer.
    """
    name, days, wanted_kinds = check_venue(venue), check_days(start, stop), check_kinds(kinds)
    names = [dataset_symbol(symbol) for symbol in listed(symbols, "symbols")]
    remarks: list[str] = []
    known = exchange(name, store=store, say=remarks.append)
    offers = known.offers if known else {}
    resolved = list(dict.fromkeys(resolve(name, symbol, offers, remarks) for symbol in names))
    if known and offers:
        for symbol in resolved:
            check_offer(name, offers[symbol], wanted_kinds)
            check_range(known, offers[symbol], days)
    series = series_of(name, resolved, wanted_kinds, days)
    if (count := sum(map(len, series))) > MOST_FILES:
        raise ConfigError(f"{count:,} files are more than {MOST_FILES:,}; give a shorter range")
    for words in remarks:
        say(words)
    incidents = known.incidents(days[0], days[-1] + DAY) if known else []
    return Plan(name, series, days[0], days[-1] + DAY, incidents, remarks)


def resolve(venue: str, symbol: str, offers: dict[str, Offer], remarks: list[str]) -> str:
    """Return the symbol as the datasets have it: as given where they have it, else as the venue writes it."""
    if symbol in offers or symbol in GROUPS:
        if offers and symbol not in offers:
            raise ConfigError(f"symbols: {venue} has no grouped file {symbol}; {near(symbol, offers)}")
        return symbol
    other = symbol
    with contextlib.suppress(ConfigError):
        if venue in forms.FORMS:
            other = dataset_symbol(forms.resolve(symbol, venue).partition(":")[2])
    if offers and other not in offers:
        raise ConfigError(f"symbols: {venue} has no {symbol!r} in its datasets; {near_few(symbol, offers)}")
    if other != symbol:
        remarks.append(f"{venue} writes {symbol} as {other}")
    return other


def near_few(symbol: str, offers: Iterable[str]) -> str:
    """Return near names; of a venue with hundreds of symbols not all."""
    words = near(symbol, offers)
    return words if len(words) < 300 else f"{words[:300]} ... (see: sheepfold data info)"


def check_offer(venue: str, offer: Offer, kinds: list[str]) -> None:
    """Refuse kinds that are not there for a symbol."""
    for kind in kinds:
        if offer.kinds and kind not in offer.kinds:
            raise ConfigError(
                f"kinds: {venue} offers no {kind} of {offer.symbol}; choose from {', '.join(offer.kinds)}"
            )


def check_range(known: Exchange, offer: Offer, days: list[int]) -> None:
    """Refuse days before a symbol's first or after its last, or that are not exported yet.

    Whether the last midnight the service names is a day it has is not documented: that day is asked for.
    """
    exported_from, exported_until = known.exported
    since = max((day for day in (offer.since, exported_from) if day is not None), default=None)
    until = min((day for day in (offer.until, exported_until) if day is not None), default=None)
    what = f"{known.venue} {offer.symbol}"
    if since is not None and days[0] < since // DAY * DAY:
        raise ConfigError(
            f"dates: {what} begins {describe(since)}, {describe(days[0])} is before it; start later"
        )
    end = None if until is None else -(-until // DAY) * DAY
    if end is not None and days[-1] > end:
        raise ConfigError(
            f"dates: {what} is there until {describe(end - DAY)}, {describe(days[-1])} is after it; "
            f"end the range at {describe(end)} (exclusive)"
        )
