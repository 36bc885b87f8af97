"""Single flight: of all threads and processes that use one store, exactly one asks a question.

In the process a table of what is held; across processes one byte of a lock file per question. The operating
system releases the byte when its holder dies, however it dies, so nobody waits for the dead.
"""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path
from typing import Any

from framework.errors import ConfigError

try:
    import fcntl
except ImportError:  # Windows: single flight inside the process only
    fcntl = None  # type: ignore[assignment]

NAME = "flight.lock"
_DIGITS = 15  # hex digits of a key that choose its byte; two keys that share one only wait for each other


class Flight:
    """Who asks what, for one store.

    Parameters
    ----------
    folder : of the store; None = a store without a folder, shared by nobody but this process
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file = None if folder is None or fcntl is None else folder / NAME
        self._held: set[int] = set()
        self._handle = -1  # open while something is held: closing it would drop every lock of the process
        self._changed = threading.Condition()

    def take(self, key: str) -> bool:
        """Hold a key; False when somebody else does.

        Raises
        ------
        ConfigError
            The folder's file system has no locks, or the lock file cannot be made.
        """
        place = int(key[:_DIGITS], 16)
        with self._changed:
            if place in self._held or not self._lock(place):
                return False
            self._held.add(place)
            return True

    def give(self, key: str) -> None:
        """Let a held key go; its answer is stored by now, or there is none."""
        place = int(key[:_DIGITS], 16)
        with self._changed:
            if place not in self._held:
                return
            self._held.discard(place)
            if self._handle >= 0:
                fcntl.lockf(self._handle, fcntl.LOCK_UN, 1, place)
                self._close()
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait until a key is let go in this process, at most so long."""
        with self._changed:
            self._changed.wait(seconds)

    def _lock(self, place: int) -> bool:
        if self._file is None:
            return True
        try:
            if self._handle < 0:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                self._handle = os.open(self._file, flags, 0o600)
            fcntl.lockf(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError) as error:
            self._close()
            if self._handle < 0 and not self._file.exists():
                raise ConfigError(f"{self._file}: {error.strerror}; use a store you may write to") from None
            return False
        except OSError as error:
            self._close()
            raise ConfigError(
                f"{self._file}: {error.strerror}; keep the store (SHEEPFOLD_CACHE) on a disk with file locks"
            ) from None
        return True

    def _close(self) -> None:
        if not self._held and self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


_of_folder: dict[Path, Flight] = {}
_of_object: weakref.WeakKeyDictionary[Any, Flight] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def flight_of(shelf: Any) -> Flight:
    """Return the one flight of a store: by its folder, else of that object. Ask for it anew after a fork."""
    folder = getattr(shelf, "folder", None)
    with _lock:
        if isinstance(folder, Path):
            return _of_folder.setdefault(folder.resolve(), Flight(folder.resolve()))
        try:
            return _of_object.setdefault(shelf, Flight())
        except TypeError:  # it cannot be a key of a dictionary
            return Flight()


def _forget() -> None:
    """Start empty in a forked child: what the parent holds is held by another process now."""
    global _lock
    _lock = threading.Lock()
    _of_folder.clear()
    _of_object.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
