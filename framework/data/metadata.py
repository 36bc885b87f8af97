"""What Tardis says of exchanges and instruments: availability, incidents, dated rules. All optional.

`/exchanges/:exchange` needs no key; `/instruments/:exchange` needs that of an active plan. Both are kept
below the store (`_meta`), and used from there where the service cannot be asked.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from framework import symbols
from framework.data.tardis_fetch import run_apart
from framework.data.tardis_files import make_private, sync_folder
from framework.data.tardis_http import Client, Failed, Patience, read_json
from framework.data.tardis_names import (
    API,
    api_key,
    base_of,
    check_venue,
    dataset_symbol,
    hidden,
    store_folder,
)
from framework.errors import ConfigError, VenueError, near
from framework.instruments import Instrument
from framework.instruments import instrument as known_instrument
from framework.times import format_time, parse_time

MOST = 256 * 2**20  # bytes of one answer, unpacked: an exchange with all its options has some dozens of MB
QUICK = Patience(tries=1, connect=5.0, silence=20.0)
KINDS_OF = {"spot": "spot", "perpetual": "linear", "future": "linear"}
Say = Callable[[str], None]


class Incident(NamedTuple):
    """A report of bad data: from, until (ns; None = not over), what happened."""

    start: int
    stop: int | None
    words: str


class Offer(NamedTuple):
    """One symbol of the datasets."""

    symbol: str
    kinds: tuple[str, ...]
    since: int | None  # ns
    until: int | None  # ns, exclusive; None = goes on


@dataclass(frozen=True)
class Exchange:
    """`/exchanges/:exchange`: what its datasets hold."""

    venue: str
    raw: Mapping[str, Any]

    @property
    def exported(self) -> tuple[int | None, int | None]:
        """First day of the datasets and the day before which they end (ns), where known."""
        datasets = mapping(self.raw.get("datasets"))
        return moment(datasets.get("exportedFrom")), moment(datasets.get("exportedUntil"))

    @property
    def offers(self) -> dict[str, Offer]:
        """The symbols of the datasets, as the csv has them, grouped ones too."""
        found = {}
        for one in items(mapping(self.raw.get("datasets")).get("symbols")):
            with contextlib.suppress(ConfigError):
                name = dataset_symbol(one.get("id"))
                kinds = tuple(str(kind) for kind in one.get("dataTypes") or ())
                since, until = moment(one.get("availableSince")), moment(one.get("availableTo"))
                found[name] = Offer(name, kinds, since, until)
        return found

    def incidents(self, start: int = 0, stop: int | None = None) -> list[Incident]:
        """Return the reports that touch [start, stop), in time order."""
        found = []
        for one in items(self.raw.get("incidentReports")):
            since, until = moment(one.get("from")), moment(one.get("to"))
            if since is None or not (stop is None or since < stop) or not (until is None or until > start):
                continue
            words = " ".join(str(one.get("details") or one.get("status") or "no details").split())
            found.append(Incident(since, until, words[:300]))
        return sorted(found, key=lambda one: one.start)


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a JSON object; {} for anything else."""
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> list[Mapping[str, Any]]:
    """Return the objects of a JSON list; [] for anything else."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def moment(value: Any) -> int | None:
    """Return an ISO time in ns; None for anything else."""
    with contextlib.suppress(ConfigError):
        return parse_time(value) if isinstance(value, str) else None
    return None


def ask(path: str, key: str | None = None, patience: Patience = QUICK) -> Any:
    """Return the JSON answer of the API service; only `/instruments` needs the key, and is sent it.

    Raises
    ------
    VenueError
        It refuses, or does not answer; `status` says how (0 = no answer).
    """
    key = hidden(key)
    base, secret = base_of(API), api_key(key) if path.startswith("instruments/") else None

    async def work() -> Any:
        async with Client(base, secret, patience) as client:
            return await read_json(client, f"{base.url}/{path}", MOST)

    try:
        return run_apart(work)
    except Failed as error:
        told = VenueError(f"{base.url}/{path}: {error}")
        told.__dict__["status"] = error.status
        raise told from None


def exchange(venue: str, *, store: str | Path | None = None, say: Say | None = None) -> Exchange | None:
    """Return what the service says of an exchange, else what it said before, else None.

    Parameters
    ----------
    venue : Tardis exchange id
    store : folder of the store: answers are kept in its `_meta`
    say : told when the service cannot be asked

    Raises
    ------
    ConfigError
        The service knows no such exchange (near names).
    """
    path = store_folder(store) / "_meta" / f"{check_venue(venue)}.json"
    try:
        raw = ask(f"exchanges/{venue}")
        if not isinstance(raw, Mapping):
            raise VenueError("the answer is no JSON object")
    except VenueError as error:
        if getattr(error, "status", 0) in (400, 404):
            hint = near(venue, venue_names())
            raise ConfigError(f"venue: Tardis has no exchange {venue!r}; {hint}") from None
        kept = read_kept(path)
        how = "what it said before is used" if kept else "what is asked for is not checked"
        known = list(symbols.venue_names())
        if not kept and venue not in known:
            how += f", and {venue!r} is no exchange known here; {near(venue, known)}"
        if say is not None:
            say(f"metadata of {venue} could not be had ({error}); {how}")
        return None if kept is None else Exchange(venue, mapping(kept))
    keep(path, raw)
    return Exchange(venue, raw)


def venue_names() -> list[str]:
    """Return the exchanges the service lists, else those known here."""
    with contextlib.suppress(VenueError):
        return [str(one["id"]) for one in items(ask("exchanges")) if "id" in one]
    return list(symbols.venue_names())


def keep(path: Path, value: Any) -> None:
    """Keep an answer; a folder that cannot be written keeps nothing."""
    with contextlib.suppress(OSError):
        make_private(path.parent)
        part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
        try:
            with part.open("x", encoding="utf-8") as file:
                json.dump(value, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
            sync_folder(path.parent)
        finally:
            part.unlink(missing_ok=True)


def read_kept(path: Path) -> Any:
    """Return an answer that was kept; None where there is none or it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.stat().st_size <= MOST else None
    except (OSError, ValueError, RecursionError):
        return None


