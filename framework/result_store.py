"""A result's folder: written whole or not at all, read back to the bit or refused.

Files: manifest.json (with the sha256 of the others and of itself), metrics.json, the five tables as .parquet
and .csv, price.parquet, cassette.jsonl.gz when there is one (with its plain text's sha256 in the manifest);
report.html and report.png when asked for and the strategy's source when a command ran it, none of which has
its sha256 in the list: the page can be written again, the source has its own in the manifest.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import io
import json
import math
import os
import platform
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from framework.errors import ConfigError, DataError, ResultError

FORMAT = 1
TABLES = ("orders", "fills", "trades", "equity", "decisions")
FRAMES = (*TABLES, "price")
OWN_FILES = {
    "manifest.json", "metrics.json", "cassette.jsonl.gz", "cassette.jsonl", "report.html", "report.png",
    *(f"{name}.parquet" for name in FRAMES), *(f"{name}.csv" for name in TABLES),
}  # fmt: skip

PART = re.compile(r"\.report\.(html|png)\.\d+")  # half a page of a killed `report`


def plain(value: Any) -> Any:
    """Return `value` as JSON has it: NaN and infinity null, tuples lists, numpy numbers, the rest text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=repr)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)


def undefined(value: Any) -> Any:
    """Return what JSON has kept of figures with null read back as NaN."""
    if isinstance(value, Mapping):
        return {name: undefined(item) for name, item in value.items()}
    if isinstance(value, list):
        return [undefined(item) for item in value]
    return math.nan if value is None else value


def to_json(value: Any) -> str:
    """Return readable ASCII JSON, the same text for the same value."""
    return json.dumps(plain(value), indent=2, allow_nan=False) + "\n"


def digest(value: Any) -> str:
    """Return the sha256 of a JSON value in canonical form."""
    text = json.dumps(plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def neutral(frame: pl.DataFrame) -> pl.DataFrame:
    """Return `frame` with an apostrophe before text a spreadsheet would run: leading = + - @, tab, CR, LF."""
    text = [name for name, kind in frame.schema.items() if kind == pl.String]
    risky = r"^\s*[=+\-@＝＋－＠]|^[\t\r\n]"  # full-width forms run as well
    return frame.with_columns(
        pl.when(pl.col(name).str.contains(risky)).then("'" + pl.col(name)).otherwise(pl.col(name)).alias(name)
        for name in text
    )


def write_files(
    folder: Path,
    doc: Mapping[str, Any],
    metrics: Mapping[str, Any],
    frames: Mapping[str, pl.DataFrame],
    cassette: bytes,
) -> None:
    """Write tables, metrics, cassette and, last, manifest.json into an existing folder."""
    for name, frame in frames.items():
        frame.write_parquet(folder / f"{name}.parquet", statistics=False)
        if name in TABLES:
            neutral(frame).write_csv(folder / f"{name}.csv")
    (folder / "metrics.json").write_text(to_json(metrics), encoding="utf-8")
    body = {"format": FORMAT, **plain(doc)}
    if cassette:
        from framework.llm.cassette import identity
        from framework.llm.cassette_file import compress

        body["cassette"] = identity(cassette)
        (folder / "cassette.jsonl.gz").write_bytes(compress(cassette))
    kept = sorted(path for path in folder.iterdir() if path.suffix in (".parquet", ".csv", ".json", ".gz"))
    body["files"] = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}
    (folder / "manifest.json").write_text(to_json({**body, "sha256": digest(body)}), encoding="utf-8")


