"""Files and folders of Tardis files into the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.data.schema import TickFile, as_list, check_path, described, from_folder
from framework.data.store_group import add_group
from framework.data.store_import import Added, add_file
from framework.errors import ConfigError
from framework.instruments import Instrument

if TYPE_CHECKING:
    from framework.data.store import Store

GROUPED = ("PERPETUALS", "FUTURES", "OPTIONS", "SPOT")  # names of files that hold many symbols


def add_csv(store: Store, files: Any, replace: bool, instrument: Instrument | str | None) -> list[Added]:
    """See `Store.add_csv`."""
    store.prepare()
    found: list[TickFile] = []
    for path in as_list(files):
        if isinstance(path, str | Path) and Path(path).is_dir():
            found += files_below(Path(path))
        else:
            found.append(described(check_path(path)))
    added = []
    for file in found:
        if file.instrument is not None and file.instrument[1] in GROUPED:
            added += add_group(store, file, replace, instrument)
        else:
            added.append(add_file(store, file, replace, instrument))
    return added


def files_below(folder: Path) -> list[TickFile]:
    """Return the tick files below a folder, of any instrument."""
    names = sorted(p for p in folder.rglob("*") if p.name.endswith((".csv", ".csv.gz")) and p.is_file())
    found = []
    for path in names:
        try:
            found.append(described(path))
        except ConfigError:
            continue
    if not found:
        from_folder(folder, None, None)  # says what names look like
    return found


__all__ = ["add_csv", "files_below"]
