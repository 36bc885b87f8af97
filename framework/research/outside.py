"""What a strategy's code holds besides parameters and state: data that no cut of the market reaches."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from framework.market import Market
from framework.market_ticks import STREAMS, Book
from framework.strategy import Strategy

LARGE = 16  # items from which on a container is data and no longer a setting
READERS = {
    "read_bytes", "read_text", "read_csv", "read_parquet", "read_json", "read_feather", "read_ipc",
    "scan_csv", "scan_parquet", "loadtxt", "genfromtxt", "urlopen",
}  # fmt: skip


def functions_of(cls: type[Strategy]) -> list[FunctionType]:
    """Return the methods of a strategy and the functions of its own files that they reach."""
    found: dict[FunctionType, None] = {}
    todo = [
        f
        for base in cls.__mro__
        if issubclass(base, Strategy) and base is not Strategy
        for f in plain(vars(base).values())
    ]
    while todo:
        one = todo.pop()
        if one in found:
            continue
        found[one] = None
        todo += [f for f in plain(value for _, value in held_by(one)) if not ours(f)]
    return list(found)


def plain(values: Any) -> Iterator[FunctionType]:
    """Yield the plain functions among some values, wrapped ones included."""
    for value in values:
        inner = (
            getattr(value, "__func__", None)
            or getattr(value, "fget", None)
            or getattr(value, "py_func", None)
            or value
        )
        if isinstance(inner, FunctionType):
            yield inner


def ours(function: FunctionType) -> bool:
    """True for functions of the framework and of installed libraries."""
    return (
        str(function.__module__).split(".")[0] == "framework"
        or "site-packages" in function.__code__.co_filename
    )


def names_in(code: CodeType) -> set[str]:
    """Return every global and attribute name a function's code uses, inner functions included."""
    found = set(code.co_names)
    for const in code.co_consts:
        if isinstance(const, CodeType):
            found |= names_in(const)
    return found


def globals_in(code: CodeType) -> set[str]:
    """Return every name a function's code looks up outside itself, inner functions included."""
    found = {str(i.argval) for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    for const in code.co_consts:
        if isinstance(const, CodeType):
            found |= globals_in(const)
    return found


def held_by(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield the globals, closure cells and defaults of a function."""
    for name in sorted(globals_in(function.__code__)):
        if name in function.__globals__:
            yield name, function.__globals__[name]
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:
            continue
    yield from zip(function.__code__.co_varnames, function.__defaults__ or (), strict=False)


def uses(cls: type[Strategy], name: str) -> bool:
    """True when the strategy's code names an attribute anywhere."""
    return any(name in names_in(f.__code__) for f in functions_of(cls))


def outside_data(cls: type[Strategy], market: Market) -> list[str]:
    """Return what the strategy could know beside the market it is given, in words."""
    own = arrays_of(market)
    found: dict[str, None] = {}
    for function in functions_of(cls):
        for name, value in held_by(function):
            if is_data(value, own):
                found[
                    f"{function.__qualname__} holds '{name}' ({type(value).__name__}), data beside the market"
                ] = None
        for name in sorted(
            (READERS & names_in(function.__code__)) | ({"open"} & globals_in(function.__code__))
        ):
            found[f"{function.__qualname__} calls {name}(), which may read anything"] = None
    for base in cls.__mro__:
        if issubclass(base, Strategy) and base is not Strategy:
            for name, value in vars(base).items():
                if is_data(value, own):
                    found[f"{base.__name__}.{name} ({type(value).__name__}) is data beside the market"] = None
    return list(found)


def arrays_of(what: Market | Book) -> list[Any]:
    """Return the arrays of a market's streams, or of a book."""
    if isinstance(what, Book):
        return [what.messages, what.keys, what.lots]
    streams: list[Any] = [what.bars, what.mark, what.funding, *(getattr(what, name) for name in STREAMS)]
    found = [rows for stream in streams for rows in stream.values()]
    found += [rows for book in what.books.values() for rows in arrays_of(book)]
    return found + [rows for _, rows in what.features.values()]


def is_data(value: Any, own: list[Any]) -> bool:
    """True for tables, arrays and large containers that are not the market's own arrays."""
    if isinstance(value, ModuleType | type | FunctionType):
        return False
    if isinstance(value, Market | Book):
        return not all(is_part(rows, own) for rows in arrays_of(value))
    if isinstance(value, np.ndarray):
        return value.size >= LARGE and not is_part(value, own)
    if str(type(value).__module__).split(".")[0] in ("polars", "pandas"):
        return hasattr(value, "__len__") or hasattr(value, "collect")
    return isinstance(value, list | tuple | dict | set | frozenset) and len(value) >= LARGE


def is_part(rows: Any, own: list[Any]) -> bool:
    """True for an array that lies in the memory of one of these, or is empty."""
    return not len(rows) or any(np.may_share_memory(rows, mine) for mine in own)


__all__ = ["outside_data", "uses"]
