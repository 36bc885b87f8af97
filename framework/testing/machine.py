"""A tardis-machine on this machine: HTTP on port N, WebSocket on N + 1, messages from files, every fault.

    with MachineServer("normalized.ndjson.gz", plan=[Play(count=100, end="cut")]) as server:
        for event in connect("binance", "BTCUSDT", "trade,book_change", url=server.url): ...

By hand: `python -m framework.testing.machine FILE... [--port 8000] [--rate 1000] [--for 600]`.

Each connection takes the next `Play` of the plan; when it is used up, connections are healthy. A live
connection goes on where the last one ended, with a snapshot of each book first, as the real one does because
it connects to the exchange anew.
Form of everything: tardis-machine 18.2.0 (/replay-normalized, /ws-replay-normalized, /ws-stream-normalized,
/health-check). Only 127.0.0.1.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from framework.data.message_kinds import BookChange, Message, check_types
from framework.data.message_texts import write
from framework.data.messages import parse
from framework.data.stream_book import LiveBook
from framework.errors import ConfigError, FrameworkError, near
from framework.testing.machine_messages import is_wanted, stamped, texts_of

ENDS = ("close", "cut", "half", "silent", "flood")
ATTEMPTS = 50  # to find two ports that follow each other
BOTH = 2  # of shutdown(): reading and writing


@dataclass(frozen=True, slots=True)
class Play:
    """What one connection does. Everything not named is what a healthy tardis-machine does.

    Parameters
    ----------
    count : messages that are sent before the end, None = all
    end : close (with `code` and `reason`), cut (no farewell), half (half a message, then cut), silent
        (nothing more, the connection stays), flood (the messages again and again, as fast as they go)
    extra : a text (or several) sent before the message of a number, bad JSON for example
    status : answer the handshake (or the HTTP request) with this status instead
    """

    count: int | None = None
    end: str = "close"
    code: int = 1000
    reason: str = ""
    extra: Mapping[int, str | Sequence[str]] = field(default_factory=dict)
    status: int = 0

    def __post_init__(self) -> None:
        if self.end not in ENDS:
            raise ConfigError(f"end: {self.end!r} is no end of a connection; {near(self.end, ENDS)}")


HEALTHY = Play()


class MachineServer:
    """The two servers, in threads, while the `with` block lasts.

    Parameters
    ----------
    sources : see `machine_messages.texts_of`: NDJSON, Tardis csv, texts or events
    plan : one Play for each connection, in order
    rate : messages a second, 0 = as fast as they go
    stamp : give each message the time it is sent at as its local time
    port : HTTP port; the WebSocket port is the next. 0 = two free ones
    """

    def __init__(
        self,
        sources: Any,
        *,
        plan: Iterable[Play] = (),
        rate: float = 0.0,
        stamp: bool = False,
        port: int = 0,
    ) -> None:
        self.messages: list[tuple[str, Message]] = [(text, parse(text)) for text in texts_of(sources)]
        self.rate, self.stamp = rate, stamp
        self.requests: list[dict[str, Any]] = []  # options as they came
        self.sent = 0  # messages of all connections
        self.position = 0  # of the live stream
        self.closing = threading.Event()
        self._plan = deque(plan)
        self._lock = threading.Lock()
        self._http, self._ws = two_ports(self, port)
        self._threads = [
            threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True),
            threading.Thread(target=self._ws.serve_forever, daemon=True),
        ]

    @property
    def http_url(self) -> str:
        """Base URL of the HTTP side."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def url(self) -> str:
        """Base URL of the WebSocket side, for TARDIS_MACHINE_URL."""
        return f"ws://127.0.0.1:{self._http.server_address[1] + 1}"

    def __enter__(self) -> MachineServer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop; whoever waits is let go."""
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._ws.shutdown()
        for thread in self._threads:
            thread.join()

    def next_play(self) -> Play:
        """Return what the next connection does."""
        with self._lock:
            return self._plan.popleft() if self._plan else HEALTHY

    def chosen(self, options: list[dict[str, Any]], is_live: bool, first: int = 0) -> Iterator[str]:
        """Yield the messages a client asked for; of a live one the books first, and the position moves."""
        if is_live and first:
            yield from self.books(options, first)
        for i in range(first, len(self.messages)):
            if is_live:
                self.position = i + 1
            text, event = self.messages[i]
            if any(is_wanted(event, one, is_live) for one in options):
                yield text

    def books(self, options: list[dict[str, Any]], first: int) -> Iterator[str]:
        """Yield a snapshot of each book before a message."""
        books: dict[tuple[str, str], LiveBook] = {}
        for _, event in self.messages[:first]:
            if isinstance(event, BookChange):
                book = books.setdefault((event.exchange, event.symbol), LiveBook(event.symbol))
                book.apply(event)
        at = self.messages[min(first, len(self.messages) - 1)][1].local_ts
        for (exchange, symbol), book in books.items():
            change = book.change(exchange, symbol, at)
            if any(is_wanted(change, one, True) for one in options):
                yield write(change)

    def check(self, text: str | None) -> list[dict[str, Any]]:
        """Return the options of a request; raise ValueError with the words of a refusal."""
        asked = json.loads(text or "undefined")
        options: list[dict[str, Any]] = asked if isinstance(asked, list) else [asked]
        self.requests.extend(options)
        known = {event.exchange for _, event in self.messages}
        for one in options:
            if one.get("exchange") not in known:
                raise ValueError(
                    f"Invalid 'exchange' argument: {one.get('exchange')}. Please provide one of the "
                    f"following exchanges: {', '.join(sorted(known))}."
                )
            try:
                check_types(one.get("dataTypes") or ())
            except FrameworkError as error:
                raise ValueError(f"invalid data type ({error})") from None
        return options

    def paced(self, texts: Iterable[str]) -> Iterator[str]:
        """Yield texts at the rate, with the time of sending where that was asked for."""
        begin, step = time.perf_counter(), 1.0 / self.rate if self.rate else 0.0
        for i, text in enumerate(texts):
            if self.closing.is_set():
                return
            due = begin + i * step
            while step and (left := due - time.perf_counter()) > 0.0:
                time.sleep(left - 0.001 if left > 0.002 else 0.0)
            self.sent += 1
            yield stamped(text) if self.stamp else text


def two_ports(owner: MachineServer, port: int) -> tuple[_Http, Any]:
    """Return both servers on ports that follow each other."""
    from websockets.sync.server import serve

    for attempt in range(ATTEMPTS):
        http = _Http(("127.0.0.1", port), _Handler)
        try:
            ws = serve(
                lambda socket: talk(owner, socket), "127.0.0.1", http.server_address[1] + 1, compression=None,
                process_request=lambda socket, request: handshake(owner, socket, request), close_timeout=1.0,
            )  # fmt: skip
        except OSError:
            http.server_close()
            if port or attempt == ATTEMPTS - 1:
                raise
            continue
        http.owner = owner
        return http, ws
    raise ConfigError("port: no two free ports follow each other")


def handshake(owner: MachineServer, socket: Any, request: Any) -> Any:
    """Choose the play of a connection; answer a handshake that is to fail."""
    socket.play = owner.next_play()
    if urlsplit(request.path).path not in ("/ws-stream-normalized", "/ws-replay-normalized"):
        return socket.respond(404, "no such endpoint\n")
    return socket.respond(socket.play.status, "refused by the plan\n") if socket.play.status else None


def talk(owner: MachineServer, socket: Any) -> None:
    """Serve one WebSocket connection."""
    from websockets.exceptions import ConnectionClosed

    parts = urlsplit(socket.request.path)
    is_live = parts.path == "/ws-stream-normalized"
    try:
        options = owner.check(parse_qs(parts.query).get("options", [None])[0])
        texts = owner.chosen(options, is_live, owner.position if is_live else 0)
        play(owner, socket, socket.play, texts)
    except (ConnectionClosed, OSError):
        return
    except (ValueError, KeyError, TypeError, FrameworkError) as error:
        socket.close(1011, f"Error: {error}"[:120])


def play(owner: MachineServer, socket: Any, what: Play, texts: Iterator[str]) -> None:
    """Send messages and end as planned."""
    for text in owner.paced(woven(texts, what)):
        socket.send(text)
    if what.end == "close":
        socket.close(what.code, what.reason or "WS stream-normalized finished")
    elif what.end in ("cut", "half"):
        if what.end == "half":
            data = next(texts, "{}").encode()
            frame = bytes((0x81, 126)) + len(data).to_bytes(2, "big") + data
            socket.socket.sendall(frame[: len(frame) // 2])
        socket.socket.shutdown(BOTH)
    else:
        while what.end == "flood" and not owner.closing.is_set():
            for text, _ in owner.messages:
                socket.send(text)
                owner.sent += 1
        for _ in socket:  # nothing is expected: until the client goes, or we
            pass


def woven(texts: Iterator[str], what: Play) -> Iterator[str]:
    """Yield the first `count` messages of a connection with the extra ones between."""
    for i in range(what.count if what.count is not None else 1 << 62):
        extra = what.extra.get(i, ())
        yield from (extra,) if isinstance(extra, str) else extra
        text = next(texts, None)
        if text is None:
            return
        yield text


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    owner: MachineServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that give up are part of the play."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/health-check":
            self._whole(200, {"status": "Healthy"})
        elif parts.path == "/replay-normalized":
            self._replay(parse_qs(parts.query).get("options", [None])[0])
        else:
            self._whole(404, {"message": "no such endpoint"})

    def _replay(self, text: str | None) -> None:
        owner, what = self.server.owner, self.server.owner.next_play()
        try:
            if what.status:
                self._whole(what.status, {"message": "refused by the plan"})
                return
            texts = owner.chosen(owner.check(text), is_live=False)
        except (ValueError, KeyError, TypeError) as error:
            self._whole(500, {"message": str(error)})
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/x-json-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in owner.paced(woven(texts, what)):
            self._chunk(line + "\n")
        if what.end == "half":
            self._chunk(next(texts, "{}")[:20])
        if what.end == "silent":
            owner.closing.wait()
        if what.end == "close":
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.close_connection = True

    def _chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _whole(self, status: int, body: Mapping[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve files until the time is over or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m framework.testing.machine")
    parser.add_argument("files", nargs="+", help="NDJSON of normalized messages, or Tardis csv files")
    parser.add_argument("--port", type=int, default=8000, help="HTTP; the WebSocket port is the next")
    parser.add_argument(
        "--rate", type=float, default=0.0, help="messages a second, default as fast as they go"
    )
    parser.add_argument("--stamp", action="store_true", help="local times are those of sending")
    parser.add_argument("--for", dest="seconds", type=float, default=3600.0, help="seconds until it stops")
    parser.add_argument("--end", choices=ENDS, default="close", help="what a connection does at its end")
    given = parser.parse_args(arguments)
    plays = [Play(end=given.end)] * 10_000
    with MachineServer(
        given.files, plan=plays, rate=given.rate, stamp=given.stamp, port=given.port
    ) as server:
        print(f"{server.http_url} {server.url}: {len(server.messages)} messages", flush=True)
        threading.Event().wait(given.seconds)


if __name__ == "__main__":
    main()
