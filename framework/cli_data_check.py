"""`sheepfold data check` and `sheepfold data waive`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from framework.errors import ConfigError, DataError


def run_check(
    what: list[str] | None,
    start: str | None,
    stop: str | None,
    kinds: str | None,
    store: str | None,
    instrument: str | None,
    out: Path | None,
    as_json: bool,
) -> int:
    """Check files or a store, print what was found; return 3 where something is refused and not waived."""
    from framework.data.doctor import check

    said = None if as_json or not sys.stderr.isatty() else progress
    done = check(what or None, start, stop, kinds=kinds, store=store, instrument=instrument, say=said)
    if said:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if out is not None:
        write_all(done, out)
    print(json.dumps(done.to_dict(), indent=1) if as_json else done.page())
    if out is not None and not as_json:
        print(f"Written: {out / 'check.txt'}, {out / 'check.png'}, {out / 'check.json'}")
    return DataError.exit_code if done.is_refused else 0


def progress(words: str) -> None:
    """Show what is looked at on one line."""
    print(f"\r\x1b[K{words[:100]}", end="", file=sys.stderr, flush=True)


def write_all(done: Any, out: Path) -> None:
    """Write the page, the picture and the findings into a folder."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "check.txt").write_text(done.page() + "\n", encoding="utf-8")
        (out / "check.json").write_text(json.dumps(done.to_dict(), indent=1) + "\n", encoding="utf-8")
        (out / "check.png").write_bytes(done.picture())
    except OSError as error:
        raise ConfigError(f"--out: {out} cannot be written ({error.strerror}); give another folder") from None


def run_waive(
    what: str, why: str, start: str | None, stop: str | None, kinds: str | None, codes: str | None,
    store: str | None,
) -> int:  # fmt: skip
    """Waive what was found in parts of a store; print the waivers."""
    from framework.data.doctor_source import is_id, sources_of
    from framework.data.waivers import waive

    if not is_id(what):
        raise ConfigError(
            f"waive: {what!r} is no instrument of a store; write it like binance-futures:BTCUSDT"
        )
    sources, _, house = sources_of(what, start, stop, kinds, store, None)
    wanted = None if codes is None else [code.strip() for code in codes.split(",") if code.strip()]
    for one in waive(house, [source.part for source in sources], why, wanted):
        print(one.line())
    return 0
