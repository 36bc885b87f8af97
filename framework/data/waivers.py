"""Waivers: a person has looked at what the doctor found in a part, and uses it all the same.

They stand in STORE/waivers.json and go into the remarks, and so the manifest, of every result that used the
data. A waiver names the findings it waives and the bytes it is for: it dies when the file changes, and it
does not cover what a later check finds on top.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from framework.data.checks import REFUSE, WARN, Day, Finding, Folder, verdict_of, write_json
from framework.data.store_files import alone
from framework.errors import ConfigError, DataError, near
from framework.times import format_time

FORMAT = 1
LONGEST = 500  # characters of a reason


@dataclass(frozen=True)
class Waiver:
    """What was waived: the codes of one part (`day` as 2024-08-01) with these bytes, and why."""

    venue: str
    kind: str
    symbol: str
    day: str
    codes: tuple[str, ...]
    why: str
    file_sha256: str

    def line(self) -> str:
        """Return the remark for a result that used the part."""
        codes = ", ".join(self.codes)
        return f"{self.venue}:{self.symbol} {self.kind} {self.day}: waived {codes}: {self.why}"


def waive(
    store: Folder, parts: Day | Iterable[Day], why: str, codes: Iterable[str] | None = None
) -> list[Waiver]:
    """Waive what the doctor found in parts of a store.

    Parameters
    ----------
    store : Store
    parts : Part or several
        Each must have been checked; one without anything to waive is passed over.
    why : str
        The reason, in one line: results repeat it.
    codes : iterable of str, optional
        Findings to waive; by default every refuse and warn.

    Returns
    -------
    list of Waiver
        One a part; a new waiver of a part takes the place of its old one.
    """
    reason = check_reason(why)
    several: list[Day] = list(parts) if isinstance(parts, Iterable) else [parts]
    wanted = None if codes is None else list(codes)
    made = [one for part in several if (one := made_for(store, part, reason, wanted)) is not None]
    if not made:
        raise ConfigError("waive: there is nothing to waive in what was named; run: sheepfold data check")
    with alone(store.folder / "_checks"):  # one writer at a time from reading to renaming
        kept = [old for old in read_waivers(store) if not any(place(old) == place(new) for new in made)]
        every = sorted([*kept, *made], key=place)
        write_json(
            store.folder / "waivers.json", {"format": FORMAT, "waivers": [asdict(one) for one in every]}
        )
    return made


def place(waiver: Waiver) -> tuple[str, str, str, str]:
    """Return which part a waiver is for."""
    return waiver.venue, waiver.kind, waiver.symbol, waiver.day


def check_reason(why: str) -> str:
    """Return a reason on one line; refuse none."""
    reason = " ".join("".join(c if c.isprintable() else " " for c in str(why)).split())
    if not reason or len(reason) > LONGEST:
        raise ConfigError(f"why: say in 1 to {LONGEST} characters why the data is good enough")
    return reason


def made_for(store: Folder, part: Day, why: str, codes: list[str] | None) -> Waiver | None:
    """Return the waiver of one part; None where nothing is to be waived."""
    day = format_time(part.day)[:10]
    verdict = verdict_of(store, part)
    if verdict is None:
        raise ConfigError(
            f"waive: {part.venue}:{part.symbol} {part.kind} {day} was not checked as it is now; "
            "run: sheepfold data check"
        )
    there = verdict.codes(REFUSE, WARN)
    if codes is not None and (odd := next((code for code in codes if code not in there), None)):
        raise ConfigError(f"codes: {part.kind} {day} has no finding {odd!r}; {near(odd, there)}")
    chosen = tuple(there if codes is None else codes)
    if not chosen:
        return None
    return Waiver(part.venue, part.kind, part.symbol, day, chosen, why, part.file_sha256)


def read_waivers(store: Folder) -> list[Waiver]:
    """Return every waiver of a store."""
    path = store.folder / "waivers.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise DataError(f"{path}: has format {data['format']!r}, not {FORMAT}; a newer version wrote it")
        return [Waiver(**{**row, "codes": tuple(row["codes"])}) for row in data["waivers"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(f"{path}: is no list of waivers ({error}); mend or remove it") from None


def waiver_of(store: Folder, part: Day) -> Waiver | None:
    """Return the waiver of a part as it is now; None where there is none or the file has changed."""
    mine = (part.venue, part.kind, part.symbol, format_time(part.day)[:10])
    for one in read_waivers(store):
        if place(one) == mine and one.file_sha256 == part.file_sha256:
            return one
    return None


def standing(store: Folder, part: Day) -> list[Finding]:
    """Return the refuse findings of a part that no waiver covers: while there are any it is not loaded."""
    verdict, waiver = verdict_of(store, part), waiver_of(store, part)
    waived = waiver.codes if waiver else ()
    found = verdict.findings if verdict else ()
    return [finding for finding in found if finding.severity == REFUSE and finding.code not in waived]
