"""From a strategy class to compiled code: its hooks' source, with `self` turned into plain arrays.

A module is written to the cache folder whose text holds everything the hooks use, so that its digest names the
compiled code and numba can keep it. Lines stay where they were, so that an error can be told by its line.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import importlib.util
import inspect
import math
import os
import re
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from framework.errors import StrategyError, near
from framework.jit import cache_folder
from framework.records import TIF_NAMES

HOOK_NAMES = ("on_bar", "on_fill", "on_order", "on_signal", "on_timer")
ALLOWED_MODULES = ("math", "numpy", "framework")
HEAD = """from __future__ import annotations
import math
from typing import NamedTuple
from framework.engine.drive import *
from framework.engine.drive import idle
from framework.jit import kernel
"""


@dataclass
class Piece:
    """One function's text on its way into the module."""

    name: str
    label: str  # Class.hook, for errors
    file: str
    line: int
    text: str


@dataclass
class Fields:
    """How the state that `setup` left is laid out: floats, whole numbers, and arrays."""

    reals: list[str] = field(default_factory=list)
    whole: list[str] = field(default_factory=list)
    arrays: list[str] = field(default_factory=list)


def fields_of(strategy: Any) -> Fields:
    """Sort a strategy's state by type; refuse what compiled hooks cannot hold."""
    found = Fields()
    for name, value in {**strategy.params, **vars(strategy)}.items():
        if isinstance(value, (bool, np.bool_, int, np.integer)):
            found.whole.append(name)
        elif isinstance(value, (float, np.floating)):
            found.reals.append(name)
        elif isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            found.arrays.append(name)
        elif name not in ("view", "instruments"):
            raise StrategyError(
                f"{type(strategy).__name__}.{name} is {type_words(value)}; compiled hooks hold numbers, bools and numpy "
                "arrays of them: change it, or leave @compiled away"
            )
    for names in (found.reals, found.whole, found.arrays):
        names.sort()
    return found


def type_words(value: Any) -> str:
    """Describe a value's type for an error."""
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    return f"a {type(value).__name__}" if value is not None else "None"


class Translator:
    """Collects the functions a strategy's hooks reach, and rewrites them."""

    def __init__(self, strategy: Any) -> None:
        self.cls = type(strategy)
        self.fields = fields_of(strategy)
        self.pieces: dict[str, Piece] = {}
        self.names: dict[str, str] = {}  # global name -> line that defines it
        self.features = tuple(strategy.features)

    def module(self) -> str:
        """Return the text of the whole module."""
        hooks = [h for h in HOOK_NAMES if callable(getattr(self.cls, h, None))]
        for hook in hooks:
            self.method(hook)
        from framework.engine import drive

        engine = Path(inspect.getsourcefile(drive) or "").read_text(encoding="utf-8")
        engine = engine[engine.index("# ---- per strategy") :]
        arrays = "".join(f"    {n}: object\n" for n in self.fields.arrays)
        me = f"class Me(NamedTuple):\n    f_: object\n    i_: object\n{arrays}\n"
        bodies = "\n".join(
            f"# {p.label}\n@kernel(store=False, nrt=NRT)\n{p.text}\n" for p in self.pieces.values()
        )
        idle = "".join(f"{h} = idle\n" for h in HOOK_NAMES if h not in hooks)
        run = "\n@kernel(nrt=NRT)\ndef run(address, me, advance):\n    return drive(address, me, advance)\n"
        engine = engine.replace("@kernel(store=False)", "@kernel(store=False, nrt=NRT)")
        return HEAD + "\n".join(self.names.values()) + f"\n{me}\n{bodies}\n{idle}\n{engine}\n{run}"

    def method(self, name: str) -> None:
        """Add a method of the strategy and everything it calls."""
        key = name if name in HOOK_NAMES else f"m_{name}"
        if key in self.pieces:
            return
        function = inspect.getattr_static(self.cls, name)
        if not isinstance(function, FunctionType):
            raise StrategyError(f"{self.cls.__name__}.{name} is a {type(function).__name__}; compiled hooks call plain methods")
        self.add(key, function, f"{self.cls.__name__}.{name}", True)

    def add(self, key: str, function: FunctionType, label: str, is_method: bool) -> None:
        """Rewrite one function and remember it under `key`."""
        try:
            lines, line = inspect.getsourcelines(function)
        except OSError:
            raise StrategyError(f"{label}: its source cannot be read; put the strategy in a file") from None
        file = os.path.basename(function.__code__.co_filename)
        source = textwrap.dedent("".join(lines))
        tree = ast.parse(source)
        node = tree.body[0]
        if not isinstance(node, ast.FunctionDef):
            raise StrategyError(f"{label}, {file}:{line}: is no plain function")
        piece = Piece(key, label, file, line + node.lineno - 1, "")
        self.pieces[key] = piece
        edits = Rewriter(self, function, piece, node, is_method).edits()
        rows = source.splitlines(keepends=True)
        for top, left, bottom, right, text in sorted(edits, reverse=True):
            first, last = rows[top - 1], rows[bottom - 1]
            head = first.encode()[:left].decode()
            tail = last.encode()[right:].decode()
            rows[top - 1 : bottom] = [head + text + "\n" * (bottom - top) + tail]
        piece.text = "".join(rows[node.lineno - 1 :])


