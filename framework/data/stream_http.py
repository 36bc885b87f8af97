"""/replay-normalized of tardis-machine: one message a line over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from framework.data.schema import short
from framework.errors import VenueError

if TYPE_CHECKING:
    from framework.data.stream_link import Request

LONGEST_LINE = 16 * 2**20
LONGEST_ERROR = 1 << 14


async def lines(request: Request, limit: float) -> AsyncGenerator[str, None]:
    """Yield the lines of a replay; `limit`: seconds without a byte after which it counts as broken.

    Raises
    ------
    VenueError
        No answer, a refusal (with the server's words), or a replay that was cut.
    """
    import httpx

    count = 0
    try:
        async with (
            httpx.AsyncClient(timeout=limit, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", request.target()) as answer,
        ):
            if answer.status_code != 200:
                raise VenueError(f"{request.url}: {await refusal(answer)}")
            rest = b""
            async for block in answer.aiter_bytes():
                *whole, rest = (rest + block).split(b"\n")
                if len(rest) > LONGEST_LINE:
                    raise VenueError(f"{request.url}: line {count + len(whole) + 1} has no end")
                for line in whole:
                    count += 1
                    yield line.decode("utf-8", "replace")
            if rest.strip():
                yield rest.decode("utf-8", "replace")
    except httpx.HTTPError as error:
        what = f"the replay broke after {count} messages" if count else "no answer"
        raise VenueError(f"{request.url}: {what} ({type(error).__name__}); start it again") from None


async def refusal(answer: object) -> str:
    """Return status and words of an answer that is none."""
    import httpx

    assert isinstance(answer, httpx.Response)
    body = b""
    async for block in answer.aiter_bytes():
        body += block
        if len(body) > LONGEST_ERROR:
            break
    text = body.decode("utf-8", "replace")
    try:
        message = json.loads(text)["message"]
    except (ValueError, TypeError, KeyError):
        message = text
    return f"answered {answer.status_code}: {short(str(message))}"
