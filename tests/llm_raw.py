"""A relay on a raw socket: what no HTTP server would send."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from tests.llm_bench import GOOD

Play = Callable[[socket.socket], None]


def envelope(text: str = GOOD, **more: Any) -> dict[str, Any]:
    """Return a healthy chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 800, "completion_tokens": 150}
    return {"id": "x", "model": "m", "choices": [choice], "usage": usage} | more


def response(body: object, status: str = "200 OK") -> bytes:
    """Return the bytes of a whole HTTP response."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode() + data


class RawRelay:
    """Calls `play(connection)` for each request; `calls` counts them."""

    def __init__(self, play: Play) -> None:
        self.play, self.calls = play, 0
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._open.append(connection)
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            head, _, body = _until_blank_line(connection).partition(b"\r\n\r\n")
            rows = dict(row.lower().split(b": ", 1) for row in head.split(b"\r\n")[1:])
            while len(body) < int(rows[b"content-length"]):
                body += connection.recv(65_536)
            self.calls += 1
            self.play(connection)

    def close(self) -> None:
        """Stop; connections that are still played on break."""
        for one in (self._socket, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def _until_blank_line(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data and (part := connection.recv(65_536)):
        data += part
    return data


@contextlib.contextmanager
def relay(play: Play) -> Iterator[RawRelay]:
    """A raw relay while the block lasts."""
    made = RawRelay(play)
    try:
        yield made
    finally:
        made.close()


# what it can play


def _pause() -> None:
    threading.Event().wait(0.05)


def drips_body(connection: socket.socket) -> None:
    """A valid answer, one byte every 50 ms: half a minute."""
    for byte in response(envelope()):
        connection.sendall(bytes([byte]))
        _pause()


def drips_body_without_length(connection: socket.socket) -> None:
    """White space without end, a byte every 50 ms."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b" ")
        _pause()


def drips_headers(connection: socket.socket) -> None:
    """A header line every 50 ms, and never the last one."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-More: a\r\n")
        _pause()


def continues_slowly(connection: socket.socket) -> None:
    """100 Continue every 50 ms."""
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        _pause()


def continues_fast(connection: socket.socket) -> None:
    """100 Continue as fast as it can."""
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


def floods_headers(connection: socket.socket) -> None:
    """One header without end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-More: ")
    while True:
        connection.sendall(b"a" * 65_536)


def floods_chunks(connection: socket.socket) -> None:
    """Chunks of one byte without end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"1\r\n \r\n" * 5000)


def keeps_open(seen: list[int]) -> Play:
    """Answer every request of a connection; the connections seen are noted."""

    def play(connection: socket.socket) -> None:
        seen.append(connection.getpeername()[1])
        while True:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            if b"{}" not in _until_blank_line(connection):
                connection.recv(65_536)

    return play
