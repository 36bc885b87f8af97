"""Broken, odd and good HTTP answers, each with its verdict when it is asked for once.

(name, bytes of the whole answer, verdict): "ok", "reply: <problem>" for one that is stored as invalid,
"again: <fault>" for what is worth a retry, "refused: <status>", "stop" for what ends the recording.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

from tests.llm_bench import GOOD
from tests.llm_raw import envelope, response

Row = tuple[str, bytes, str]
BODY = json.dumps(envelope()).encode()


def http(*headers: str, body: bytes = BODY, status: str = "200 OK", version: str = "HTTP/1.1") -> bytes:
    """Return an answer of exactly these headers."""
    return "\r\n".join([f"{version} {status}", *headers, "", ""]).encode("latin-1") + body


def sized(*headers: str, body: bytes = BODY, status: str = "200 OK") -> bytes:
    """Return an answer that says its length."""
    return http(f"Content-Length: {len(body)}", *headers, body=body, status=status)


def chunked(*parts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """Return a chunked answer."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return http("Transfer-Encoding: chunked", body=body + end)


def reply(content: Any = GOOD, **message: Any) -> bytes:
    """Return a healthy answer around any content."""
    whole = envelope()
    whole["choices"][0]["message"] = {"role": "assistant", "content": content, **message}
    return response(whole)


def whole(**changes: Any) -> bytes:
    """Return an answer with other fields in the envelope."""
    return response(envelope() | changes)


CHOICE = envelope()["choices"][0]
PROTOCOL = "again: no answer: RemoteProtocolError"
UNREADABLE = "again: unreadable answer"
COMPRESSED = "again: no answer: compressed"

