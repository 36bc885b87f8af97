"""The report of a run: one self-contained page, its pictures, and results side by side."""

from __future__ import annotations

from typing import Any, Protocol

import polars as pl


class Run(Protocol):
    """What the rooms of this package need of a result (framework.result lies on a higher floor)."""

    params: dict[str, Any]
    manifest: dict[str, Any]
    status: str
    notes: list[str]
    spent: float | None

    @property
    def metrics(self) -> dict[str, float | int | str | None]: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def bounds(self) -> dict[str, dict[str, Any]] | None: ...
    @property
    def orders(self) -> pl.DataFrame: ...
    @property
    def fills(self) -> pl.DataFrame: ...
    @property
    def trades(self) -> pl.DataFrame: ...
    @property
    def equity(self) -> pl.DataFrame: ...
    @property
    def decisions(self) -> pl.DataFrame: ...
    @property
    def price(self) -> pl.DataFrame: ...
    @property
    def baselines(self) -> list[dict[str, Any]] | None: ...
    @property
    def has_baselines(self) -> bool: ...
    @property
    def calibration(self) -> dict[str, Any] | None: ...
    @property
    def split(self) -> dict[str, Any] | None: ...
