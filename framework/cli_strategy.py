"""A strategy file to its class: FILE or FILE:Class, loaded from its path."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from framework.errors import FrameworkError, StrategyError, near

if TYPE_CHECKING:
    from framework.strategy import Strategy


def split_target(text: str) -> tuple[Path, str | None]:
    """Split `FILE[:Class]`; the part after the last colon is a class only when it is a name.

    Raises
    ------
    StrategyError
        No such file, with near names of its folder.
    """
    head, colon, tail = text.rpartition(":")
    if colon and head and tail.isidentifier() and not Path(text).exists():
        file, name = Path(head), tail
    else:
        file, name = Path(text), None
    if file.is_file():
        return file, name
    if file.is_dir():
        raise StrategyError(f"{file}: is a folder; name a strategy file in it")
    if not file.parent.is_dir():
        raise StrategyError(f"{file}: there is no folder {file.parent}; check the path")
    others = sorted(str(path) for path in file.parent.glob("*.py"))
    raise StrategyError(
        f"{file}: there is no such file; {near(str(file), others[:20]) if others else 'check the path'}"
    )


def load_strategy(text: str, also: Path | None = None) -> type[Strategy]:
    """Return the strategy class of `FILE[:Class]`.

    Parameters
    ----------
    text
        Path of a Python file, with `:Class` where it defines several strategies.
    also
        A further folder to import from, behind the file's own.

    Raises
    ------
    StrategyError
        No such file or class, several classes and none named, or it does not import: names file and line.
    """
    file, name = split_target(text)
    module = load_module(file, also)
    return choose(module, file, name)


def load_module(file: Path, also: Path | None = None) -> ModuleType:
    """Import a file under a name of its own, its folder first on the path."""
    path = file.resolve()
    for folder in (also, path.parent):
        if folder is not None and str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    label = f"strategy_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(label, path)
    if spec is None or spec.loader is None:
        raise StrategyError(f"{file}: is no Python file; a strategy file ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[label] = module
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a file that ends the program is no strategy file
        del sys.modules[label]
        raise broken(file, path, error) from error
    return module


def broken(file: Path, path: Path, error: BaseException) -> FrameworkError:
    """Return why a file does not import as one line with the file and the line of the error."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    where = f"{file}:{lines[-1]}" if lines else str(file)
    if isinstance(error, FrameworkError):
        return type(error)(f"{where}: {error}")
    if isinstance(error, SyntaxError):
        if error.filename in (str(path), None) or not lines:
            where = f"{file}:{error.lineno}" if error.lineno else str(file)
        return StrategyError(f"{where}: {type(error).__name__}: {error.msg}")
    words = " ".join(str(error).split())
    return StrategyError(f"{where}: {type(error).__name__}" + (f": {words}" if words else ""))


def choose(module: ModuleType, file: Path, name: str | None) -> type[Strategy]:
    """Return the strategy class of a module that was named, or the only one."""
    from framework.strategy import Strategy

    found = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Strategy) and value.__module__ == module.__name__
    }
    if name is not None:
        if name not in found:
            raise StrategyError(f"{file}: holds no strategy '{name}': {near(name, found)}")
        return found[name]
    if not found:
        raise StrategyError(f"{file}: holds no Strategy class; write `class Mine(Strategy): ...` in it")
    if len(found) > 1:
        raise StrategyError(f"{file}: holds {', '.join(found)}; say which: {file}:{next(reversed(found))}")
    return next(iter(found.values()))
