"""`sheepfold cassette`: look at recorded decisions, compare, merge, cut and check them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from framework.errors import ConfigError, DataError, ResultError
from framework.times import format_time

if TYPE_CHECKING:
    from framework.llm.record import Record

HELP = "Recorded decisions of a model: verify, show, diff, merge, prune, scan, export."
LOOKS_SECRET = (  # what common keys look like; a relay's prefix differs, so Bearer and long ones count too
    r"\bsk-[A-Za-z0-9_-]{20,}", r"\b(?:cr_|hsa-|TD\.)[A-Za-z0-9._-]{16,}", r"Bearer [A-Za-z0-9._~+/-]{16,}",
    r"\bAKIA[0-9A-Z]{16}\b", r"\bgh[pousr]_[A-Za-z0-9]{30,}", r"-----BEGIN [A-Z ]*PRIVATE KEY",
)  # fmt: skip
SHOWN = 20  # lines of a difference

cassette = typer.Typer(name="cassette", help=HELP, rich_markup_mode=None, no_args_is_help=True)

One = Annotated[Path, typer.Argument(metavar="FILE|DIR", help="A cassette, or a run's folder.")]
Many = Annotated[list[Path], typer.Argument(metavar="FILE|DIR...", help="Cassettes, or runs' folders.")]
Out = Annotated[Path, typer.Option(metavar="FILE", help="Write it there; .gz is compressed.")]
Model = Annotated[str | None, typer.Option(help="Only what this model was asked.")]
From = Annotated[str | None, typer.Option("--from", metavar="TIME", help="First question, UTC.")]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Time before which it ends, UTC.")]
Keys = Annotated[list[str] | None, typer.Option("--key", help="Only this key (or its begin); repeat it.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@cassette.command()
def verify(files: Many, debug: Debug = False) -> int:
    """Check every line against its key and its checksum, and a run's cassette against its manifest."""
    from framework.llm.cassette import verify as verified

    for file in files:
        if (file / "manifest.json").is_file():
            _check_run(file)
        print(f"{file}: {verified(file):,} records, each as it was written")
    return 0


@cassette.command()
def show(file: One, as_json: Json = False, debug: Debug = False) -> int:
    """Say what is in a cassette: models, verdicts, costs, times."""
    from framework.llm.cassette import read_cassette
    from framework.llm.cassette_file import locate

    records = read_cassette(file)
    about = {"file": str(locate(file)), **summary(records)}
    if as_json:
        print(json.dumps(about))
        return 0
    print(f"{about['file']}: {about['records']:,} records, sha256 {about['sha256']}")
    if records:
        print(f"asked      {about['first']} .. {about['last']}, {', '.join(about['symbols'])}")
        print(f"valid      {about['valid']:,} of {about['records']:,} ({about['coverage']:.1%})")
        print(f"cost       {about['usd']:.6f} USD" + (", partly estimated" if about["estimated"] else ""))
        print(f"latency    median {about['latency_ms']['median']:,.0f} ms, 95 % within "
              f"{about['latency_ms']['p95']:,.0f} ms")  # fmt: skip
    for way in about["ways"]:
        counts = ", ".join(f"{n:,} {status}" for status, n in way["status"].items())
        print(f"{way['analyst']}: {way['asked']}: {counts}; {way['usd']:.6f} USD")
    return 0


@cassette.command()
def diff(one: One, other: One, as_json: Json = False, debug: Debug = False) -> int:
    """Compare two cassettes; exit code 5 when they differ."""
    from framework.llm.cassette import diff as difference
    from framework.llm.cassette import read_cassette

    found = difference(read_cassette(one), read_cassette(other))
    if as_json:
        print(json.dumps([row._asdict() for row in found]))
    else:
        for row in found[:SHOWN]:
            print(f"{row.key[:16]}  {format_time(row.ts)}  {row.symbol}  {row.model}  {row.what}")
    if found:
        counts = Counter(row.what if row.what.startswith("only") else "with another answer" for row in found)
        told = ", ".join(f"{n:,} {what}" for what, n in sorted(counts.items()))
        raise ResultError(f"{one} and {other} differ in {len(found):,} keys: {told}")
    if not as_json:
        print("same cassette")
    return 0


@cassette.command()
def merge(files: Many, out: Out, debug: Debug = False) -> int:
    """Write the union of cassettes; one key with two answers is refused."""
    from framework.llm.cassette import merge as union
    from framework.llm.cassette import read_cassette

    groups = [read_cassette(file) for file in files]
    _write(out, union(*groups), f"of {sum(map(len, groups)):,}")
    return 0