def publish(folder: Path, fingerprint: str, fill: Callable[[Path], None], command: Any = None) -> None:
    """Let `fill` write into a new folder beside `folder`, then put it in place in one step.

    An existing result of the same fingerprint is replaced (files that are not ours move along), and so is an
    incomplete one of the same command; an empty folder is taken. Anything else is refused with ConfigError. A
    full disk leaves nothing: ResultError.
    """
    try:
        with contextlib.suppress(OSError):  # not ours to list or to change, or not there yet
            clear_dead(folder.parent)
        _refuse_foreign(folder, fingerprint, command)
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = _new_folder(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        fill(fresh)
        if folder.exists():
            _take_along(folder, fresh)
        _swap(fresh, folder)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unwritable(folder, error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _unwritable(folder: Path, error: Exception) -> ResultError:
    reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
    return ResultError(f"{folder}: cannot write the result ({reason}); nothing was changed there")


def _refuse_foreign(folder: Path, fingerprint: str, command: Any) -> None:
    if folder.is_file():
        raise ConfigError(f"{folder}: is a file; name a folder for the result")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    try:
        old = read_manifest(folder)
    except ResultError as error:
        raise ConfigError(
            f"{folder}: holds other files ({error}); name a new folder or empty this one"
        ) from error
    found, theirs = old["fingerprint"], old["manifest"].get("command")
    is_same = command is not None and asked_for(plain(command)) == asked_for(theirs)
    if found != fingerprint and not (is_same and old["status"] == "incomplete"):
        raise ConfigError(
            f"{folder}: holds another result ({found[:8]}, not {fingerprint[:8]}); name a new folder"
        )


def asked_for(command: Any) -> Any:
    """Return what of a saved command decides its result: all but whether answers were to be recorded."""
    return {k: v for k, v in command.items() if k not in ("record", "refresh")} if command else command


def _host() -> str:
    """Return 8 hex digits for this machine and, in a container, its own numbering of processes."""
    try:
        numbering = os.readlink("/proc/self/ns/pid")
    except OSError:
        numbering = ""
    return hashlib.sha256(f"{platform.node()} {numbering}".encode()).hexdigest()[:8]


def _new_folder(folder: Path) -> Path:
    """Make an empty folder beside `folder` under a name nobody has: `.NAME.HOST-PID-N`."""
    for n in range(10_000):
        fresh = folder.parent / f".{folder.name}.{_host()}-{os.getpid()}-{n}"
        try:
            fresh.mkdir()
        except FileExistsError:
            continue
        return fresh
    raise OSError(17, "no free temporary name")


def clear_dead(place: Path) -> None:
    """Remove what killed processes of this machine left in `place` while they wrote a result there.

    Only folders named as `_new_folder` names them, of processes that are gone. Where one died between the two
    renames of a system that cannot swap, the result it had moved aside is put back under its name.
    """
    form = re.compile(rf"\.(.+)\.{_host()}-(\d{{1,10}})-\d{{1,4}}(-old)?")
    for path in sorted(place.iterdir()):
        known = form.fullmatch(path.name)
        if known is None or path.is_symlink() or not path.is_dir() or _is_alive(int(known[2])):
            continue
        if known[3] and not (place / known[1]).exists():
            path.rename(place / known[1])
        else:
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    """True unless the process is known to be gone."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _take_along(old: Path, fresh: Path) -> None:
    """Copy what the user put into the old folder; the fresh one's own files stay."""
    for path in old.iterdir():
        if path.name in OWN_FILES or PART.fullmatch(path.name) or (fresh / path.name).exists():
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, fresh / path.name, symlinks=True)
        else:
            shutil.copy2(path, fresh / path.name, follow_symlinks=False)


def _swap(fresh: Path, folder: Path) -> None:
    """Put `fresh` at `folder`; the old one, if any, ends at `fresh`. One step where the system has it."""
    try:
        fresh.rename(folder)  # free name or empty folder
    except OSError:
        if not folder.is_dir():
            raise
        if not _exchange(fresh, folder):
            aside = fresh.with_name(fresh.name + "-old")
            folder.rename(aside)
            fresh.rename(folder)
            aside.rename(fresh)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names with Linux renameat2(RENAME_EXCHANGE); False where there is no such call."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return bool(call(-100, os.fsencode(one), -100, os.fsencode(other), 2) == 0)


def _bytes(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError as error:
        raise ResultError(
            f"{folder / name}: is missing; the result is incomplete, run the backtest again"
        ) from error
    except OSError as error:
        raise ResultError(f"{folder / name}: cannot be read ({error.strerror})") from error


def _check_copies(folder: Path, files: Mapping[str, str]) -> None:
    """Refuse a changed or missing .csv; called when the .parquet it is a copy of is known to be whole."""
    for name, expected in files.items():
        if not name.endswith(".csv"):
            continue
        try:
            why = "" if hashlib.sha256(_bytes(folder, name)).hexdigest() == expected else "damaged or altered"
        except ResultError:
            why = "missing or cannot be read"
        if why:
            whole = name.removesuffix(".csv") + ".parquet"
            raise ResultError(
                f"{folder / name}: is {why}; {whole} is intact; run the backtest again to write both"
            )


def _altered(folder: Path, name: str, why: str) -> ResultError:
    return ResultError(f"{folder / name}: is damaged or altered ({why}); run the backtest again")


def _document(folder: Path, name: str, data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _altered(folder, name, "not JSON") from error
    if not isinstance(found, dict):
        raise _altered(folder, name, "not a JSON object")
    return found


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return manifest.json after checking its own sha256; ResultError names what is wrong."""
    if not folder.is_dir():
        raise ResultError(f"{folder}: no such result folder")
    doc = _document(folder, "manifest.json", _bytes(folder, "manifest.json"))
    body = {key: value for key, value in doc.items() if key != "sha256"}
    if doc.get("sha256") != digest(body) or not isinstance(body.get("files"), dict):
        raise _altered(folder, "manifest.json", "its sha256 does not match")
    if body.get("format") != FORMAT:
        raise ResultError(
            f"{folder / 'manifest.json'}: format {body.get('format')}, this version reads {FORMAT}"
        )
    return body


def read_files(folder: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, pl.DataFrame], bytes]:
    """Return (manifest, metrics, frames, cassette) of a folder, every file checked against its sha256."""
    doc = read_manifest(folder)
    files: dict[str, str] = doc["files"]
    needed = {"metrics.json", *(f"{name}.parquet" for name in FRAMES)}
    if not needed <= files.keys() <= OWN_FILES:
        raise _altered(folder, "manifest.json", "its list of files")
    contents = {}
    for name, expected in files.items():
        if name.endswith(".csv"):
            continue
        contents[name] = _bytes(folder, name)
        if hashlib.sha256(contents[name]).hexdigest() != expected:
            raise _altered(folder, name, "its sha256 differs from manifest.json")
    metrics = _document(folder, "metrics.json", contents["metrics.json"])
    frames = {name: _frame(folder, f"{name}.parquet", contents[f"{name}.parquet"]) for name in FRAMES}
    _check_copies(folder, files)
    return doc, metrics, frames, _cassette(folder, doc, contents)


def _cassette(folder: Path, doc: Mapping[str, Any], contents: Mapping[str, bytes]) -> bytes:
    """Return the plain cassette; folders of earlier versions have it uncompressed."""
    if (packed := contents.get("cassette.jsonl.gz")) is None:
        return contents.get("cassette.jsonl", b"")
    from framework.llm.cassette import identity
    from framework.llm.cassette_file import expand

    about = doc.get("cassette")
    size = about.get("bytes") if isinstance(about, dict) else None
    if type(size) is not int or size < 0:
        raise _altered(folder, "manifest.json", "it does not say how long the cassette is")
    try:
        text = expand(packed, size, "cassette")
    except DataError as error:
        raise _altered(folder, "cassette.jsonl.gz", str(error)) from None
    if identity(text) != about:
        raise _altered(folder, "cassette.jsonl.gz", "not the cassette of manifest.json")
    return text


def _frame(folder: Path, name: str, data: bytes) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise _altered(folder, name, "not a Parquet table") from error