Edit = tuple[int, int, int, int, str]


class Rewriter(ast.NodeVisitor):
    """Finds what must be written differently in one function."""

    def __init__(self, owner: Translator, function: FunctionType, piece: Piece, node: ast.FunctionDef, method: bool) -> None:
        self.owner, self.function, self.piece, self.node = owner, function, piece, node
        self.me = node.args.args[0].arg if method and node.args.args else None
        self.found: list[Edit] = []
        self.local = {a.arg for a in (*node.args.args, *node.args.kwonlyargs)}
        self.local |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}

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
        if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == self.me:
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
                raise self.fail(given, f"feature '{given.value}' is not in `features`: {near(given.value, names)}")
            self.replace(given, str(names.index(given.value)))

    def tif(self, given: ast.Constant) -> None:
        """`tif="IOC"` becomes its code."""
        if isinstance(given.value, str):
            if given.value.upper() not in TIF_NAMES:
                raise self.fail(given, f"tif '{given.value}': {near(given.value, TIF_NAMES)}")
            self.replace(given, str(TIF_NAMES.index(given.value.upper())))

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        raise self.fail(node, "imports inside a hook; import at the top of the file (compiled hooks use math and numpy)")

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
        """Write a global down in the module: a number, a module, an indicator, or a function of the same file."""
        name = node.id
        if isinstance(value, (bool, int, float)):
            self.owner.names[name] = f"{name} = {literal(value)}"
        elif isinstance(value, ModuleType) and value.__name__.split(".")[0] in ALLOWED_MODULES:
            self.owner.names[name] = f"import {value.__name__} as {name}"
        elif isinstance(value, FunctionType) and not value.__module__.startswith("framework."):
            self.owner.names[name] = ""
            self.owner.add(name, value, f"{self.owner.cls.__name__} (function {name})", False)
        elif getattr(value, "__module__", None) and str(value.__module__).split(".")[0] in ALLOWED_MODULES and callable(value):
            home = getattr(value, "__name__", name)
            self.owner.names[name] = f"from {value.__module__} import {home} as {name}"
        elif callable(getattr(value, "py_func", None)):
            self.owner.names[name] = ""
            self.owner.add(name, value.py_func, f"{self.owner.cls.__name__} (function {name})", False)
        else:
            raise self.fail(node, f"uses '{name}' ({type_words(value)}), which compiled hooks cannot; set it in setup")


def literal(value: float | bool) -> str:
    """Write a number so that it reads back as itself."""
    if isinstance(value, float) and not math.isfinite(value):
        return "math.nan" if math.isnan(value) else ("math.inf" if value > 0 else "-math.inf")
    return repr(value)


