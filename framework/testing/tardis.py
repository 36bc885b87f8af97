"""A Tardis on this machine: datasets, metadata and raw minutes over real HTTP on 127.0.0.1, with its faults.

    with TardisServer("data/demo") as server:
        os.environ |= server.environment
        framework.data.download("binance", "BTCUSDT", "trades", "2024-08-08", "2024-08-10")
    server.requests     # what arrived, without the key

By hand, for the example of the README (without --folder it serves a SYNTHETIC sample):

    python -m framework.testing.tardis --folder data/demo --port 8010

Rules as documented: a bearer key, none for the first day of a month; a day without data inside the range of
a file series is an empty gzip file; errors are JSON {code, message}. Not known of the real service and ours:
an unknown exchange, kind, symbol or day answers 404.
"""

from __future__ import annotations

import argparse
import fnmatch
import gzip
import hashlib
import hmac
import json
import re
import signal
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from framework.errors import ConfigError, DataError
from framework.testing.tardis_files import (
    Entry,
    Fault,
    Request,
    exchange_details,
    find_feeds,
    find_files,
    sliced,
)

__all__ = ["KEY", "Fault", "Request", "TardisServer"]

KEY = "TD.loopback-key-0123456789"
DATASET = re.compile(r"/([a-z0-9-]+)/([A-Za-z0-9_]+)/(\d{4})/(\d\d)/(\d\d)/([^/]+)\.csv\.gz")
EMPTY = gzip.compress(b"", mtime=0)
NOISE = b"\x00\xff" * 32_768


class TardisServer:
    """The server, in a thread, while the `with` block lasts. Binds 127.0.0.1.

    Parameters
    ----------
    files : folder, paths, or {"binance/trades/2024/08/08/BTCUSDT": bytes}, optional
        csv or csv.gz files named as Tardis names them; None = a SYNTHETIC sample of 2024-01-31 and
        2024-02-01, `synthetic` BTCUSDT-PERP.
    key : the key it accepts; None = none is needed
    faults : in the order they are tried; the first whose pattern matches and that is not used up is met
    details : {exchange: fields} that replace those of `/exchanges/:exchange` (incidentReports ...)
    instruments : {exchange: list of instruments as `/instruments/:exchange` has them}
    feeds : folder of raw minutes, `binance_2024-03-01T00-01.ndjson`
    encoded : say `Content-Encoding: gzip` of dataset files
    port : 0 = a free one

    Raises
    ------
    DataError
        The folder holds no file named as Tardis names them.
    """

    def __init__(
        self,
        files: Any = None,
        *,
        key: str | None = KEY,
        faults: Iterable[Fault] = (),
        details: Mapping[str, Mapping[str, Any]] | None = None,
        instruments: Mapping[str, list[dict[str, Any]]] | None = None,
        feeds: str | Path | None = None,
        encoded: bool = True,
        port: int = 0,
    ) -> None:
        if files is None:
            from framework.testing.tardis_sample import instruments_of_sample, sample_files

            files, instruments = sample_files(), instruments or instruments_of_sample()
        self.files: dict[Entry, bytes | Path] = find_files(files)
        self.key, self.encoded, self.faults = key, encoded, list(faults)
        self.details, self.instruments = dict(details or {}), dict(instruments or {})
        self.feeds = find_feeds(feeds)
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.owner = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Base URL of both services."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def environment(self) -> dict[str, str]:
        """The variables a client needs."""
        given = {} if self.key is None else {"TARDIS_API_KEY": self.key}
        return {"TARDIS_DATASETS_URL": self.url, "TARDIS_API_URL": self.url, **given}

    @property
    def datasets(self) -> list[str]:
        """Paths of the dataset files asked for, in order of arrival."""
        return [one.path for one in self.requests if one.method == "GET" and ".csv.gz" in one.path]

    def __enter__(self) -> TardisServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop; whoever hangs is let go."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def arrive(self, request: Request) -> Fault | None:
        """Remember a request and return the fault it meets."""
        with self._lock:
            self.requests.append(request)
            for n, fault in enumerate(self.faults):
                if fault.times and fnmatch.fnmatchcase(urlsplit(request.path).path, fault.match):
                    self.faults[n] = replace(fault, times=fault.times - 1 if fault.times > 0 else -1)
                    return fault
        return None

    def lets(self, authorization: str | None) -> bool:
        """True when a header carries the right key; an empty one is none."""
        if self.key is None:
            return True
        return hmac.compare_digest((authorization or "").strip().encode(), f"Bearer {self.key}".encode())

    def dataset(self, entry: Entry) -> bytes | None:
        """Return a day's file; an empty gzip file for a day without data, None for what is not offered."""
        found = self.files.get(entry)
        if found is not None:
            return gzipped(found)
        days = [one.day for one in self.files if one[:3] == entry[:3]]
        return EMPTY if days and min(days) < entry.day < max(days) else None


