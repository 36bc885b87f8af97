"""The doctor's verdicts, and where a store keeps them: STORE/_checks/<venue>/<kind>/<symbol>/<day>.json.

A verdict holds for the bytes it was given for: when a part's file changes it is as if it was never checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from framework.data.store_files import make_folder, write_text
from framework.errors import DataError

FORMAT = 1
REFUSE, WARN, INFO, CLEAN = "refuse", "warn", "info", "clean"
SEVERITIES = (REFUSE, WARN, INFO)  # the worst first


class Folder(Protocol):
    """A store, as far as verdicts need it."""

    @property
    def folder(self) -> Path: ...


class Day(Protocol):
    """One part of a store: a kind of an instrument on a UTC day (ns)."""

    @property
    def venue(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def symbol(self) -> str: ...
    @property
    def day(self) -> int: ...
    @property
    def path(self) -> Path: ...
    @property
    def file_sha256(self) -> str: ...


@dataclass(frozen=True)
class Finding:
    """One thing the doctor saw.

    Attributes
    ----------
    code : str
        What it is, in one word: `crossed`, `partial_day`, ...
    severity : str
        refuse (the rows cannot be trusted), warn (look at it), info (good to know).
    count : int
        How many rows, messages, gaps, ...: `words` say which.
    first_row : int
        Row of the file, 1 = the first below the header; 0 = no single row.
    ts : int
        local_timestamp in ns of where it was first seen; -1 = no single time.
    words : str
        What, how much, and what to do about it.
    """

    code: str
    severity: str
    count: int
    first_row: int
    ts: int
    words: str


@dataclass(frozen=True)
class Verdict:
    """What the doctor says of one file or part: `verdict` is refuse, warn or clean (info does not count)."""

    verdict: str
    findings: tuple[Finding, ...]
    file_sha256: str

    def codes(self, *severities: str) -> list[str]:
        """Return the codes of the findings of these severities (default: all), each once, in order."""
        wanted = severities or SEVERITIES
        return list(dict.fromkeys(f.code for f in self.findings if f.severity in wanted))


def verdict_word(findings: Iterable[Finding]) -> str:
    """Return refuse, warn or clean: the worst severity decides."""
    found = {finding.severity for finding in findings}
    return REFUSE if REFUSE in found else WARN if WARN in found else CLEAN


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings, the worst first; those of one severity as they were found."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def verdict_path(store: Folder, part: Day) -> Path:
    """Return where the verdict on a part is kept: its own place in the store, below `_checks`."""
    return store.folder / "_checks" / part.path.relative_to(store.folder).with_suffix(".json")


def verdict_of(store: Folder, part: Day) -> Verdict | None:
    """Return the verdict on a part as it is now; None when it was not checked, or has changed since.

    Raises
    ------
    DataError
        A verdict file that is damaged; it says to check again.
    """
    path = verdict_path(store, part)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove it and check again") from None
    found = read_verdict(text, path)
    return found if found.file_sha256 == part.file_sha256 else None


def read_verdict(text: str, path: Path) -> Verdict:
    """Return the verdict in a file's text."""
    try:
        data = json.loads(text)
        if data["format"] != FORMAT:
            raise DataError(f"{path}: has format {data['format']!r}, not {FORMAT}; check again")
        findings = tuple(Finding(**row) for row in data["findings"])
        verdict, sha = data["verdict"], data["file_sha256"]
        whole = isinstance(sha, str) and all(f.severity in SEVERITIES for f in findings)
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole or verdict != verdict_word(findings):
        raise DataError(f"{path}: is no whole verdict; remove it and run: sheepfold data check")
    return Verdict(verdict, findings, sha)


def save_verdict(store: Folder, part: Day, findings: Sequence[Finding]) -> Verdict:
    """Keep what was found in a part; return the verdict."""
    verdict = Verdict(verdict_word(findings), in_order(findings), part.file_sha256)
    data = {
        "format": FORMAT, "verdict": verdict.verdict, "findings": [asdict(f) for f in verdict.findings],
        "file_sha256": verdict.file_sha256,
    }  # fmt: skip
    write_json(verdict_path(store, part), data)
    return verdict


def write_json(path: Path, data: Any) -> None:
    """Write a JSON file whole or not at all."""
    make_folder(path.parent)
    write_text(path, json.dumps(data, indent=1) + "\n")