ANSWERS: list[Row] = [
    # the protocol
    ("as it is", response(envelope()), "ok"),
    ("the same length twice", http(f"Content-Length: {len(BODY)}", f"Content-Length: {len(BODY)}"), "ok"),
    ("two lengths", http(f"Content-Length: {len(BODY)}", "Content-Length: 5"), PROTOCOL),
    ("negative length", http("Content-Length: -1"), PROTOCOL),
    ("length in words", http("Content-Length: all"), PROTOCOL),
    ("length too long", http(f"Content-Length: {len(BODY) + 9}"), PROTOCOL),
    ("length too short", http(f"Content-Length: {len(BODY) - 9}"), UNREADABLE),
    ("HTTP/1.0 without length", http(version="HTTP/1.0"), "ok"),
    ("HTTP/1.0 without length, cut", http(body=BODY[:90], version="HTTP/1.0"), UNREADABLE),
    ("HTTP/1.1 without length", http("Connection: close"), "ok"),
    ("another protocol", http(version="ICY"), PROTOCOL),
    ("another version", http(version="HTTP/3.7"), "ok"),
    ("no status line", BODY, PROTOCOL),
    ("nothing at all", b"", PROTOCOL),
    ("half a header", b"HTTP/1.1 200 OK\r\nContent-Le", PROTOCOL),
    ("no such status", sized(status="999 Odd"), "again: HTTP 999"),
    ("no reason phrase", sized(status="200 "), "ok"),
    ("a header without a colon", sized("Oddity"), PROTOCOL),
    ("NUL in a header", sized("X-Odd: a\x00b"), PROTOCOL),
    ("a header of 200 kB", sized("X-Long: " + "a" * 200_000), PROTOCOL),
    ("headers in latin-1", sized("X-Name: \xe9"), "ok"),
    ("continued first", b"HTTP/1.1 100 Continue\r\n\r\n" + sized(), "ok"),
    ("chunked", chunked(BODY[:50], BODY[50:]), "ok"),
    ("chunked, with a trailer", chunked(BODY, end=b"0\r\nX-Sum: 1\r\n\r\n"), "ok"),
    ("chunked, cut in a chunk", chunked(BODY)[:-60], PROTOCOL),
    ("chunked, cut between chunks", chunked(BODY, end=b""), PROTOCOL),
    ("chunked, no number", chunked(BODY, end=b"zz\r\n"), PROTOCOL),
    ("chunked and sized", http("Transfer-Encoding: chunked", "Content-Length: 3",
                               body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)), "ok"),
    ("another transfer encoding", http("Transfer-Encoding: gzip"), PROTOCOL),
    ("more after the end", sized() + b"HTTP/1.1 200 OK\r\n", "ok"),
    # encodings
    ("gzip", sized("Content-Encoding: gzip", body=gzip.compress(BODY, mtime=0)), COMPRESSED),
    ("gzip by name only", sized("Content-Encoding: gzip"), COMPRESSED),
    ("br", sized("Content-Encoding: br"), COMPRESSED),
    ("identity", sized("Content-Encoding: identity"), "ok"),
    ("gzip, not said", sized(body=gzip.compress(BODY, mtime=0)), UNREADABLE),
    ("UTF-16", sized(body=BODY.decode().encode("utf-16")), UNREADABLE),
    ("latin-1", sized(body=BODY.replace(b'"x"', b'"\xe9"')), UNREADABLE),
    ("byte order mark", sized(body=b"\xef\xbb\xbf" + BODY), "ok"),
    ("cut within a character", sized(body=BODY.replace(b'"x"', b'"\xe2\x82"')), UNREADABLE),
    ("said to be HTML", sized("Content-Type: text/html"), "ok"),
    ("said to be another charset", sized("Content-Type: application/json; charset=utf-16"), "ok"),
    ("said to be a stream", sized("Content-Type: text/event-stream"), UNREADABLE),
    # JSON
    ("empty", sized(body=b""), UNREADABLE),
    ("white space", sized(body=b" \n"), UNREADABLE),
    ("a page", sized(body=b"<html>sign in</html>"), UNREADABLE),
    ("two documents", sized(body=BODY + BODY), UNREADABLE),
    ("guarded", sized(body=b")]}'\n" + BODY), UNREADABLE),
    ("null", sized(body=b"null"), UNREADABLE),
    ("text", sized(body=b'"busy"'), UNREADABLE),
    ("an array", sized(body=b"[" + BODY + b"]"), UNREADABLE),
    ("NaN", sized(body=BODY.replace(b"800", b"NaN")), UNREADABLE),
    ("1e999", sized(body=BODY.replace(b"800", b"1e999")), UNREADABLE),
    ("nested without end", sized(body=b'{"choices":' + b"[" * 100_000), UNREADABLE),
    ("a number of 5000 digits", sized(body=BODY.replace(b"800", b"1" * 5000)), UNREADABLE),
    ("an error as an answer", response({"error": {"message": "no upstream"}}), UNREADABLE),
    # choices and messages
    ("no choices", whole(choices=[]), UNREADABLE),
    ("two choices", whole(choices=[CHOICE, CHOICE]), UNREADABLE),
    ("choices null", whole(choices=None), UNREADABLE),
    ("choices of text", whole(choices=["x"]), UNREADABLE),
    ("choices as an object", whole(choices={"0": CHOICE}), UNREADABLE),
    ("no message", whole(choices=[{"finish_reason": "stop"}]), UNREADABLE),
    ("message null", whole(choices=[{"message": None}]), UNREADABLE),
    ("message as text", whole(choices=[{"message": "buy"}]), UNREADABLE),
    ("old completion", whole(choices=[{"text": GOOD, "finish_reason": "stop"}]), UNREADABLE),
    ("content null", reply(None), "reply: reply is empty"),
    ("content a number", reply(7), "reply: reply is empty"),
    ("content an object", reply(json.loads(GOOD)), "reply: reply is empty"),
    ("content in parts", reply([{"type": "text", "text": part} for part in (GOOD[:9], GOOD[9:])]), "ok"),
    ("a part without text", reply([{"type": "text"}]), UNREADABLE),
    ("a picture", reply([{"type": "image_url", "image_url": {}}]), "reply: reply is empty"),
    ("content of odd parts", reply([GOOD]), UNREADABLE),
    ("tool call", reply(tool_calls=[{"id": "1", "function": {"name": "buy"}}]), "reply: reply calls a tool"),
    ("old function call", reply(function_call={"name": "buy"}), "reply: reply calls a tool"),
    ("refusal", reply(None, refusal="no"), "reply: the model or its filter refused to answer"),
    ("finish a number", whole(choices=[CHOICE | {"finish_reason": 1}]), "reply: finish reason '1', not stop"),
    ("finish null", whole(choices=[CHOICE | {"finish_reason": None}]), "reply: finish reason missing"),
    ("unknown fields", whole(x={"y": [1]}, latency_ms=3.5), "ok"),
    ("fields of a wrong kind", whole(model=7, id=[], system_fingerprint={}, usage="much"), "ok"),
    ("no usage", whole(usage=None), "ok"),
    ("usage that lies", whole(usage={"prompt_tokens": -5, "completion_tokens": 10**30}), "ok"),
    ("4 MB of white space", sized(body=BODY + b" " * (4 * 2**20 - len(BODY))), "ok"),
    ("10 MB", sized(body=BODY + b" " * 10 * 2**20), "reply: reply is larger than 4 MiB"),
    # statuses
    *((f"HTTP {n}", sized(status=f"{n} x"), f"again: HTTP {n}")
      for n in (408, 409, 429, 500, 502, 503, 504, 520, 529)),
    *((f"HTTP {n}", sized(status=f"{n} x"), f"refused: {n}")
      for n in (201, 202, 206, 400, 405, 406, 410, 413, 415, 422, 424, 425, 431, 451)),
    ("HTTP 204", http(body=b"", status="204 No Content"), "refused: 204"),
    *((f"HTTP {n}", sized("Location: http://127.0.0.1:9/v1", status=f"{n} x"), "stop")
      for n in (301, 302, 303, 307, 308)),
    *((f"HTTP {n}", sized(status=f"{n} x"), "stop") for n in (300, 304, 401, 402, 403, 404)),
    ("429, wait an hour", sized("Retry-After: 3600", status="429 x"), "again: HTTP 429; the relay asks to"),
    ("503, for good", sized("x-should-retry: false", status="503 x"), "again: HTTP 503, after 1 attempt;"),
    ("400, come back", sized("x-should-retry: true", status="400 x"), "again: HTTP 400"),
    ("error that is no JSON", sized(body=b"\xff\x00<html>", status="400 x"), "refused: 400"),
    ("error of 100,000 brackets", sized(body=b"[" * 100_000, status="400 x"), "refused: 400"),
]  # fmt: skip
