"""What a client may be told: each setting is checked where it is given."""

from __future__ import annotations

import math
import os

from framework.errors import ConfigError, near
from framework.llm.ladder import RUNGS

MODES = ("replay", "record", "refresh", "live")
MOST_REPAIRS = 5


def check_sampling(model: object, temperature: float, max_tokens: object, sample: object) -> None:
    """Refuse what cannot be sent."""
    if not isinstance(model, str) or not model.strip() or len(model) > 200 or not model.isprintable():
        raise ConfigError("model must be the name of a model, like 'deepseek-v3.2'")
    if isinstance(temperature, bool) or not (math.isfinite(temperature) and 0.0 <= temperature <= 2.0):
        raise ConfigError(f"temperature={temperature} must be a number from 0 to 2")
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1:
        raise ConfigError(f"max_tokens={max_tokens} must be a whole number, 1 or more")
    if isinstance(sample, bool) or not isinstance(sample, int) or sample < 0:
        raise ConfigError(f"sample={sample} must be a whole number, 0 or more")


def check_effort(timeout: float, retries: int, repairs: int, concurrency: int, rpm: float | None,
                 tpm: float | None) -> None:
    """Refuse times, counts and rates that make no sense."""
    if not (math.isfinite(timeout) and timeout > 0.0):
        raise ConfigError(f"timeout={timeout} must be a positive number of seconds")
    for name, value, least, most in (("retries", retries, 0, 10), ("repairs", repairs, 0, MOST_REPAIRS),
                                     ("concurrency", concurrency, 1, 64)):  # fmt: skip
        if not isinstance(value, int) or not least <= value <= most:
            raise ConfigError(f"{name}={value} must be a whole number from {least} to {most}")
    for name, rate in (("rpm", rpm), ("tpm", tpm)):
        if rate is not None and not (math.isfinite(rate) and rate > 0.0):
            raise ConfigError(f"{name}={rate} must be a positive number per minute")


def check_mode(mode: object, response_format: object, journal: str | os.PathLike[str] | None) -> None:
    """Refuse a mode or format nobody knows, and a journal that would stay empty."""
    if mode not in MODES:
        raise ConfigError(f"mode={mode!r}: {near(str(mode), MODES)}")
    if response_format is not None and response_format not in RUNGS:
        raise ConfigError(f"response_format={response_format!r}: {near(str(response_format), RUNGS)}")
    if journal is not None and mode != "live":
        raise ConfigError(f"journal is for mode='live'; in mode={mode!r} the store keeps all answers")
