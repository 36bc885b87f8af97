"""Parameter sets of a sweep: which keyword is a parameter, what its values are, and which sets are wanted."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from framework.errors import ConfigError, near
from framework.plan import make_plan
from framework.strategy import Strategy, checked, parameters_of

Params = dict[str, Any]
OPTIONS = tuple(n for n, p in inspect.signature(make_plan).parameters.items() if p.kind is p.KEYWORD_ONLY)


def sort_keywords(cls: type[Strategy], given: Mapping[str, Any]) -> tuple[Params, Params]:
    """Return (parameters, backtest options) of the keywords of a sweep; what is neither is refused."""
    known = parameters_of(cls)
    for name in given:
        if name in known and name in OPTIONS:
            raise ConfigError(
                f"{name}: both a parameter of {cls.__name__} and an option of backtest; rename the parameter"
            )
        if name not in known and name not in OPTIONS:
            words = near(name, [*known, *OPTIONS])
            raise ConfigError(
                f"{name}: neither a parameter of {cls.__name__} nor an option of backtest: {words}"
            )
    values = {n: v for n, v in given.items() if n in known}
    return values, {n: v for n, v in given.items() if n in OPTIONS}


def values_of(cls: type[Strategy], name: str, given: Any) -> list[Any]:
    """Return the values of one parameter: a number, bool or text alone, or an ordered iterable of them."""
    kind, _ = parameters_of(cls)[name]
    alone = (
        isinstance(given, (str, bytes))
        or not isinstance(given, Iterable)
        or getattr(given, "shape", None) == ()
    )
    if isinstance(given, (set, frozenset, Mapping)):
        raise ConfigError(
            f"{cls.__name__}.{name}: a {type(given).__name__} has no order or no values; give a list"
        )
    values = [given] if alone else list(given)
    if not values:
        raise ConfigError(f"{cls.__name__}.{name}: there is no value in {given!r}")
    return [checked(cls.__name__, name, kind, value) for value in values]


def grid(
    cls: type[Strategy], base: Params, given: Mapping[str, Any], where: Callable[[Any], Any] | None
) -> list[Params]:
    """Return every wanted set, the last declared parameter changing fastest.

    Parameters
    ----------
    base
        Values of an instance that was given instead of a class.
    given
        Values of each swept or fixed parameter.
    where
        Predicate on an object with the parameters as attributes.
    """
    known = parameters_of(cls)
    fixed = {name: [base.get(name, default)] for name, (_, default) in known.items()}
    fixed |= {name: values_of(cls, name, value) for name, value in given.items()}
    sets = [dict(zip(fixed, row, strict=True)) for row in itertools.product(*fixed.values())]
    if where is None:
        return sets
    wanted = [one for one in sets if is_wanted(cls, where, one)]
    if not wanted:
        raise ConfigError(f"where: leaves none of the {len(sets)} sets")
    return wanted


def is_wanted(cls: type[Strategy], where: Callable[[Any], Any], one: Params) -> bool:
    """Ask the predicate about one set."""
    try:
        return bool(where(SimpleNamespace(**one)))
    except AttributeError as error:
        words = near(error.name or "", parameters_of(cls))
        raise ConfigError(f"where: {cls.__name__} has no parameter '{error.name}': {words}") from None


__all__ = ["OPTIONS", "grid", "sort_keywords"]
