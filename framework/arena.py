"""Arrays for kernels without numpy's weight: a run passed as one address, with methods where it needs them.

Beside `jit` the only room that imports numba's extension points. A NamedTuple of arrays costs hundreds of
arguments a call and reference counts; here it is one pointer to a table of addresses, and a row is a pointer
into its array.
"""

from __future__ import annotations

import inspect
import operator
import weakref
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import (
    AbstractTemplate,
    AttributeTemplate,
    infer_getattr,
    infer_global,
    signature,
)
from numba.extending import (
    intrinsic,
    lower_builtin,
    lower_getattr_generic,
    models,
    overload_attribute,
    overload_method,
    register_model,
)

from framework.jit import jit_enabled


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
    """Remember which arrays stand behind an address, for runs without a compiler. Keep the second item alive.
    """
    held = _Held(arrays)
    if not jit_enabled():
        ARENAS[address] = held
    return address, held


def arena(cls: type, dtypes: tuple[Any, ...]) -> Callable[..., Any]:
    """Return `at(address)`: the compiled view of a NamedTuple of arrays whose addresses stand at `address`.
    """
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
    """Give a NamedTuple class (an arena first, then an index) its own numba type; return its constructor.

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


def twin(cls: type, name: str, function: Callable[..., Any], *, is_property: bool = False) -> None:
    """Offer `function` as a method (or property) of the facade `cls`, in Python and in compiled code.

    The same source runs in both worlds. `function` takes the tuple as its first argument.
    """
    setattr(cls, name, property(function) if is_property else function)
    if not jit_enabled():
        return

    def typing(*args: Any, **kwargs: Any) -> Any:
        return function

    typing.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    if is_property:
        overload_attribute(FACADES[cls], name, inline="always", strict=False)(typing)
    else:
        overload_method(FACADES[cls], name, strict=False)(typing)
