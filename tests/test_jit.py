"""What the engine relies on numba for, told here when one changes: no reference counts, no code for parts."""

from __future__ import annotations

import ast
from pathlib import Path

import numba
import numpy as np
import pytest

from framework import jit
from framework.engine import replay
from framework.engine.ledger import equity_of

ENGINE = Path(jit.__file__).parent / "engine"
needs_jit = pytest.mark.skipif(not jit.jit_enabled(), reason="NUMBA_DISABLE_JIT is set: nothing is compiled")


@needs_jit
def test_kernels_cannot_allocate() -> None:
    """`_nrt=False` still turns reference counting off: an allocation is an error, not a slow kernel."""

    @jit.kernel(store=False)
    def allocates(n):
        return np.zeros(n)[0]

    @numba.njit
    def caller(n):
        return allocates(n)

    with pytest.raises(numba.core.errors.NumbaError, match=r"(?i)nrt|allocat|runtime"):
        caller(3)


@needs_jit
def test_parts_are_compiled_with_their_callers_only() -> None:
    jit.native(replay.advance_at)

    @numba.njit(nogil=True)
    def doubled(x):
        return twice(x)

    @jit.kernel(store=False)
    def twice(x):
        return 2 * x

    assert doubled(21) == 42
    for made in (twice, equity_of):
        for compiled in made.overloads.values():
            assert isinstance(compiled.library, jit.PartLibrary)
            assert compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name) == 0


def test_kernels_return_codes() -> None:
    """An exception in a function called by its address is swallowed, so kernels raise none."""
    seen = 0
    for path in sorted(ENGINE.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            names = {one.func.id for one in node.decorator_list if isinstance(one, ast.Call)
                     and isinstance(one.func, ast.Name)}  # fmt: skip
            if names & {"kernel", "entry"} or node.name == "advance_at":
                seen += 1
                raises = [one.lineno for one in ast.walk(node) if isinstance(one, ast.Raise | ast.Assert)]
                assert not raises, f"{path.name}:{raises}: {node.name} is a kernel and raises"
    assert seen > 100
