"""The table of models: prices and claimed training cutoffs, dated and sourced (`models.toml`).

A file of the user's, `models=` or SHEEPFOLD_MODELS, has the same form and wins, model by model.
"""

from __future__ import annotations

import datetime
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from framework.errors import ConfigError

VARIABLE = "SHEEPFOLD_MODELS"
BUNDLED = Path(__file__).with_name("models.toml")
_FORM = "see framework/llm/models.toml for the form"


@dataclass(frozen=True, slots=True)
class Price:
    """Prices of one model, USD per million tokens."""

    input: float
    output: float
    cached: float | None = None  # input tokens served from the provider's cache; None = as input
    source: str = ""
    date: str = ""  # when it was read; "" for figures of the user


@dataclass(frozen=True, slots=True)
class Claim:
    """What somebody says is the last day of a model's training data."""

    date: str  # YYYY-MM-DD; a month means its last day
    source: str
    read: str


@dataclass(frozen=True, slots=True)
class Model:
    """One row of the table."""

    price: Price | None = None
    cutoffs: tuple[Claim, ...] = ()  # none = everything may be remembered


def table(path: str | os.PathLike[str] | None = None) -> Mapping[str, Model]:
    """Return all models by name: the bundled rows, and over them those of `path` or SHEEPFOLD_MODELS.

    Raises
    ------
    ConfigError
        The user's file cannot be read, or a row of it lacks something; names file, model and field.
    """
    chosen = str(path) if path is not None else os.environ.get(VARIABLE, "")
    return _merged(chosen, Path(chosen).stat().st_mtime_ns if chosen and Path(chosen).is_file() else 0)


@lru_cache(maxsize=8)
def _merged(chosen: str, changed: int) -> Mapping[str, Model]:
    """Return the table as of a file's time of change: each decision looks its model up."""
    rows = _read(BUNDLED)
    return MappingProxyType(rows | _read(Path(chosen).expanduser()) if chosen else rows)


def _read(path: Path) -> dict[str, Model]:
    try:
        whole = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give the path of a table of models") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML ({error}); {_FORM}") from None
    return {name: _model(row, f"{path}: {name}") for name, row in whole.items()}


def _model(row: Any, where: str) -> Model:
    odd = sorted(row.keys() - {"price", "cutoffs"}) if isinstance(row, dict) else ["a plain value"]
    if odd:
        raise ConfigError(f'{where}: a model has "price" and "cutoffs" only, not {odd[0]}; {_FORM}')
    claims = row.get("cutoffs", [])
    if not isinstance(claims, list):
        raise ConfigError(f"{where}: cutoffs must be a list; {_FORM}")
    found = tuple(_claim(claim, where) for claim in claims)
    return Model(None if "price" not in row else _price(row["price"], where), found)


def _price(row: Any, where: str) -> Price:
    fields = _fields(row, {"input", "output", "source", "date"}, {"cached"}, f"{where}: price")
    for name in ("input", "output", "cached"):
        value = fields.get(name, 0.0)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not (math.isfinite(value) and value >= 0.0):
            raise ConfigError(f"{where}: price {name}={value} must be USD per million tokens, 0 or more")
    _date(fields["date"], f"{where}: price date")
    cached = fields.get("cached")
    return Price(float(fields["input"]), float(fields["output"]), None if cached is None else float(cached),
                 str(fields["source"]), str(fields["date"]))  # fmt: skip


def _claim(row: Any, where: str) -> Claim:
    fields = _fields(row, {"date", "source", "read"}, set(), f"{where}: cutoffs")
    for name in ("date", "read"):
        _date(fields[name], f"{where}: cutoffs {name}")
    return Claim(str(fields["date"]), str(fields["source"]), str(fields["read"]))


def _fields(row: Any, needed: set[str], maybe: set[str], where: str) -> dict[str, Any]:
    given = row.keys() if isinstance(row, dict) else set[str]()
    if needed - given or given - needed - maybe:
        wrong = [f"{name} is missing" for name in sorted(needed - given)]
        wrong += [f"{name} is unknown" for name in sorted(given - needed - maybe)]
        words = ", ".join(sorted(needed))
        raise ConfigError(f"{where} needs {words} and nothing else ({', '.join(wrong)}); {_FORM}")
    return dict(row)


def _date(text: Any, where: str) -> None:
    try:
        datetime.date.fromisoformat(str(text))
    except ValueError:
        raise ConfigError(f"{where}={text} must be a day like 2026-11-23") from None
