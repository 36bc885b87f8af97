"""From a strategy class to compiled code: its hooks' source, with `self` turned into plain arrays.

A module is written to the cache folder whose text holds everything the hooks use, so that its digest names
the compiled code and numba can keep it. Lines stay where they were, so that an error can be told by its line.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import os
import re
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from framework.engine import drive, drive_ticks
from framework.engine.rewrite import HOOK_NAMES, Rewriter, type_words
from framework.errors import StrategyError
from framework.jit import cache_folder

HEAD = """from __future__ import annotations
import math
from typing import NamedTuple
from framework.engine.DRIVER import *
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
                f"{type(strategy).__name__}.{name} is {type_words(value)}; compiled hooks hold numbers, "
                "bools and numpy arrays of them: change it, or leave @compiled away"
            )
    for names in (found.reals, found.whole, found.arrays):
        names.sort()
    return found


class Translator:
    """Collects the functions a strategy's hooks reach, and rewrites them."""

    def __init__(self, strategy: Any, ticks: bool) -> None:
        self.cls = type(strategy)
        self.driver = drive_ticks if ticks else drive
        self.without_book = not ticks
        self.fields = fields_of(strategy)
        self.pieces: dict[str, Piece] = {}
        self.names: dict[str, str] = {}  # global name -> line that defines it
        self.features = tuple(strategy.features)

    def module(self) -> str:
        """Return the text of the whole module."""
        hooks = [h for h in HOOK_NAMES if callable(getattr(self.cls, h, None))]
        for hook in hooks:
            self.method(hook)
        engine = Path(inspect.getsourcefile(self.driver) or "").read_text(encoding="utf-8")
        engine = engine[engine.index("# ---- per strategy") :]
        arrays = "".join(f"    {n}: object\n" for n in self.fields.arrays)
        me = f"class Me(NamedTuple):\n    f_: object\n    i_: object\n{arrays}\n"
        bodies = "\n".join(
            f"# {p.label}\n@kernel(store=False, nrt=NRT)\n{p.text}\n" for p in self.pieces.values()
        )
        idle = "".join(f"{h} = idle\n" for h in HOOK_NAMES if h not in hooks)
        run = "\n@kernel(nrt=NRT)\ndef run(address, me, advance):\n    return drive(address, me, advance)\n"
        engine = engine.replace("@kernel(store=False)", "@kernel(store=False, nrt=NRT)")
        head = HEAD.replace("DRIVER", self.driver.__name__.rpartition(".")[2])
        return head + "\n".join(self.names.values()) + f"\n{me}\n{bodies}\n{idle}\n{engine}\n{run}"

    def method(self, name: str) -> None:
        """Add a method of the strategy and everything it calls."""
        key = name if name in HOOK_NAMES else f"m_{name}"
        if key in self.pieces:
            return
        function = inspect.getattr_static(self.cls, name)
        if not isinstance(function, FunctionType):
            raise StrategyError(
                f"{self.cls.__name__}.{name} is a {type(function).__name__}; "
                "compiled hooks call plain methods"
            )
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


def translate(strategy: Any, ticks: bool = False) -> Compiled:
    """Return the compiled form of a strategy whose `setup` has run, for candles or for tick streams."""
    translator = Translator(strategy, ticks)
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
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        new = path.with_suffix(f".{os.getpid()}.new")
        new.write_text(text.replace("class Me(", f"NRT = {counted}\n\n\nclass Me(", 1), encoding="utf-8")
        os.replace(new, path)
    if path.stem in MADE:  # the name is a digest of the text: another cache folder's is the same module
        return MADE[path.stem]
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
                    f"{piece.label}, {piece.file}:{piece.line + line - top}: cannot be compiled: "
                    f"{reason(text)}; change it, or leave @compiled away"
                )
    first = next(iter(made.pieces.values()))  # numba names no line: somewhere from here on
    return StrategyError(f"{first.label}, {first.file}:{first.line}: cannot be compiled: {reason(text)}")


def reason(text: str) -> str:
    """Pick the sentence that says what is wrong."""
    skipped = (
        "Failed in",
        "During:",
        "File ",
        "There are",
        "- Resolution failure",
        "- Of which",
        "Overload",
        "With argument",
        "Rejected",
        "raised from",
    )
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
