"""The HTTP of the loopback HolySheep: which requests it takes, and the bytes it sends."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from framework.testing.holysheep_replies import Scripted, envelope_for, key_of_body, refused, stream_for

if TYPE_CHECKING:
    from framework.testing.holysheep import HolySheepServer

MAX_REQUEST = 16 * 2**20
MODELS = ("deepseek-v3.2", "gemini-2.5-flash", "gpt-4.1", "claude-sonnet-4.5")
FIRST_PART = 0.4  # of the latency lies before the first byte of a stream


def objection(body: object, known: tuple[str, ...]) -> str:
    """Return what is wrong with a request, or "". A strict schema is checked as the original does."""
    if not isinstance(body, dict) or not body.get("messages") or not isinstance(body.get("model"), str):
        return "model and messages are needed"
    form = body.get("response_format") or {"type": "text"}
    if form.get("type") not in known:
        return f"response_format {form.get('type')!r} is not supported"
    if form["type"] != "json_schema":
        return ""
    given = form.get("json_schema") or {}
    schema = given.get("schema") or {}
    if not given.get("name"):
        return "response_format: json_schema.name is needed"
    if given.get("strict") and schema.get("additionalProperties") is not False:
        return "response_format: additionalProperties must be false"
    if given.get("strict") and {*schema.get("required", ())} != {*schema.get("properties", ())}:
        return "response_format: every property must be required"
    return ""


class Server(ThreadingHTTPServer):
    """Threads that answer for a HolySheepServer."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, owner: HolySheepServer, port: int) -> None:
        self.owner, self._open = owner, set[Any]()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Close what is kept open, or it would be answered after the end."""
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(2)  # both directions

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that give up are part of the play."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30  # of an idle connection
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        owner = self.server.owner
        if self.path != "/v1/models":
            self._error(404, "not_found_error", "only /v1/models and POST /v1/chat/completions")
        elif not owner.lets(self.headers.get("Authorization")):
            self._error(401, "authentication_error", "Incorrect API key provided")
        else:
            rows = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "loopback"}
                    for name in owner.models or MODELS]  # fmt: skip
            self._send(200, {}, json.dumps({"object": "list", "data": rows}).encode())

    def do_POST(self) -> None:
        owner, start = self.server.owner, time.perf_counter()
        may, rates = owner.arrive()
        body = self._body()
        if self.path != "/v1/chat/completions":
            self._error(404, "not_found_error", "only /v1/models and POST /v1/chat/completions")
        elif not owner.lets(self.headers.get("Authorization")):
            self._error(401, "authentication_error", "Incorrect API key provided")
        elif not may:
            self._error(429, "rate_limit_error", "Rate limit reached for requests", rates)
        elif said := objection(body, owner.schema):
            self._error(400, "invalid_request_error", said, rates)
        elif owner.models and body["model"] not in owner.models:
            self._error(404, "not_found_error", f"The model {body['model']!r} does not exist", rates)
        else:
            key, is_whole = key_of_body(body), False
            script, seconds, name = owner.answer(body, key)
            ours = {"x-request-id": name, "openai-processing-ms": f"{seconds * 1000.0:.0f}", **rates}
            try:
                is_whole = self._play(script, body, seconds, ours)
            finally:
                owner.note(key, script.status, is_whole, time.perf_counter() - start)

    @contextlib.contextmanager
    def _paid(self, body: dict[str, Any], is_whole: bool) -> Iterator[None]:
        """Count what the block sends as paid, unless nobody is there to read it."""
        if not is_whole:
            yield
            return
        key, owner = key_of_body(body), self.server.owner
        owner.pay(key)
        try:
            yield
        except OSError:
            owner.pay(key, -1)
            raise

    def _body(self) -> Any:
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit() and int(length) <= MAX_REQUEST):
            self.close_connection = True
            return None
        try:
            return json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            return None

    def _play(self, script: Scripted, body: dict[str, Any], seconds: float, ours: dict[str, str]) -> bool:
        """Answer; return True when all of it was sent."""
        closing = self.server.owner.closing
        if script.hang:
            self.close_connection = True
            closing.wait()
            return False
        streams = body.get("stream") is True and script.status == 200 and script.body is None
        if closing.wait(seconds * (FIRST_PART if streams else 1.0)):
            self.close_connection = True
            return False
        if streams:
            headers = {"Content-Type": "text/event-stream; charset=utf-8", **ours}
            self._head(200, _over(headers, script.headers) | {"Transfer-Encoding": "chunked"})
            return self._stream(script, body, seconds * (1.0 - FIRST_PART))
        headers = {"Content-Type": f"application/json; charset={script.charset}", **ours}
        data, cut = envelope_for(script, body), script.cut
        is_whole = cut is None and not script.endless
        self.close_connection = not is_whole or script.status != 200
        with self._paid(body, is_whole and script.status == 200):
            self._send(script.status, _over(headers, script.headers), data if cut is None else data[:cut],
                       None if script.endless else len(data))  # fmt: skip
        while script.endless and not closing.is_set():
            self.wfile.write(b" " * 65_536)
        return is_whole

    def _stream(self, script: Scripted, body: dict[str, Any], seconds: float) -> bool:
        """Send events as chunks, spread over some time; `cut` counts bytes of the events."""
        events, left = stream_for(script, body), script.cut
        for event in events[:-1]:
            part = event if left is None else event[:left]
            if part:
                self._chunk(part)
            left = None if left is None else left - len(part)
            if left == 0 or self.server.owner.closing.wait(seconds / len(events)):
                self.close_connection = True
                return False
        with self._paid(body, True):
            self._chunk(events[-1])
            self._chunk(b"")
        return True

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _error(self, status: int, kind: str, text: str, headers: Mapping[str, str] | None = None) -> None:
        self.close_connection = True
        self._send(status, headers or {}, refused(status, kind, text))

    def _send(self, status: int, headers: Mapping[str, str], data: bytes, length: int | None = -1) -> None:
        """Send an answer in one piece; `length` is announced (-1 = the true one, None = none)."""
        if length is not None:
            headers = {"Content-Length": str(len(data) if length < 0 else length), **headers}
        self._head(status, {"Content-Type": "application/json", **headers})
        self.wfile.write(data)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()


def _over(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    """Return our headers, and those of a script over them."""
    named = {name.lower() for name in theirs}
    return {**{name: value for name, value in ours.items() if name.lower() not in named}, **theirs}
