"""`sheepfold data record`: what happens now (or happened) into the store."""

from __future__ import annotations

import sys

import typer


def run_record(
    exchange: str, symbols: str, types: str, url: str | None, length: str | None, store: str | None,
    start: str | None, stop: str | None,
) -> int:  # fmt: skip
    """Record until the end, the time is over or Ctrl-C; return 4 where something could not be kept."""
    from framework.data.recorder import record

    done = record(
        exchange, symbols, types, url=url, store=store, length=length, start=start, stop=stop, say=told
    )
    for part in done.parts:
        typer.echo(f"{part.venue} {part.kind} {part.symbol} {str(part.path.stem)[:10]}  {part.rows} rows")
    words = f"{done.messages} messages, {done.rows} rows"
    words += f", {done.gaps} gaps" if done.gaps else ""
    words += f", {done.refused} messages refused" if done.refused else ""
    typer.echo(words)
    return 4 if done.left else 0


def told(line: str) -> None:
    """Say a line of progress on stderr."""
    typer.echo(line, file=sys.stderr)
