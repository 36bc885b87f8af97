"""A limit on what recordings may spend, shared by processes: reserve the worst case, send, settle the truth.

Whoever wants to ask reserves first, in one SQLite transaction, so that what is spent and what is in flight
never exceed the limit together, whatever asks at the same time. A reservation whose process was killed stays
spent, since its question may have been paid; `Budget.state` shows it as open.
"""

from __future__ import annotations

import math
import os
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from framework.errors import BudgetExceeded, ConfigError, DataError

FILE = "budget.db"
_NANO = 1e9  # amounts of money are kept as whole nano-dollars: sums do not drift

_SCHEMA = """CREATE TABLE IF NOT EXISTS entry (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, usd INTEGER NOT NULL, tokens INTEGER NOT NULL,
    calls INTEGER NOT NULL, open INTEGER NOT NULL)"""
_ADD = """UPDATE entry SET usd = usd + ?, tokens = tokens + ?, calls = calls + ?
    WHERE name = ? AND open = 0"""
_SUMS = """SELECT COALESCE(SUM(usd), 0), COALESCE(SUM(tokens), 0), COALESCE(SUM(calls), 0),
    COALESCE(SUM(open), 0), COALESCE(SUM(usd * open), 0) FROM entry WHERE name = ?"""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What counts against a budget. `open` ones are of questions in flight, or of killed processes."""

    usd: float  # settled and open together
    tokens: int
    calls: int
    open: int
    open_usd: float


class Budget:
    """At most so much money, tokens or questions; None = no limit of that kind, 0 = nothing is asked.

    Parameters
    ----------
    usd, tokens, calls : the limits
    name : of the ledger: all budgets of one name and folder count together, for ever; None = a new ledger,
        shared with processes that are given this object
    folder : where the ledger is kept; default that of the store

    Raises
    ------
    ConfigError
        A limit is negative or not finite.
    """

    def __init__(self, usd: float | None = None, *, tokens: int | None = None, calls: int | None = None,
                 name: str | None = None, folder: str | os.PathLike[str] | None = None) -> None:
        for what, limit in (("usd", usd), ("tokens", tokens), ("calls", calls)):
            if limit is not None and (
                isinstance(limit, bool) or not (math.isfinite(limit) and limit >= 0)
            ):
                raise ConfigError(f"budget: {what}={limit} must be a finite number, 0 or more")
        self.usd, self.tokens, self.calls = usd, tokens, calls
        self.name = uuid.uuid4().hex if name is None else name
        if folder is None:
            from framework.llm.store import default_folder

            folder = default_folder()
        self.folder = Path(folder)

    def __repr__(self) -> str:
        return f"Budget(usd={self.usd}, tokens={self.tokens}, calls={self.calls})"

    def reserve(self, usd: float, tokens: int, calls: int = 1) -> int:
        """Set the worst case of one question aside; return the entry to settle.

        Raises
        ------
        BudgetExceeded
            It does not fit: nothing may be sent.
        DataError
            The ledger cannot be read or written.
        """
        asked = (_nano(usd), int(tokens), int(calls))
        with self._ledger() as rows:
            row = rows.execute(_SUMS, (self.name,)).fetchone()
            for spent, more, limit in zip(row, asked, self._limits(), strict=False):
                if limit is not None and spent + more > limit:
                    raise BudgetExceeded(self._refusal(row, usd))
            entry = rows.execute(
                "INSERT INTO entry (name, usd, tokens, calls, open) VALUES (?, ?, ?, ?, 1)",
                (self.name, *asked),
            ).lastrowid
        assert entry is not None
        return entry

    def settle(self, entry: int, usd: float, tokens: int, calls: int) -> None:
        """Replace a reservation by what it really took."""
        took = (_nano(usd), int(tokens), int(calls), self.name)
        with self._ledger() as rows:
            rows.execute("DELETE FROM entry WHERE id = ?", (entry,))
            # all that is settled is one row: a sum over a hundred thousand would be taken for each question
            if rows.execute(_ADD, took).rowcount == 0:
                rows.execute(
                    "INSERT INTO entry (usd, tokens, calls, name, open) VALUES (?, ?, ?, ?, 0)", took
                )

    def state(self) -> Ledger:
        """Return what counts against it by now."""
        with self._ledger() as rows:
            usd, tokens, calls, count, open_usd = rows.execute(_SUMS, (self.name,)).fetchone()
        return Ledger(usd / _NANO, tokens, calls, count, open_usd / _NANO)

    def _limits(self) -> tuple[int | None, int | None, int | None]:
        return (None if self.usd is None else _nano(self.usd),
                None if self.tokens is None else int(self.tokens),
                None if self.calls is None else int(self.calls))  # fmt: skip

    def _refusal(self, row: tuple[int, ...], usd: float) -> str:
        limits = [f"${self.usd:.4f}"] if self.usd is not None else []
        limits += [f"{self.tokens} tokens"] if self.tokens is not None else []
        limits += [f"{self.calls} questions"] if self.calls is not None else []
        held = f" ({row[3]} still open, ${row[4] / _NANO:.4f})" if row[3] else ""
        return (
            f"the budget of {', '.join(limits)} is used up: ${row[0] / _NANO:.4f}, {row[1]} tokens and "
            f"{row[2]} questions count{held}, and the next one may cost ${usd:.4f}; what was answered is "
            "kept: raise the budget and run again to ask only the rest"
        )

    @contextmanager
    def _ledger(self) -> Iterator[sqlite3.Connection]:
        """Open the ledger for one transaction. Never kept open: a forked child must not inherit it."""
        from framework.llm.store import make_private

        make_private(self.folder)
        try:
            rows = sqlite3.connect(self.folder / FILE, timeout=60, isolation_level=None)
        except sqlite3.Error as error:
            raise self._broken(error) from None
        try:
            rows.execute("PRAGMA synchronous = OFF")  # kill -9 loses nothing, only a power cut can
            rows.execute("BEGIN IMMEDIATE")
            rows.execute(_SCHEMA)
            yield rows
            rows.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._broken(error) from None
        finally:
            rows.close()  # what was not committed is undone

    def _broken(self, error: sqlite3.Error) -> DataError:
        place = self.folder / FILE
        return DataError(f"{place}: the ledger cannot be used ({error}); free space or move it away")


def _nano(usd: float) -> int:
    return round(usd * _NANO)