def instrument(
    venue: str, symbol: str, as_of: Any = None, *, key: str | None = None,
    store: str | Path | None = None, refresh: bool = False,
) -> Instrument:  # fmt: skip
    """Return an Instrument with the venue's rules of a day.

    From what Tardis' `/instruments` said, kept in the store; asked where nothing is kept and a key is set;
    the built-in rules of `framework.instruments.instrument` where neither is.

    Parameters
    ----------
    venue, symbol : Tardis exchange id, and the symbol in any usual spelling
    as_of : date, str or ns, optional
        The rules in force then; without it the present ones.
    key : str, optional
        Default TARDIS_API_KEY.
    store : folder of the store
    refresh : ask again although something is kept

    Returns
    -------
    Instrument
        tick_size, lot_size, multiplier, kind and settlement of the metadata; fees and least notional, which
        Tardis does not promise, of the built-in tables where they are known.

    Raises
    ------
    ConfigError
        An option, or another contract that is not spot, linear or inverse.
    VenueError
        `refresh`, and the service does not answer or refuses the key.
    """
    key = hidden(key)
    record = record_of(venue, symbol, key, store, refresh)
    if record is None:
        known = symbols.resolve(symbol, venue) if venue in symbols.FORMS else f"{venue}:{symbol.upper()}"
        return known_instrument(known, as_of)
    return instrument_of(record, as_of)


def record_of(
    venue: str, symbol: str, key: str | None, store: str | Path | None, refresh: bool
) -> Mapping[str, Any] | None:
    """Return the metadata of one instrument: kept, or asked for; None where neither is to be had."""
    check_venue(venue)
    names = spellings(venue, symbol)
    path = store_folder(store) / "_meta" / f"{venue}.instruments.json"
    kept = dict(mapping(read_kept(path)))
    found = None if refresh else next((kept[name] for name in names if name in kept), None)
    if found is not None or api_key(key) is None:
        return found
    for name in names:
        try:
            answer = mapping(ask(f"instruments/{venue}/{quote(name, safe='')}", key))
        except VenueError as error:
            if getattr(error, "status", 0) in (400, 404):
                continue
            if refresh:
                raise
            return None
        keep(path, {**kept, dataset_symbol(answer.get("datasetId") or answer.get("id")): answer})
        return answer
    return None


def spellings(venue: str, symbol: str) -> list[str]:
    """Return how the datasets may write a symbol: as given, and as the venue writes the pair."""
    names = [dataset_symbol(symbol)]
    with contextlib.suppress(ConfigError):
        if venue in symbols.FORMS:
            names.append(dataset_symbol(symbols.resolve(symbol, venue).partition(":")[2]))
    return list(dict.fromkeys(names))


def rules_at(record: Mapping[str, Any], as_of: Any = None) -> dict[str, Any]:
    """Return a record's fields as they were at a time: each change tells what held until then."""
    fields = {name: value for name, value in record.items() if name != "changes"}
    if as_of is None:
        return fields
    at = parse_time(as_of)
    dated = [(until, one) for one in items(record.get("changes")) if (until := moment(one.get("until")))]
    for until, change in sorted(dated, key=lambda pair: -pair[0]):
        if until > at:
            fields.update({name: value for name, value in change.items() if name != "until"})
    return fields


def instrument_of(record: Mapping[str, Any], as_of: Any = None) -> Instrument:
    """Return the Instrument of a metadata record."""
    fields = rules_at(record, as_of)
    venue, name = str(fields.get("exchange", "")), dataset_symbol(fields.get("datasetId") or fields.get("id"))
    id = f"{venue}:{name}"
    kind = KINDS_OF.get(str(fields.get("type")))
    if kind is None or "quanto" in str(fields.get("contractType", "")):
        what = fields.get("contractType") or fields.get("type")
        raise ConfigError(f"{id}: a {what} is neither spot, linear nor inverse; it cannot be traded here")
    known = known_instrument(id, as_of)
    maker, taker = fields.get("makerFee"), fields.get("takerFee")
    return Instrument(
        id,
        "inverse" if fields.get("inverse") and kind != "spot" else kind,
        fields.get("priceIncrement"),
        fields.get("amountIncrement"),
        known.min_notional,
        1.0 if fields.get("contractMultiplier") is None else fields["contractMultiplier"],
        maker if known.maker is None else known.maker,
        taker if known.taker is None else known.taker,
        settle=fields.get("settlementCurrency"),
    )


def describe(ns: int | None) -> str:
    """Return a day in words; `?` where it is not known."""
    return "?" if ns is None else format_time(ns)[:10]
