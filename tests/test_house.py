"""The house's rules that a machine can check: floors, circles, walls, sizes, words."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {  # floor: files and rooms on it; they import from their own room and from lower floors only
    1: "errors records",
    1.5: "metrics times symbols",  # of floor 1 in the plan, but they raise errors
    1.9: "jit",
    2: "arena instruments llm",
    3: "market market_bars market_book market_columns market_cover market_parts market_reel market_source "
    "market_streams market_tick_bars market_tick_parts market_ticks market_view strategy options replies "
    "indicators report",
    4: "engine data",
    5: "result result_diff result_store outcome execution tick_metrics order_case order_story questions "
    "script script_frame manifest plan run backtest deliver desk",
    6: "research testing",
    7: "samples cli cli_data cli_data_check cli_data_download cli_data_live cli_data_store cli_job cli_probe "
    "cli_run cli_show cli_strategy cli_sweep __main__ __init__",
}
FLOOR = {room: floor for floor, rooms in FLOORS.items() for room in rooms.split()}
SIBLINGS = (  # files of one floor that are one room
    {name for name in FLOOR if name.startswith("market")},
    set(FLOORS[5].split()),
    {name for name in FLOOR if name.startswith(("cli", "__"))} | {"samples"},
)
EXCEPTIONS = {  # (from, to) upwards, inside a function, and why
    ("manifest", "__init__"): "the version in a manifest",
    ("testing", "samples"): "the sample a class names, where no market is given",
}
BODY, FILE = 60, 350
KERNELS = (
    "framework/engine", "framework/indicators", "framework/jit.py", "framework/arena.py",
    "framework/data/parse", "framework/data/build", "framework/data/views", "framework/data/doctor_rows",
    "framework/data/doctor_book", "framework/data/doctor_against", "framework/data/bars_kernel",
)  # fmt: skip
SLOW = {"matplotlib", "pandas", "jinja2", "typer", "rich", "httpx", "diskcache", "pydantic", "websockets"}
WORDS = ("TO" + "DO", "FIX" + "ME")


def files(*folders: str) -> list[Path]:
    """Return the Python files of the project's folders."""
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


@cache
def tree(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def module(path: Path) -> str:
    """Return the dotted name of a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def is_typing(node: ast.AST) -> bool:
    """True for `if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(node: ast.AST, hints: bool = True) -> Iterator[str]:
    """Yield the dotted names a tree imports, those for type hints only where asked."""
    for child in ast.iter_child_nodes(node):
        if is_typing(child) and not hints:
            continue
        if isinstance(child, ast.Import):
            yield from (one.name for one in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from (f"{child.module}.{one.name}" for one in child.names)
        else:
            yield from imports(child, hints)


def home(dotted: str) -> str:
    """Return the room of a framework import."""
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOOR else "__init__"


def same_room(one: str, other: str) -> bool:
    """True for files that may import each other."""
    return one == other or any(one in room and other in room for room in SIBLINGS)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function of a file."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_every_file_has_a_floor() -> None:
    rooms = {path.relative_to(ROOT / "framework").parts[0].removesuffix(".py") for path in files("framework")}
    assert rooms <= FLOOR.keys(), f"say on which floor: {sorted(rooms - FLOOR.keys())}"


@pytest.mark.parametrize("path", files("framework"), ids=module)
def test_imports_only_from_lower_floors(path: Path) -> None:
    room = path.relative_to(ROOT / "framework").parts[0].removesuffix(".py")
    if room == "__init__":  # the names a researcher imports, each from its own floor, when first used
        return
    for dotted in imports(tree(path)):
        if dotted.split(".")[0] != "framework":
            continue
        other = home(dotted)
        fine = same_room(room, other) or FLOOR[other] < FLOOR[room] or (room, other) in EXCEPTIONS
        assert fine, f"{path.name} (floor {FLOOR[room]}) imports {dotted} (floor {FLOOR[other]})"


def test_no_circles() -> None:
    known = {module(path): path for path in files("framework")}
    graph = {
        name: {t for dotted in imports(tree(path), hints=False) if (t := target(dotted, known)) and t != name}
        for name, path in known.items()
        if name != "framework.__init__"
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def target(dotted: str, known: dict[str, Path]) -> str | None:
    """Return the module an import means: the name itself, or what it is taken from."""
    return dotted if dotted in known else parent if (parent := dotted.rpartition(".")[0]) in known else None


@pytest.mark.parametrize("path", files("framework", "strategies", "tests", "benchmarks"), ids=module)
def test_sizes_and_words(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n") + (not text.endswith("\n"))
    limit = 60 if path.parent.name == "strategies" else FILE
    assert lines <= limit, f"{path.name} has {lines} lines"
    for node in functions(path):
        first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
        length = (node.end_lineno or 0) - first.lineno + 1
        assert length <= BODY, f"{path.name}: the body of {node.name} has {length} lines"
    assert not [word for word in WORDS if word in text]
    for node in ast.walk(tree(path)):
        called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        assert called not in ("eval", "exec"), f"{path.name}:{getattr(node, 'lineno', 0)}: {called}"


def test_walls() -> None:
    for path in files("framework"):
        name = path.relative_to(ROOT).as_posix()
        used = {dotted.split(".")[0] for dotted in imports(tree(path), hints=False)}
        assert path.name != "utils.py"
        assert not used & {"pickle", "marshal", "shelve", "requests"}, name
        if name.startswith(KERNELS):
            assert not used & {"pandas", "polars", "datetime", "httpx"}, name
        if used & {"httpx", "socket", "urllib.request"}:
            assert name.startswith(("framework/data/", "framework/llm/")), name
        if "asyncio" in used:
            assert name.startswith(("framework/llm/", "framework/data/", "framework/live/")), name
        extends = any(dotted.startswith("numba.extending") for dotted in imports(tree(path)))
        assert not extends or name in ("framework/jit.py", "framework/arena.py"), name


def test_a_backtest_loads_nothing_it_does_not_use() -> None:
    code = (
        "import sys\nfrom framework import backtest, Strategy, Market\n"
        f"print(sorted({SLOW!r} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_top_level() -> None:
    wanted = {"pyproject.toml", "README.md", "LICENSE", "constraints.txt"}
    folders = {"framework", "strategies", "tests", "benchmarks", "results"}
    shown = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert wanted | folders <= shown
    odd = shown - wanted - folders
    assert not [name for name in odd if not name.endswith((".egg-info", "__pycache__"))], odd
