"""`sheepfold data download` and `sheepfold data info`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.cli_show import print_json

if TYPE_CHECKING:
    from framework.data.metadata import Exchange
    from framework.data.tardis import Downloads

REFUSED, INCOMPLETE = 3, 4  # exit codes
LISTED = 40  # symbols that are shown one by one


def say(words: str) -> None:
    """Say a sentence on stderr."""
    print(f"sheepfold: {words}", file=sys.stderr, flush=True)


def run_download(given: dict[str, Any], as_json: bool) -> int:
    """Download and say what came; 4 when files are missing, 3 when the store refused one."""
    from framework.data.tardis import download
    from framework.data.tardis_progress import view

    shown = None if given["dry_run"] else view(say)
    try:
        done = download(
            given["venue"], given["symbols"], given["kinds"], given["start"], given["stop"],
            store=given["store"], to=given["to"], workers=given["workers"], import_=not given["no_import"],
            replace=given["replace"],
            dry_run=given["dry_run"], say=say, progress=shown,
        )  # fmt: skip
    finally:
        if shown is not None:
            shown.close()
    if as_json:
        print_json(as_object(done))
    else:
        print("\n".join(dry_lines(done) if done.dry else [done.words()]), flush=True)
    return INCOMPLETE if done.failures else REFUSED if done.refused else 0


def as_object(done: Downloads) -> dict[str, Any]:
    """Return a download as one JSON object."""
    return {
        "files": [
            {"path": str(file.path), "bytes": file.bytes, "fetched": file.fetched} for file in done.files
        ],
        "failures": [{"file": str(one.wanted), "reason": one.words} for one in done.failures],
        "refused": [{"path": str(path), "reason": words} for path, words in done.refused],
        "wanted": len(done.wanted), "bytes": done.bytes, "imported": done.imported, "dry_run": done.dry,
        "sizes": {str(wanted): count for wanted, count in done.sizes.items()},
        "days_with_key": done.keyed_days, "gaps": done.gaps, "remarks": done.remarks,
    }  # fmt: skip


def dry_lines(done: Downloads) -> Iterator[str]:
    """Yield what a dry run found."""
    from framework.data.tardis_progress import size

    here = {file.wanted for file in done.files}
    for wanted in sorted(done.wanted, key=lambda one: (one.symbol, one.kind, one.day)):
        told = size(done.sizes[wanted]) if wanted in done.sizes else "size unknown"
        told = "is here" if wanted in here else told
        yield f"{wanted}  {told}{'' if wanted.is_free else '  (needs a key)'}"
    unknown = len(done.wanted) - len(done.sizes) - len(here)
    more = f" and {unknown} of unknown size" if unknown else ""
    yield (
        f"{len(done.wanted)} files: {len(here)} here, {size(sum(done.sizes.values()))} to fetch"
        f" ({len(done.sizes)} files){more}; {len(done.keyed_days)} days need a key"
    )


def show_info(venue: str, symbol: str | None, as_of: str | None, store: Path | None, as_json: bool) -> int:
    """Print what an exchange offers, or one symbol: kinds, days, incidents, trading rules."""
    from framework.data.metadata import exchange

    known = exchange(venue, store=store, say=say)
    found = {"venue": venue, "known": known is not None}
    lines = list(exchange_lines(known)) if known and symbol is None else []
    if symbol is not None:
        found |= symbol_facts(venue, symbol, known, as_of, store)
        lines += [f"{name}: {value}" for name, value in found.items() if name not in ("known", "gaps")]
    if known:
        found["gaps"] = [one._asdict() for one in known.incidents()]
        lines += incident_lines(known)
    if as_json:
        print_json({**found, "exchange": dict(known.raw) if known else None})
    else:
        print("\n".join(lines), flush=True)
    return 0 if known or symbol else INCOMPLETE


def exchange_lines(known: Exchange) -> Iterator[str]:
    """Yield an exchange's days and symbols."""
    from framework.data.metadata import describe

    first, until = known.exported
    yield f"{known.venue}: datasets {describe(first)} .. {describe(until)} (exclusive)"
    offers = list(known.offers.values())
    for offer in offers[:LISTED]:
        end = "" if offer.until is None else f" .. {describe(offer.until)}"
        yield f"  {offer.symbol}  from {describe(offer.since)}{end}  {', '.join(offer.kinds)}"
    if len(offers) > LISTED:
        yield f"  and {len(offers) - LISTED:,} more; name one: sheepfold data info {known.venue} SYMBOL"


def symbol_facts(
    venue: str, symbol: str, known: Exchange | None, as_of: str | None, store: Path | None
) -> dict[str, Any]:
    """Return one symbol's days, kinds and rules."""
    from framework.data.metadata import describe, instrument
    from framework.data.tardis_names import dataset_symbol
    from framework.data.tardis_plan import resolve

    name = resolve(venue, dataset_symbol(symbol), known.offers if known else {}, [])
    facts: dict[str, Any] = {"symbol": name}
    if known and (offer := known.offers.get(name)):
        facts |= {"from": describe(offer.since), "kinds": ", ".join(offer.kinds)}
        facts |= {} if offer.until is None else {"until": describe(offer.until)}
    rules = instrument(venue, name, as_of, store=store)
    for field in ("kind", "tick_size", "lot_size", "min_notional", "multiplier", "maker", "taker", "settle"):
        facts[field] = getattr(rules, field)
    return facts


def incident_lines(known: Exchange) -> Iterator[str]:
    """Yield the reported incidents, the newest last."""
    from framework.times import format_time

    every = known.incidents()
    yield f"incidents reported: {len(every)}"
    for one in every[-LISTED:]:
        end = "not over" if one.stop is None else format_time(one.stop)
        yield f"  {format_time(one.start)} .. {end}  {one.words}"
