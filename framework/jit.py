"""The only room that knows numba's inside: `kernel`, `twin`, and a disk cache that cannot be stale.

numba's own cache does not notice an edit in a callee's file, so everything compiled here lives in a folder
named by a digest of the framework's sources, numba's version and the interpreter's.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba import types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Flags, compile_extra

KERNEL_ROOMS = (
    "jit.py", "arena.py", "records.py", "indicators.py", "indicators", "engine",
    "data/parse.py", "data/parse_book.py", "data/parse_deals.py", "data/parse_ticker.py", "data/build.py",
    "data/views.py", "data/bars_kernel.py", "data/doctor_rows.py", "data/doctor_book.py",
    "data/doctor_against.py",
)  # fmt: skip


def cache_root() -> Path:
    """Return the folder for everything that may be thrown away: SHEEPFOLD_CACHE, else the user's cache.

    What lies there is run: numba's cache is pickles, and strategies are imported from it. So it is private
    to its owner (0700); one that others own or can write to is not used, nor believed after it was repaired.
    """
    given = os.environ.get("SHEEPFOLD_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return trusted(given or os.path.join(home, "sheepfold"))


@cache
def trusted(folder: str) -> Path:
    """Return a cache folder, private and checked; else a new one that is gone after this process."""
    root = Path(folder)
    try:
        for one in (root, root / "compiled", root / "compiled" / digest()):
            one.mkdir(mode=0o700, parents=True, exist_ok=True)
            make_private(one, follow=one is root)
        check_inside(root / "compiled" / digest())
        return root
    except OSError as error:
        why = error.strerror or str(error)
    fresh = tempfile.mkdtemp(prefix="sheepfold-")  # a name nobody can take before us
    atexit.register(remove_own, fresh, os.getpid())
    print(
        f"sheepfold: the cache {folder} is not used: {why}; compiling for this run only (set SHEEPFOLD_CACHE "
        "to a folder of your own, or remove that one)", file=sys.stderr,
    )  # fmt: skip
    return Path(fresh)


def make_private(folder: Path, follow: bool) -> None:
    """Take the rights of others to read a folder; OSError when they own it or could have written to it."""
    info = folder.stat() if follow else folder.lstat()
    if not stat.S_ISDIR(info.st_mode):
        raise NotADirectoryError(None, f"{folder} is a link or a file")
    check_owner(folder, info)
    mode = stat.S_IMODE(info.st_mode)
    if os.name == "posix" and mode & 0o022:
        raise PermissionError(None, f"others can write to {folder}")
    if os.name == "posix" and mode & 0o077:
        with contextlib.suppress(OSError):  # a read-only disk
            folder.chmod(0o700)


def check_owner(path: Path | str, info: os.stat_result) -> None:
    """Raise PermissionError for what belongs to somebody else."""
    if os.name == "posix" and info.st_uid != os.geteuid():
        raise PermissionError(None, f"{path} belongs to another user")


def check_inside(folder: Path) -> None:
    """Check the owners of all that lies in a folder: it may have been open to others once."""
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            with contextlib.suppress(FileNotFoundError):  # another process tidies up
                path = os.path.join(place, name)
                check_owner(path, os.lstat(path))


def remove_own(folder: str, pid: int) -> None:
    """Remove a temporary cache at the end of the process that made it, not of its forks."""
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)


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


def kernel(
    signature: Any = None, *, inline: bool = False, store: bool = True, nrt: bool = False
) -> Callable[..., Any]:
    """Compile a function that touches numpy arrays and scalars only.

    Parameters
    ----------
    signature
        numba signature (text or object) to compile eagerly. Without one the function is compiled into
        callers.
    inline
        Always inline into the caller: for one-line rules inside a hot loop.
    store
        Keep the compiled code on disk. Only useful together with calls from Python.
    nrt
        Reference counting. Off by default (numba's private `_nrt` option, works on 0.61-0.68): counting
        arrays that travel in a NamedTuple costs more than the work itself, and any allocation becomes a
        compile error.
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
            made = (
                numba.njit(signature, **options)(function) if signature else numba.njit(**options)(function)
            )
        if jit_enabled() and signature is None:
            plain_template(made)
            if not store:
                compile_into_callers(made)
        return made

    return compiled


def entry(signature: str, *, nogil: bool = False) -> Callable[..., Any]:
    """Compile a function for calls from Python: the bare entry point, half the cost of a dispatcher's.

    Arguments must be Python ints, floats and bools of exactly the signature's types. `nogil` lets other
    threads run meanwhile: for long calls, whose arrays nobody else touches.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        if not jit_enabled():
            return function
        with cached_here():
            made = numba.njit(signature, cache=True, _nrt=False, nogil=nogil, error_model="numpy")(function)
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


class PartLibrary(JITCodeLibrary):  # type: ignore[misc]
    """Code that runs only as part of its callers': optimised and turned into machine code with them, once.

    numba would do both for every kernel by itself as well, for nobody: half of the engine's compile time.
    """

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        return 0

    @property
    def codegen(self) -> Any:
        return self

    def set_env(self, name: str, env: Any) -> None:
        """No environment: kernels hold no Python objects."""


def compile_into_callers(made: Any) -> None:
    """Make a dispatcher's code part of its callers' (numba's internals, as of 0.61 to 0.68)."""
    compiler = made._compiler

    def compile_core(args: Any, return_type: Any) -> Any:
        flags = Flags()
        compiler.targetdescr.options.parse_as_flags(flags, compiler.targetoptions)
        context = compiler.targetdescr.target_context
        return compile_extra(
            compiler.targetdescr.typing_context, context, compiler.py_func, args=args,
            return_type=return_type, flags=flags, locals=compiler.locals,
            pipeline_class=compiler.pipeline_class,
            library=PartLibrary(context.codegen(), compiler.py_func.__qualname__),
        )  # fmt: skip

    compiler._compile_core = compile_core


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
