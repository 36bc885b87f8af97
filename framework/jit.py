"""The only room that knows numba's inside: `kernel`, `twin`, and a disk cache that cannot be stale.

numba's own cache does not notice an edit in a callee's file, so everything compiled here lives in a folder
named by a digest of the framework's sources, numba's version and the interpreter's.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import operator
import os
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import types
from llvmlite import ir
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature
from numba.extending import (
    intrinsic,
    lower_builtin,
    lower_getattr_generic,
    models,
    overload_attribute,
    overload_method,
    register_model,
)

KERNEL_ROOMS = ("jit.py", "records.py", "indicators.py", "indicators", "engine")


def cache_root() -> Path:
    """Return the folder for everything that may be thrown away: SHEEPFOLD_CACHE, else the user's cache."""
    given = os.environ.get("SHEEPFOLD_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    root = Path(given) if given else Path(home) / "sheepfold"
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError:
        root = Path(tempfile.gettempdir()) / f"sheepfold-{os.getuid() if hasattr(os, 'getuid') else 0}"
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return root


@cache
def digest() -> str:
    """Return 16 hex digits that change with any kernel source, numba's version or the interpreter's."""
    h = hashlib.sha256(f"{sys.version_info[:3]} {numba.__version__} {sys.byteorder}".encode())
    here = Path(__file__).parent
    for room in KERNEL_ROOMS:
        path = here / room
        files = sorted(path.glob("*.py")) if path.is_dir() else [path] if path.exists() else []
        for file in files:
            h.update(file.name.encode())
            h.update(file.read_bytes())
    return h.hexdigest()[:16]


def cache_folder() -> Path:
    """Return the folder of compiled code for exactly these sources."""
    return cache_root() / "compiled" / digest()


def is_cold() -> bool:
    """True when nothing has been compiled for these sources on this machine yet."""
    return jit_enabled() and not (cache_folder() / "ready").exists()


def mark_warm() -> None:
    """Remember that the engine's kernels are compiled and stored."""
    with contextlib.suppress(OSError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        (cache_folder() / "ready").touch()


def jit_enabled() -> bool:
    """False under NUMBA_DISABLE_JIT=1: every kernel is then the plain Python function it is written as."""
    return not numba.config.DISABLE_JIT


@contextlib.contextmanager
def cached_here() -> Iterator[None]:
    """Point numba's cache at our folder while a function is being decorated, and only then."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache_folder())
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


def kernel(signature: Any = None, *, inline: bool = False, store: bool = True, nrt: bool = False) -> Callable[..., Any]:
    """Compile a function that touches numpy arrays and scalars only.

    Parameters
    ----------
    signature
        numba signature (text or object) to compile eagerly. Without one the function is compiled into callers.
    inline
        Always inline into the caller: for one-line rules inside a hot loop.
    store
        Keep the compiled code on disk. Only useful together with calls from Python.
    nrt
        Reference counting. Off by default (numba's private `_nrt` option, works on 0.61-0.68): counting arrays that
        travel in a NamedTuple costs more than the work itself, and any allocation becomes a compile error.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": nrt}
        if inline:
            options["forceinline"] = True
        if store:
            options["cache"] = True
        elif signature is None:
            options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # nobody calls it from Python
        with cached_here():
            made = numba.njit(signature, **options)(function) if signature else numba.njit(**options)(function)
        if jit_enabled() and signature is None:
            plain_template(made)
        return made

    return compiled


def entry(signature: str) -> Callable[..., Any]:
    """Compile a function for calls from Python: the bare entry point, at half the cost of a dispatcher's call.

    Arguments must be Python ints, floats and bools of exactly the signature's types.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        if not jit_enabled():
            return function
        with cached_here():
            made = numba.njit(signature, cache=True, _nrt=False, error_model="numpy")(function)
        point = next(iter(made.overloads.values())).entry_point
        point_kept[id(point)] = made
        return point

    return compiled


point_kept: dict[int, Any] = {}  # an entry point does not keep its code alive


def plain_template(made: Any) -> None:
    """Compile for int64 and bool arguments, not once more for every literal 0, 1 or True a caller passes."""
    template = made.get_call_template

    def unliteral(args: Any, kws: Any) -> Any:
        return template(
            tuple(types.unliteral(a) for a in args), {k: types.unliteral(v) for k, v in dict(kws).items()}
        )

    made.get_call_template = unliteral


class TableType(types.Type):  # type: ignore[misc]
    """An array seen as the address of its first row: no shape, no bounds, no reference count."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Table({dtype})")


class ArenaType(types.Type):  # type: ignore[misc]
    """A NamedTuple of arrays seen as one address: a table of the addresses of its arrays."""

    def __init__(self, cls: type, dtypes: tuple[Any, ...]) -> None:
        self.fields: dict[str, TableType] = {
            name: TableType(numba.from_dtype(np.dtype(dtype)))
            for name, dtype in zip(cls._fields, dtypes, strict=True)  # type: ignore[attr-defined]
        }
        super().__init__(name=f"Arena({cls.__name__})")


class FacadeType(types.NamedTuple):  # type: ignore[misc]
    """numba's type of a NamedTuple that has methods of its own (see `facade`)."""


register_model(TableType)(models.OpaqueModel)
register_model(ArenaType)(models.OpaqueModel)


@infer_getattr
class _ArenaFields(AttributeTemplate):  # type: ignore[misc]
    key = ArenaType

    def generic_resolve(self, arena: Any, name: str) -> Any:
        return arena.fields.get(name)


@lower_getattr_generic(ArenaType)  # type: ignore[untyped-decorator]
def _arena_field(context: Any, builder: Any, arena: Any, value: Any, name: str) -> Any:
    pointer_type = context.get_value_type(types.voidptr)
    slots = builder.bitcast(value, pointer_type.as_pointer())
    slot = builder.gep(slots, [ir.Constant(ir.IntType(64), list(arena.fields).index(name))])
    return builder.load(slot)


@infer_global(operator.getitem)
class _TableGet(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        table, index = args
        if isinstance(table, TableType) and isinstance(index, types.Integer):
            return signature(table.dtype, table, types.int64)
        return None


@infer_global(operator.setitem)
class _TableSet(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        table, index, _ = args
        if isinstance(table, TableType) and isinstance(index, types.Integer):
            return signature(types.none, table, types.int64, table.dtype)
        return None


def _row(context: Any, builder: Any, table: Any, pointer: Any, index: Any) -> Any:
    size = context.get_abi_sizeof(context.get_data_type(table.dtype))
    raw = builder.bitcast(pointer, ir.IntType(8).as_pointer())
    return builder.gep(raw, [builder.mul(index, ir.Constant(ir.IntType(64), size))])


@lower_builtin(operator.getitem, TableType, types.int64)  # type: ignore[untyped-decorator]
def _table_get(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    table = sig.args[0]
    row = _row(context, builder, table, *args)
    if isinstance(table.dtype, types.Record):
        return builder.bitcast(row, context.get_value_type(table.dtype))
    data = builder.bitcast(row, context.get_data_type(table.dtype).as_pointer())
    return context.unpack_value(builder, table.dtype, data)


@lower_builtin(operator.setitem, TableType, types.int64, types.Any)  # type: ignore[untyped-decorator]
def _table_set(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    table = sig.args[0]
    row = _row(context, builder, table, args[0], args[1])
    if isinstance(table.dtype, types.Record):
        size = context.get_abi_sizeof(context.get_data_type(table.dtype))
        cgutils.raw_memcpy(builder, row, args[2], ir.Constant(ir.IntType(64), size), 1)
    else:
        data = builder.bitcast(row, context.get_data_type(table.dtype).as_pointer())
        context.pack_value(builder, table.dtype, args[2], data)
    return context.get_dummy_value()


ARENAS: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


class _Held:
    """A NamedTuple cannot be referred to weakly; this can."""

    def __init__(self, arrays: Any) -> None:
        self.arrays = arrays


def register(address: int, arrays: Any) -> tuple[int, Any]:
    """Remember which arrays stand behind an address, for runs without a compiler. Keep the second item alive."""
    held = _Held(arrays)
    if not jit_enabled():
        ARENAS[address] = held
    return address, held


def arena(cls: type, dtypes: tuple[Any, ...]) -> Callable[..., Any]:
    """Return `at(address)`: the compiled view of a NamedTuple of arrays whose addresses stand at `address`."""
    if not jit_enabled():
        return lambda address: ARENAS[address].arrays
    own = ArenaType(cls, dtypes)

    @intrinsic  # type: ignore[untyped-decorator]
    def at(typing: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

        return own(types.int64), codegen

    at.arena_type = own
    return at  # type: ignore[no-any-return]


@intrinsic  # type: ignore[untyped-decorator]
def call_compiled(typing: Any, function: Any, argument: Any) -> Any:
    """Call a compiled `int64(int64)` function by its address: what it calls is not compiled again."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        long = ir.IntType(64)
        pointer = builder.inttoptr(args[0], ir.FunctionType(long, [long]).as_pointer())
        return builder.call(pointer, [args[1]])

    return types.int64(types.int64, types.int64), codegen


def call_plain(function: Callable[[int], int], argument: int) -> int:
    """`call_at` without a compiler."""
    return function(argument)


call_at = call_compiled if jit_enabled() else call_plain


FACADES: dict[type, type[FacadeType]] = {}


def facade(cls: type) -> Callable[..., Any]:
    """Give a NamedTuple class (first field an arena, second an index) its own numba type; return its constructor.

    A type of its own keeps its methods from being looked up on every other NamedTuple.
    """
    if not jit_enabled():
        return cls
    own: type[FacadeType] = type(f"{cls.__name__}Type", (FacadeType,), {})
    FACADES[cls] = own
    register_model(own)(models.TupleModel)

    @intrinsic  # type: ignore[untyped-decorator]
    def build(typing: Any, first: Any, second: Any) -> Any:
        result = own([first, types.int64], cls)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return context.make_tuple(builder, result, args)

        return result(first, types.int64), codegen

    return build  # type: ignore[no-any-return]


def native(function: Callable[..., Any]) -> Any:
    """Compile `int64 -> int64` to a C function kept on disk; return its address for `call_at`."""
    if not jit_enabled():
        return function
    if function not in natives:
        with cached_here():
            natives[function] = numba.cfunc(
                "int64(int64)", cache=True, nopython=True, error_model="numpy", _nrt=False
            )(function)
    return int(natives[function].address)


natives: dict[Callable[..., Any], Any] = {}


def twin(cls: type, name: str, function: Callable[..., Any], *, is_property: bool = False) -> None:
    """Offer `function` as a method (or property) of the facade `cls`, in Python and in compiled code.

    The same source runs in both worlds. `function` takes the tuple as its first argument, named `broker`.
    """
    setattr(cls, name, property(function) if is_property else function)
    if not jit_enabled():
        return
    if is_property:
        overload_attribute(FACADES[cls], name, inline="always", strict=False)(lambda broker: function)
    else:

        def typing(*args: Any, **kwargs: Any) -> Any:
            return function

        typing.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        overload_method(FACADES[cls], name, strict=False)(typing)
