"""What a hook's source must say differently to be compiled: found on its syntax tree, replaced in its text.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import math
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from framework.errors import StrategyError, near
from framework.records import TIF_NAMES

HOOK_NAMES = ("on_bar", "on_fill", "on_order", "on_signal", "on_timer", "on_trade", "on_book")
ALLOWED_MODULES = ("math", "numpy", "framework")
Edit = tuple[int, int, int, int, str]


def type_words(value: Any) -> str:
    """Describe a value's type for an error."""
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    return f"a {type(value).__name__}" if value is not None else "None"


def literal(value: float | bool) -> str:
    """Write a number so that it reads back as itself."""
    if isinstance(value, float) and not math.isfinite(value):
        return "math.nan" if math.isnan(value) else ("math.inf" if value > 0 else "-math.inf")
    return repr(value)


class Rewriter(ast.NodeVisitor):
    """Finds what must be written differently in one function."""

    def __init__(
        self, owner: Any, function: FunctionType, piece: Any, node: ast.FunctionDef, method: bool
    ) -> None:
        self.owner, self.function, self.piece, self.node = owner, function, piece, node
        self.me = node.args.args[0].arg if method and node.args.args else None
        self.found: list[Edit] = []
        self.local = {a.arg for a in (*node.args.args, *node.args.kwonlyargs)}
        self.local |= {
            n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }

    def edits(self) -> list[Edit]:
        """Return the replacements as (top, left, bottom, right, text)."""
        name = self.node
        start = name.lineno
        self.found.append((start, 4, start, 4 + len(name.name), self.piece.name))
        for child in (*self.node.args.defaults, *self.node.args.kw_defaults, *self.node.body):
            if child is not None:
                self.visit(child)
        return self.found

    def replace(self, node: Any, text: str) -> None:
        """Replace a node's text."""
        self.found.append((node.lineno, node.col_offset, node.end_lineno, node.end_col_offset, text))

    def fail(self, node: ast.AST, words: str) -> StrategyError:
        """Return the error for this place."""
        line = self.piece.line + getattr(node, "lineno", 1) - self.node.lineno
        return StrategyError(f"{self.piece.label}, {self.piece.file}:{line}: {words}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not (isinstance(node.value, ast.Name) and node.value.id == self.me):
            if node.attr == "book" and self.owner.without_book:
                raise self.fail(
                    node, "uses broker.book, and the market has bars only; a book needs tick data "
                    '(framework.from_tardis, or the sample "ticks")'
                )  # fmt: skip
            self.generic_visit(node)
            return
        fields, name = self.owner.fields, node.attr
        if name in fields.reals:
            self.replace(node, f"{self.me}.f_[{fields.reals.index(name)}]")
        elif name in fields.whole:
            self.replace(node, f"{self.me}.i_[{fields.whole.index(name)}]")
        elif name in fields.arrays:
            if isinstance(node.ctx, ast.Store):
                raise self.fail(node, f"replaces the array '{name}'; write into it: self.{name}[:] = ...")
        else:
            self.constant(node, name)

    def constant(self, node: ast.Attribute, name: str) -> None:
        """A class constant is written out; anything else is a mistake."""
        value = inspect.getattr_static(self.owner.cls, name, None)
        if isinstance(value, (bool, int, float)) and isinstance(node.ctx, ast.Load):
            self.replace(node, literal(value))
            return
        known = [*self.owner.fields.reals, *self.owner.fields.whole, *self.owner.fields.arrays]
        if isinstance(value, FunctionType):
            raise self.fail(node, f"uses the method '{name}' without calling it")
        raise self.fail(node, f"names '{name}', which setup does not set: {near(name, known)}")

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func
        if isinstance(called, ast.Name) and called.id == "super":
            raise self.fail(node, "calls super(), which compiled hooks cannot: call the function you mean")
        if (
            isinstance(called, ast.Attribute)
            and isinstance(called.value, ast.Name)
            and called.value.id == self.me
        ):
            method = inspect.getattr_static(self.owner.cls, called.attr, None)
            if isinstance(method, FunctionType):
                self.call_method(node, called)
                return
        if isinstance(called, ast.Attribute) and called.attr == "feature" and node.args:
            self.feature(node)
        for keyword in node.keywords:
            if keyword.arg == "tif" and isinstance(keyword.value, ast.Constant):
                self.tif(keyword.value)
        self.generic_visit(node)

    def call_method(self, node: ast.Call, called: ast.Attribute) -> None:
        """`self.turn(a)` becomes `m_turn(self, a)`."""
        self.owner.method(called.attr)
        key = called.attr if called.attr in HOOK_NAMES else f"m_{called.attr}"
        text = f"{key}({self.me}" + (", " if node.args or node.keywords else "")
        end = (called.end_lineno or called.lineno, (called.end_col_offset or 0) + 1)
        self.found.append((called.lineno, called.col_offset, end[0], end[1], text))
        for child in (*node.args, *(k.value for k in node.keywords)):
            self.visit(child)

    def feature(self, node: ast.Call) -> None:
        """`broker.feature("rsi")` becomes its index in the class's `features`."""
        given = node.args[0]
        if isinstance(given, ast.Constant) and isinstance(given.value, str):
            names = self.owner.features
            if given.value not in names:
                raise self.fail(
                    given, f"feature '{given.value}' is not in `features`: {near(given.value, names)}"
                )
            self.replace(given, str(names.index(given.value)))

    def tif(self, given: ast.Constant) -> None:
        """`tif="IOC"` becomes its code."""
        if isinstance(given.value, str):
            if given.value.upper() not in TIF_NAMES:
                raise self.fail(given, f"tif '{given.value}': {near(given.value, TIF_NAMES)}")
            self.replace(given, str(TIF_NAMES.index(given.value.upper())))

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        raise self.fail(
            node, "imports inside a hook; import at the top of the file (compiled hooks use math and numpy)"
        )

    visit_ImportFrom = visit_Import

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in self.local or node.id == self.me or node.id in self.owner.names:
            return
        scope = self.function.__globals__
        if node.id in scope:
            self.resolve(node, scope[node.id])
        elif node.id in self.function.__code__.co_freevars:
            raise self.fail(node, f"uses '{node.id}' of the function around the class; set it in setup")
        elif not hasattr(builtins, node.id):
            raise self.fail(node, f"names '{node.id}', which is not defined")

    def resolve(self, node: ast.Name, value: Any) -> None:
        """Write a global down in the module: a number, a module, an indicator, or a function of the same
        file.
        """
        name = node.id
        if isinstance(value, (bool, int, float)):
            self.owner.names[name] = f"{name} = {literal(value)}"
        elif isinstance(value, ModuleType) and value.__name__.split(".")[0] in ALLOWED_MODULES:
            self.owner.names[name] = f"import {value.__name__} as {name}"
        elif isinstance(value, FunctionType) and not value.__module__.startswith("framework."):
            self.owner.names[name] = ""
            self.owner.add(name, value, f"{self.owner.cls.__name__} (function {name})", False)
        elif (
            getattr(value, "__module__", None)
            and str(value.__module__).split(".")[0] in ALLOWED_MODULES
            and callable(value)
        ):
            home = getattr(value, "__name__", name)
            self.owner.names[name] = f"from {value.__module__} import {home} as {name}"
        elif callable(getattr(value, "py_func", None)):
            self.owner.names[name] = ""
            self.owner.add(name, value.py_func, f"{self.owner.cls.__name__} (function {name})", False)
        else:
            raise self.fail(
                node, f"uses '{name}' ({type_words(value)}), which compiled hooks cannot; set it in setup"
            )