@cassette.command()
def prune(file: One, out: Out, model: Model = None, start: From = None, stop: To = None, key: Keys = None,
          debug: Debug = False) -> int:  # fmt: skip
    """Write only the records that match all that is given."""
    from framework.llm.cassette import prune as pruned
    from framework.llm.cassette import read_cassette

    records = read_cassette(file)
    _write(out, pruned(records, keys=key, model=model, start=start, stop=stop), f"of {len(records):,}")
    return 0


@cassette.command()
def scan(files: Many, debug: Debug = False) -> int:
    """Look for API keys: those of the environment in any common encoding, and what looks like one."""
    from framework.llm.cassette_file import Lines, locate

    wrong = 0
    for file in files:
        lines = Lines(locate(file))
        for line in lines:
            if why := _secret(line):
                wrong += 1
                print(f"{lines.where}: holds {why}")
    if wrong:
        raise DataError(f"{wrong} records hold what may be a secret; prune them, and revoke the key")
    print("no secret found")
    return 0


@cassette.command()
def export(
    out: Out,
    store: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The store; default SHEEPFOLD_CACHE.")
    ] = None,
    model: Model = None, start: From = None, stop: To = None, key: Keys = None, debug: Debug = False,
) -> int:  # fmt: skip
    """Write what is in the store of paid answers as a cassette."""
    from framework.llm.cassette import prune as pruned
    from framework.llm.columns import records_of
    from framework.llm.store import default_folder

    folder = store if store is not None else default_folder()
    if not (folder / "cache.db").is_file():
        raise ConfigError(f"{folder}: there is no store; record something first, or give --store")
    records = records_of(folder)
    _write(out, pruned(records, keys=key, model=model, start=start, stop=stop), f"of {len(records):,}")
    return 0


def summary(records: Sequence[Record]) -> dict[str, Any]:
    """Return what `show` tells, JSON-serialisable."""
    from framework.llm.cassette import encode, identity
    from framework.llm.nearest import way_of
    from framework.llm.record import canonical

    groups: dict[str, list[Record]] = {}
    for row in records:
        groups.setdefault(canonical(way_of(row["request"])), []).append(row)
    valid = sum(row["status"] == "ok" for row in records)
    times = [row["ts"] for row in records]
    waits = sorted(row["latency_ns"] / 1e6 for row in records)
    return {
        **identity(encode(records)),
        "first": format_time(min(times)) if times else None,
        "last": format_time(max(times)) if times else None,
        "symbols": sorted({row["symbol"] for row in records}),
        "valid": valid, "coverage": valid / len(records) if records else None, "usd": _usd(records),
        "estimated": any(row["cost"]["estimated"] for row in records),
        "latency_ms": {
            "median": waits[(len(waits) - 1) // 2], "p95": waits[(len(waits) - 1) * 95 // 100]
        } if waits else None,
        "ways": [_way(groups[text]) for text in sorted(groups)],
    }  # fmt: skip


def _way(records: Sequence[Record]) -> dict[str, Any]:
    from framework.llm.nearest import said, way_of

    way = way_of(records[0]["request"])
    told = ", ".join(f"{name}={said(value)}" for name, value in sorted(way.items()) if name != "roles")
    status = Counter(row["status"] for row in records)
    return {
        "analyst": records[0]["analyst"], "asked": told, "records": len(records),
        "status": dict(sorted(status.items())), "usd": _usd(records),
    }  # fmt: skip


def _usd(records: Iterable[Record]) -> float:
    from math import fsum

    return fsum(row["cost"]["usd"] for row in records)


def _write(out: Path, records: Sequence[Record], of: str) -> None:
    from framework.llm.cassette import write_cassette

    if not records:
        raise ConfigError(f"--out {out}: nothing matches, nothing was written")
    if out.is_dir():
        raise ConfigError(f"--out {out}: is a folder; name a file, like cassette.jsonl.gz")
    print(f"{write_cassette(out, records)}: {len(records):,} {of} records")


def _check_run(folder: Path) -> None:
    from framework.result_store import read_files

    if not read_files(folder)[3]:
        raise DataError(f"{folder}: no model was asked in this run, so it has no cassette")


def _secret(line: bytes) -> str:
    """Return what a line may give away, in words, or nothing; never the secret itself."""
    from framework.llm.redact import secret_in

    text = line.decode("ascii", "replace")
    if variable := secret_in(text):
        return f"the secret of {variable}"
    for pattern in LOOKS_SECRET:
        if found := re.search(pattern, text):
            return f"what looks like a key ({found[0][:4]}..., {len(found[0])} characters)"
    return ""