def gzipped(source: bytes | Path) -> bytes:
    """Return a file as gzip: as it is, or compressed where it is plain csv."""
    data = source if isinstance(source, bytes) else source.read_bytes()
    return data if data[:2] == b"\x1f\x8b" else gzip.compress(data, 6, mtime=0)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    owner: TardisServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that give up are part of the play."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30  # of an idle connection
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def do_HEAD(self) -> None:
        self.fail(404, "not found")  # as the real service is said to answer

    def do_GET(self) -> None:
        owner = self.server.owner
        authorization = self.headers.get("Authorization")
        path = self.path.removeprefix("/v1")
        fault = owner.arrive(Request(self.command, path, bool((authorization or "").strip())))
        if not self.path.startswith("/v1/"):
            self.fail(404, "not found")
        elif fault is not None and (fault.hang or fault.status != 200 or fault.body is not None):
            self.play(fault)
        else:
            self.route(urlsplit(path).path, parse_qs(urlsplit(path).query), fault, owner.lets(authorization))

    def route(self, path: str, query: dict[str, list[str]], fault: Fault | None, allowed: bool) -> None:
        """Answer by path."""
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if match := DATASET.fullmatch(path):
            venue, kind, year, month, day, symbol = match.groups()
            entry = Entry(venue, kind, unquote(symbol), f"{year}-{month}-{day}")
            self.send_dataset(entry, fault, allowed or day == "01")
        elif parts[0] == "exchanges" and len(parts) <= 2:
            self.send_exchange(parts[1:])
        elif parts[0] == "instruments" and 2 <= len(parts) <= 3:
            self.send_instruments(parts[1:], query, allowed)
        elif parts[0] == "api-key-info" and allowed:
            venues = sorted({entry.venue for entry in self.server.owner.files})
            self.send_json([{"exchange": venue, "from": "2019-03-30", "to": None} for venue in venues])
        elif parts[0] == "data-feeds" and len(parts) == 2:
            self.send_feed(parts[1], query, allowed)
        else:
            self.fail(404 if allowed else 401, "not found" if allowed else "API key needed")

    def send_dataset(self, entry: Entry, fault: Fault | None, allowed: bool) -> None:
        """Answer with a day's file."""
        owner = self.server.owner
        if not allowed:
            self.fail(401, f"API key needed: only the first day of each month is free, not {entry.day}")
            return
        data = owner.dataset(entry)
        if data is None:
            self.fail(404, f"there is no {entry.kind} of {entry.symbol} on {entry.day}")
            return
        headers = {"Content-Type": "text/csv", "x-md5": f'"{hashlib.md5(data).hexdigest()}"'}
        if owner.encoded:
            headers["Content-Encoding"] = "gzip"
        self.send_body(200, data, {**headers, **(fault.headers if fault else {})}, fault)

    def send_exchange(self, parts: list[str]) -> None:
        """Answer /exchanges and /exchanges/:exchange."""
        owner = self.server.owner
        every = exchange_details(owner.files, owner.details)
        if not parts:
            self.send_json([{"id": venue, "name": venue, "enabled": True} for venue in sorted(every)])
        elif parts[0] in every:
            self.send_json(every[parts[0]])
        else:
            self.fail(404, f"there is no exchange {parts[0]}")

    def send_instruments(self, parts: list[str], query: dict[str, list[str]], allowed: bool) -> None:
        """Answer /instruments/:exchange and /instruments/:exchange/:symbol."""
        found = self.server.owner.instruments.get(parts[0])
        if not allowed:
            self.fail(401, "instruments metadata needs the key of an active plan")
        elif found is None:
            self.fail(404, f"there is no exchange {parts[0]}")
        elif len(parts) == 1:
            wanted = json.loads(query.get("filter", ["{}"])[0])
            self.send_json([one for one in found if all(one.get(k) in as_list(v) for k, v in wanted.items())])
        else:
            named = [one for one in found if parts[1] in (one["id"], one.get("datasetId"))]
            self.send_json(named[0]) if named else self.fail(404, f"there is no instrument {parts[1]}")

    def send_feed(self, venue: str, query: dict[str, list[str]], allowed: bool) -> None:
        """Answer a minute (or `sliceSize` of them) of raw messages."""
        try:
            day, data, count = sliced(self.server.owner.feeds, venue, query)
        except (ValueError, KeyError, TypeError):
            self.fail(400, "from must be in ISO 8601 format, offset a number, filters JSON")
            return
        if not allowed and day != 1:
            self.fail(401, "API key needed: only the first day of each month is free")
            return
        headers = {"x-slice-size": str(count), "x-suggested-slice-size": "1", "Content-Encoding": "gzip"}
        headers["Content-Type"] = "application/x-json-stream"
        self.send_body(200, gzip.compress(data, mtime=0), headers, None)

    def play(self, fault: Fault) -> None:
        """Answer with a fault's own status or body."""
        if fault.hang:
            self.close_connection = True
            self.server.owner.closing.wait()
        elif fault.body is not None:
            self.send_body(fault.status, fault.body, {"Content-Type": "text/csv", **fault.headers}, fault)
        else:
            self.fail(fault.status, fault.message or f"scripted {fault.status}", fault.headers)

    def send_json(self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Answer with JSON."""
        data = json.dumps(value).encode()
        self.send_body(status, data, {"Content-Type": "application/json", **(headers or {})}, None)

    def fail(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Answer with an error as the service words it."""
        self.send_json({"code": 100 + status % 100, "message": message}, status, headers)

    def send_body(self, status: int, data: bytes, headers: Mapping[str, str], fault: Fault | None) -> None:
        """Send status, headers and body, with what a fault does to them."""
        fault = fault or Fault()
        self.send_response(status)
        if not fault.endless:
            self.send_header("Content-Length", str(len(data) if fault.length is None else fault.length))
        if fault.endless or fault.cut is not None or fault.length is not None:
            self.close_connection = True
            self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        data = data if fault.cut is None else data[: fault.cut]
        closing = self.server.owner.closing
        for at in range(0, len(data), fault.slow or max(len(data), 1)):
            self.wfile.write(data[at : at + fault.slow] if fault.slow else data)
            if fault.slow and closing.wait(0.01):
                return
        while fault.endless and not closing.is_set():
            self.wfile.write(NOISE if fault.body is None else fault.body)


def as_list(value: Any) -> list[Any]:
    """Return the values a filter allows."""
    return value if isinstance(value, list) else [value]


def main() -> None:
    """Serve until Ctrl-C or SIGTERM, at most so many seconds."""
    parser = argparse.ArgumentParser(prog="python -m framework.testing.tardis", description=main.__doc__)
    parser.add_argument("--folder", help="csv(.gz) files named as Tardis names them; default a sample")
    parser.add_argument("--feeds", help="raw minutes, binance_2024-03-01T00-01.ndjson")
    parser.add_argument("--port", type=int, default=8010, help="0 = a free one; default 8010")
    parser.add_argument("--seconds", type=float, default=3600.0, help="then it stops; default an hour")
    given = parser.parse_args()
    try:
        if given.folder is None:
            print("# making a SYNTHETIC sample, some seconds where it is the first time", flush=True)
        server = TardisServer(given.folder, feeds=given.feeds, port=given.port)
    except (ConfigError, DataError, OSError) as error:
        raise SystemExit(f"error: {error}") from None
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.closing.set())
    with server:
        for name, value in server.environment.items():
            print(f"export {name}={value}", flush=True)
        server.closing.wait(given.seconds)


if __name__ == "__main__":
    main()
