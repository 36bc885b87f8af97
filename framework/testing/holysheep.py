"""A HolySheep on this machine: real HTTP on 127.0.0.1, scripted answers, and every fault a relay can have.

    with HolySheepServer([Scripted(status=429, headers={"Retry-After": "0"}), Scripted(text=...)]) as server:
        os.environ |= server.environment
        HolySheep(mode="record").decide(prompts)
    server.requests     # what arrived, without the key

When the script is used up (or none was given) each question gets a valid signal computed from its own text:
the same question always has the same answer.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from framework.errors import ConfigError

KEY = "loopback-key-0123456789"
MAX_REQUEST = 16 * 2**20

_PRICE = re.compile(r"^Current price: ([0-9.]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Scripted:
    """One answer. Everything not named is what a healthy relay says.

    Parameters
    ----------
    text : the model's content; None = a valid signal computed from the question
    hang : never answer (until the server closes): the client has to give up by itself
    cut : announce the whole body but close the connection after this many bytes
    body : raw bytes instead of an envelope
    charset : encode the envelope in this charset instead of UTF-8
    size : pad the envelope to this many bytes
    endless : send a body without end
    """

    text: str | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    finish_reason: str | None = "stop"
    message: dict[str, Any] = field(
        default_factory=dict
    )  # further fields of the message: tool_calls, refusal ...
    envelope: dict[str, Any] = field(
        default_factory=dict
    )  # further fields of the envelope, or others for ours
    usage: dict[str, Any] | None = field(
        default_factory=lambda: {"prompt_tokens": 800, "completion_tokens": 150}
    )
    model: str | None = None  # echoed; None = the one that was asked
    hang: bool = False
    cut: int | None = None
    body: bytes | None = None
    charset: str = "utf-8"
    size: int = 0
    endless: bool = False


Plan = Iterable[Scripted | str] | Callable[[dict[str, Any]], "Scripted | str"]


class HolySheepServer:
    """The server, in a thread, while the `with` block lasts. Binds 127.0.0.1 on a free port.

    Parameters
    ----------
    plan : answers in order of arrival (a str is the model's text), or a function of the request's body
    key : the key it accepts as `Authorization: Bearer`

    Raises
    ------
    ConfigError
        `plan` holds something that is neither a Scripted nor a str.
    """

    def __init__(self, plan: Plan = (), *, key: str = KEY) -> None:
        self.key, self.requests = key, list[dict[str, Any]]()  # bodies as they arrived, in order
        self.calls = 0  # every request, refused ones too
        self.closing = threading.Event()
        self._plan = plan if callable(plan) else None
        self._queue = deque(() if callable(plan) else (_scripted(item) for item in plan))
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Base URL, for HOLYSHEEP_BASE_URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def environment(self) -> dict[str, str]:
        """The two variables a client needs."""
        return {"HOLYSHEEP_API_KEY": self.key, "HOLYSHEEP_BASE_URL": self.url}

    def __enter__(self) -> HolySheepServer:
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

    def count(self) -> None:
        """Count one request."""
        with self._lock:
            self.calls += 1

    def answer(self, body: dict[str, Any]) -> Scripted:
        """Return the next answer and remember the question."""
        with self._lock:
            self.requests.append(body)
            scripted = self._queue.popleft() if self._queue else None
        if scripted is None:
            scripted = _scripted(self._plan(body)) if self._plan else Scripted()
        return scripted


def _scripted(item: object) -> Scripted:
    if isinstance(item, str):
        return Scripted(text=item)
    if not isinstance(item, Scripted):
        raise ConfigError(f"plan holds a {type(item).__name__}; give Scripted(...) or a str")
    return item


def signal_for(body: dict[str, Any]) -> str:
    """Return a valid signal for a question, a pure function of its text: long, short or neutral."""
    text = str(body["messages"][-1]["content"])
    found = _PRICE.search(text)
    price = float(found.group(1)) if found else 100.0
    draw = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    side = (1, -1, 0)[draw[0] % 3]
    away = price * (0.01 + draw[1] / 255.0 * 0.02)
    signal = {
        "regime": ("trending_up", "trending_down", "ranging")[draw[0] % 3],
        "direction": ("long", "short", "neutral")[draw[0] % 3],
        "confidence": round(0.5 + draw[2] / 255.0 * 0.45, 3),
        "reasoning": "loopback server",
        "suggested_entry": price if side else None,
        "stop_loss": round(price - side * away, 8) if side else None,
        "take_profit": round(price + 1.5 * side * away, 8) if side else None,
        "position_size_pct": 0.2 if side else 0.0,
    }
    return json.dumps(signal)


def envelope_for(scripted: Scripted, body: dict[str, Any]) -> bytes:
    """Return the bytes of a chat completion."""
    if scripted.body is not None:
        return scripted.body
    if scripted.status != 200:
        kind = "rate_limit_error" if scripted.status == 429 else "api_error"
        error = {"type": kind, "message": scripted.text or f"scripted {scripted.status}"}
        return json.dumps({"error": error}).encode(scripted.charset)
    content = signal_for(body) if scripted.text is None else scripted.text
    message = {"role": "assistant", "content": content, **scripted.message}
    whole: dict[str, Any] = {
        "id": "hs-rk-" + hashlib.sha256(json.dumps(body).encode()).hexdigest()[:12],
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": scripted.model or body.get("model"),
        "system_fingerprint": "fp_loopback",
        "choices": [{"index": 0, "message": message, "finish_reason": scripted.finish_reason}],
        **({} if scripted.usage is None else {"usage": scripted.usage}),
        **scripted.envelope,
    }
    data = json.dumps(whole, ensure_ascii=scripted.charset == "utf-8").encode(scripted.charset)
    return data + b" " * max(0, scripted.size - len(data))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    owner: HolySheepServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that give up are part of the play."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        self._error(404, "not_found_error", "only POST /v1/chat/completions")

    def do_POST(self) -> None:
        owner = self.server.owner
        owner.count()
        body = self._body()
        if self.path != "/v1/chat/completions":
            self._error(404, "not_found_error", "only POST /v1/chat/completions")
        elif not hmac.compare_digest(self.headers.get("Authorization", ""), f"Bearer {owner.key}"):
            self._error(401, "authentication_error", "Incorrect API key provided")
        elif not isinstance(body, dict) or not body.get("messages") or not isinstance(body.get("model"), str):
            self._error(400, "invalid_request_error", "model and messages are needed")
        else:
            self._play(owner.answer(body), body)

    def _body(self) -> object:
        length = min(int(self.headers.get("Content-Length", "0")), MAX_REQUEST)
        try:
            return json.loads(self.rfile.read(length))
        except ValueError:
            return None

    def _play(self, scripted: Scripted, body: dict[str, Any]) -> None:
        self.close_connection = True
        if scripted.hang:
            self.server.owner.closing.wait()
            return
        data = envelope_for(scripted, body)
        self.send_response(scripted.status)
        self.send_header("Content-Type", f"application/json; charset={scripted.charset}")
        if not scripted.endless:
            self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        for name, value in scripted.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data if scripted.cut is None else data[: scripted.cut])
        while scripted.endless and not self.server.owner.closing.is_set():
            self.wfile.write(b" " * 65_536)

    def _error(self, status: int, kind: str, text: str) -> None:
        data = json.dumps({"error": {"type": kind, "message": text}}).encode()
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)
