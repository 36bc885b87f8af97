"""The error tree. Every error a user can cause is one line: what is wrong, where, and the fix.

FrameworkError
├── ConfigError          a setting, option or argument (names the parameter and its near names)
├── DataError            rows or files (names file, row, field)
├── StrategyError        the strategy class: hooks, state, parameters, compilation
├── OrderRejected        an order that cannot be sent (the venue's rule)
├── SignalError          a model reply that is not a trading signal
│   └── CacheMiss        strict replay asked for a decision that was never recorded
├── BudgetExceeded       the money limit of a recording
├── VenueError           the venue or relay answered with an error
└── ResultError          a result folder that is incomplete, altered, or differs on rerun
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FrameworkError(Exception):
    """Base of every error raised on purpose. `exit_code` is what the command returns for it."""

    exit_code = 2


class ConfigError(FrameworkError):
    """A setting, option or argument is wrong."""


class DataError(FrameworkError):
    """Rows or files that cannot be trusted; the message names file, row and field."""

    exit_code = 3


class StrategyError(FrameworkError):
    """The strategy class cannot run: a hook, a parameter, its state, or its compilation."""


class OrderRejected(FrameworkError):
    """An order that breaks a rule before it is sent."""


class SignalError(FrameworkError):
    """A model reply that is not a valid trading signal."""


class CacheMiss(SignalError):
    """Strict replay asked for a decision that was never recorded."""

    exit_code = 4


class BudgetExceeded(FrameworkError):
    """A recording reached its money limit; what is done is kept."""

    exit_code = 4


class VenueError(FrameworkError):
    """A venue or relay answered with an error, or not at all."""

    exit_code = 4


class ResultError(FrameworkError):
    """A result folder is incomplete or altered, or a rerun gives another result."""

    exit_code = 5


def near(name: str, choices: Iterable[str]) -> str:
    """Return `did you mean a, b?` for the choices nearest to `name`, else the list of choices."""
    options = [str(c) for c in choices]
    close = difflib.get_close_matches(str(name), options, n=3, cutoff=0.5)
    if close:
        return f"did you mean {', '.join(close)}?"
    return f"choose from {', '.join(options)}" if options else "there is none yet; add it first"
