"""Fetching many files: the order, the attempts at each, and what came of them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from framework.data.tardis_files import (
    LARGEST,
    MAGIC,
    Damaged,
    Landing,
    check_file,
    check_inside,
    sweep,
)
from framework.data.tardis_http import MOST_WAITING, UNHEARD, Client, Failed, Patience
from framework.data.tardis_names import KEY_VARIABLE, Base, Wanted
from framework.data.tardis_progress import Meter
from framework.errors import ConfigError
from framework.llm.redact import Secret

CHUNK = 2**18
MOST_PROBED = 100  # files whose size is asked for in a dry run
BAD_BODIES = 5  # attempts at a file whose content cannot be trusted
ENDED = 1.5  # s an interrupted download has to put its things away
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
T = TypeVar("T")


class File(NamedTuple):
    """One file that is here."""

    wanted: Wanted
    path: Path
    bytes: int
    fetched: bool  # False: it was here and whole


class Failure(NamedTuple):
    """One file that could not be had."""

    wanted: Wanted
    words: str
    status: int  # HTTP status of the last attempt; 0 = none


@dataclass
class Fetcher:
    """Gets the files of several series into a folder.

    Attributes
    ----------
    workers : files at a time
    say : told in a sentence what goes wrong and is tried again
    tell : shown the meter after every change
    """

    base: Base
    key: Secret | None
    folder: Path
    workers: int = 20
    patience: Patience = field(default_factory=Patience)
    largest: int = LARGEST
    say: Callable[[str], None] = lambda words: None
    tell: Callable[[Meter], None] = lambda meter: None
    meter: Meter = field(default_factory=Meter)
    files: list[File] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    stopped: str = ""  # why nothing more is asked
    refused: set[tuple[str, str]] = field(default_factory=set)  # kind and symbol the key has no right to

    async def run(self, series: list[list[Wanted]]) -> None:
        """Fetch each series: its last day, its first, then the rest, at most `workers` files at a time."""
        self.meter.files = sum(map(len, series))
        gate = asyncio.Semaphore(self.workers)
        client = Client(self.base, self.key, self.patience, self.workers)
        async with client, asyncio.TaskGroup() as group:
            for files in series:
                for n, wanted in enumerate(files):
                    await gate.acquire()
                    task = group.create_task(self._gated(client, wanted, gate))
                    if n < 2:  # the ends of the range: missing rights show here
                        await asyncio.wait([task])

    async def _gated(self, client: Client, wanted: Wanted, gate: asyncio.Semaphore) -> None:
        try:
            await self._settle(client, wanted)
        finally:
            gate.release()
            self.tell(self.meter)

    async def _settle(self, client: Client, wanted: Wanted) -> None:
        """Bring one file to its end: here already, fetched, or failed."""
        path = wanted.path(self.folder)
        try:
            await asyncio.to_thread(check_inside, path, self.folder)
            size = await self._whole(path)
            if size is not None:
                self.files.append(File(wanted, path, size, False))
                self.meter.settle(kept=True)
                return
            if (why := self._hopeless(wanted)) is not None:
                raise Failed(why, final=True)
            size = await self._fetch(client, wanted, path)
            self.files.append(File(wanted, path, size, True))
            self.meter.settle(size, fetched=True)
        except (Failed, ConfigError, OSError) as error:
            self._fail(wanted, error)

    def _fail(self, wanted: Wanted, error: Exception) -> None:
        """Note a file that cannot be had, and what follows for the others."""
        words, status = str(error), getattr(error, "status", 0)
        if isinstance(error, OSError):
            words = f"{error.strerror or error}: {wanted.path(self.folder)}"
            if error.errno in FULL:
                self.stopped = self.stopped or f"{error.strerror}: free some room, or give another folder"
        if isinstance(error, Failed) and error.is_quota:
            self.stopped = f"the plan's quota is used up ({words})"
        if status == 401:
            self.refused.add(("", ""))
            hint = "is refused" if self.key else "is not set"
            words = f"{words}; {KEY_VARIABLE} {hint}"
        if status == 403:
            self.refused.add((wanted.kind, wanted.symbol))
        self.failures.append(Failure(wanted, words, status))
        self.meter.settle()

    def _hopeless(self, wanted: Wanted) -> str | None:
        """Return why a file need not be asked for."""
        if self.stopped:
            return f"is not asked for: {self.stopped}"
        if wanted.is_free:
            return None
        if ("", "") in self.refused:
            return f"is not asked for: {KEY_VARIABLE} was refused" if self.key else "needs a key"
        if (wanted.kind, wanted.symbol) in self.refused:
            return "is not asked for: the key has no right to this series"
        return None

    async def _whole(self, path: Path) -> int | None:
        """Return the bytes of a file that is here and whole; say so when it is here and not."""
        if not await asyncio.to_thread(path.is_file):
            return None
        sweep(path)
        try:
            return await asyncio.to_thread(check_file, path, self.largest)
        except Damaged as error:
            self.say(f"{path}: {error}; it is fetched again")
            return None

    async def _fetch(self, client: Client, wanted: Wanted, path: Path) -> int:
        """Return the bytes of a file, after as many attempts as it takes."""
        waited, bad = 0.0, 0
        for attempt in range(1, self.patience.tries + 1):
            url = wanted.url(self.base) + (f"?retryAttempt={attempt - 1}" if attempt > 1 else "")
            try:
                return await self._attempt(client, url, path)
            except Failed as failed:
                bad += failed.is_body
                pause = self.patience.wait(attempt, failed)
                waited += pause
                if failed.is_final or bad >= BAD_BODIES or attempt == self.patience.tries:
                    tries = f" ({attempt} attempts)" if attempt > 1 else ""
                    raise Failed(f"{failed}{tries}", failed.status, failed.after, final=True) from None
                if attempt >= UNHEARD and not client.is_there:
                    host = self.base.origin[1]
                    self.stopped = f"{host} does not answer ({failed}); check the network and the URL"
                    raise Failed(f"{failed} ({attempt} attempts)", final=True) from None
                if waited > MOST_WAITING * self.patience.unit:
                    raise Failed(f"{failed} (given up after {attempt} attempts)", failed.status) from None
                self.say(f"{wanted}: {failed}; again in {pause:.0f} s")
            await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, client: Client, url: str, path: Path) -> int:
        """Return the bytes of a file after one request."""
        landing = Landing(path, self.largest)  # here: a thread that outlives a cancel would leave it open
        try:
            async with client.opened("GET", url) as response:
                await self._receive(response, landing)
            await asyncio.to_thread(landing.commit)
            return landing.gunzip.packed
        except Damaged as error:
            raise Failed(f"the file {error}", body=True) from None
        except FileNotFoundError:
            raise Failed("its temporary file was taken away") from None
        finally:
            landing.close()

    async def _receive(self, response: Any, landing: Landing) -> None:
        """Write a body as it comes, as it is on the wire: a .csv.gz, whatever Content-Encoding says."""
        begun, buffer, count = time.monotonic(), bytearray(), 0
        async for part in response.aiter_raw():
            buffer += part
            count += len(part)
            self.meter.receive(len(part))
            if count == len(buffer) >= len(MAGIC) and buffer[:2] != MAGIC:
                raise Damaged("is no gzip file")
            if len(buffer) >= CHUNK:
                await asyncio.to_thread(landing.write, bytes(buffer))
                buffer.clear()
                self.tell(self.meter)
            elapsed = time.monotonic() - begun
            if elapsed > self.patience.grace and count < elapsed * self.patience.slowest:
                raise Failed(f"comes too slowly ({count:,} bytes in {elapsed:.0f} s)")
        await asyncio.to_thread(landing.write, bytes(buffer))

    async def sizes(self, wanted: list[Wanted]) -> dict[Wanted, int]:
        """Return the sizes the service tells of files, the first hundred of them.

        Of a GET that is closed after its headers: HEAD answers 404 for files that are there (seen in public
        notes of others' checks of the real service).
        """
        found: dict[Wanted, int] = {}
        gate = asyncio.Semaphore(self.workers)
        async with Client(self.base, self.key, self.patience, self.workers) as client:

            async def ask(one: Wanted) -> None:
                async with gate:
                    with contextlib.suppress(Failed):
                        if self.key or one.is_free:
                            async with client.opened("GET", one.url(self.base)) as response:
                                length = response.headers.get("content-length", "")
                                if length.isdecimal():
                                    found[one] = int(length)

            async with asyncio.TaskGroup() as group:
                for one in wanted[:MOST_PROBED]:
                    group.create_task(ask(one))
        return found


def run_apart(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in an event loop of its own thread and return what it returns.

    So it works where a loop runs already (a notebook), and Ctrl-C or SIGTERM in the main thread ends it in
    order: its tasks are cancelled, what they opened is put away.
    """
    outcome: list[T] = []
    errors: list[BaseException] = []
    running = list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]]()
    ready, ended = threading.Event(), threading.Event()  # a join that is interrupted cannot be joined again

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        ready.set()
        outcome.append(await work())

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            errors.append(error)
        finally:
            ready.set()
            ended.set()

    try:
        threading.Thread(target=run, name="sheepfold-download", daemon=True).start()
        ended.wait()
    except BaseException:
        ready.wait(ENDED)
        if running:
            loop, task = running[0]
            with contextlib.suppress(RuntimeError):  # it has just ended
                loop.call_soon_threadsafe(task.cancel)
        ended.wait(ENDED)
        raise
    if errors:
        raise unwrapped(errors[0])
    return outcome[0]


def unwrapped(error: BaseException) -> BaseException:
    """Return the one error a task group wraps, itself for any other."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