@dataclass
class Compiled:
    """The compiled form of one strategy class and state layout."""

    module: ModuleType
    fields: Fields
    pieces: dict[str, Piece]
    path: Path

    def pack(self, strategy: Any) -> Any:
        """Return the strategy's state as the tuple of arrays its compiled hooks work on."""
        reals = np.array([float(getattr(strategy, n)) for n in self.fields.reals] or [0.0])
        whole = np.array([int(getattr(strategy, n)) for n in self.fields.whole] or [0], dtype=np.int64)
        arrays = [np.ascontiguousarray(getattr(strategy, n)) for n in self.fields.arrays]
        return self.module.Me(reals, whole, *arrays)

    def unpack(self, me: Any, strategy: Any) -> None:
        """Write the state back into the object, for those who look at it after the run."""
        for j, name in enumerate(self.fields.reals):
            setattr(strategy, name, float(me.f_[j]))
        for j, name in enumerate(self.fields.whole):
            kind = bool if isinstance(getattr(strategy, name), bool) else int
            setattr(strategy, name, kind(me.i_[j]))


MADE: dict[str, ModuleType] = {}


def translate(strategy: Any) -> Compiled:
    """Return the compiled form of a strategy whose `setup` has run."""
    translator = Translator(strategy)
    text = translator.module()
    digest = hashlib.sha256(text.encode()).hexdigest()[:20]
    folder = cache_folder() / "strategies"
    for counted in (False, True):
        path = folder / f"s_{digest}_{'counted' if counted else 'plain'}.py"
        if counted or not (folder / f"{path.stem}.refused").exists():
            break
    return Compiled(load(path, text, counted), translator.fields, translator.pieces, path)


def load(path: Path, text: str, counted: bool) -> ModuleType:
    """Write the module down once and import it under a name of its own."""
    if path.stem in MADE:
        return MADE[path.stem]
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        new = path.with_suffix(f".{os.getpid()}.new")
        new.write_text(text.replace("class Me(", f"NRT = {counted}\n\n\nclass Me(", 1), encoding="utf-8")
        os.replace(new, path)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    MADE[path.stem] = module
    return module


def explain(made: Compiled, error: Exception) -> StrategyError:
    """Turn numba's pages into one line: class, hook, file and line, and what it cannot do."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [int(m) for m in re.findall(re.escape(made.path.name) + r"[\"')]*,? ?(?:line |\()(\d+)", text)]
    source = made.path.read_text(encoding="utf-8").splitlines()
    for line in lines:
        for piece in made.pieces.values():
            top = source.index(f"# {piece.label}") + 3
            size = piece.text.count("\n") + 1
            if top <= line < top + size:
                return StrategyError(
                    f"{piece.label}, {piece.file}:{piece.line + line - top}: cannot be compiled: {reason(text)}; "
                    "change it, or leave @compiled away"
                )
    return StrategyError(f"{next(iter(made.pieces.values())).label}: cannot be compiled: {reason(text)}")


def reason(text: str) -> str:
    """Pick the sentence that says what is wrong."""
    skipped = ("Failed in", "During:", "File ", "There are", "- Of which", "Overload", "With argument", "Rejected", "raised from")
    for row in (r.strip() for r in text.splitlines()):
        if row and not row.startswith(skipped) and not row.startswith((">>>", "^")):
            return re.sub(r"\.? *Raised from .*", "", row).rstrip(".:")[:200]
    return "numba gives no reason"


def call(made: Compiled, address: int, me: Any, advance: Any) -> int:
    """Run compiled hooks until the engine returns; compile them first when this is the first call.

    Hooks that allocate are compiled a second time with reference counting, and that is remembered.
    """
    try:
        return int(made.module.run(address, me, advance))
    except Exception as error:  # numba's own errors have no common base
        if made.module.run.signatures:
            raise  # it was compiled: a hook raised this
        if made.module.NRT:
            raise explain(made, error) from error
    text = made.path.read_text(encoding="utf-8").replace("NRT = False\n\n\n", "", 1)
    path = made.path.with_name(made.path.name.replace("_plain", "_counted"))
    made.module = load(path, text, True)
    plain = made.path
    made.path = path
    me = made.module.Me(*me)
    code = call(made, address, me, advance)
    plain.with_suffix(".refused").touch()
    return code
