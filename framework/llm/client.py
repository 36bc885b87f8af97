"""HolySheep: decisions of a model, paid once and replayed for ever.

Without `record` or `refresh` no socket is opened: a decision comes from the store, and one that was never
recorded is a `CacheMiss` that says what to do. A key in the environment alone never spends.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from framework.errors import CacheMiss, ConfigError, DataError, FrameworkError
from framework.llm import cutoffs, prices
from framework.llm import prompt as briefs
from framework.llm import record as recording
from framework.llm.asking import Outcome, Patience, ask_all
from framework.llm.decision import Decision, Prompt
from framework.llm.record import Record, Reply, canonical, key_of
from framework.llm.redact import secret_in

if TYPE_CHECKING:
    from framework.llm.wire import Sent, Wire

RESPONSE_FORMAT = {"type": "json_object"}  # seat of the capability ladder: it is part of the key


class Shelf(Protocol):
    """Where records are kept: text by key."""

    def get(self, key: str) -> str | None: ...

    def set(self, key: str, text: str) -> None: ...


class HolySheep:
    """A cached model behind an OpenAI-compatible endpoint (HOLYSHEEP_BASE_URL, paid with HOLYSHEEP_API_KEY).

    Parameters
    ----------
    model : name of the model as the endpoint knows it
    temperature, max_tokens : sampling; part of the key
    record : ask what is not yet in the store (this spends money)
    refresh : ask everything again, once per unique prompt, and replace what is stored
    store : a Store, its folder, or anything with `get` and `set`; default SHEEPFOLD_CACHE or ~/.cache/...
    price_in, price_out : USD per million tokens, over the built-in table
    timeout : seconds for one attempt
    retries : further attempts after a failed one
    concurrency : questions in flight at once; more than the relay likes lengthens the recorded latency

    Raises
    ------
    ConfigError
        A parameter is out of range; no key, or no known price, when recording.
    """

    stand_in = False

    def __init__(self, model: str = "deepseek-v3.2", *, temperature: float = 0.3, max_tokens: int = 800,
                 record: bool = False, refresh: bool = False,
                 store: Shelf | str | os.PathLike[str] | None = None, price_in: float | None = None,
                 price_out: float | None = None, timeout: float = 60.0, retries: int = 3,
                 concurrency: int = 4) -> None:
        _check_sampling(model, temperature, max_tokens)
        _check_effort(timeout, retries, concurrency)
        self.model, self.name = model, f"HolySheep {model}"
        self.temperature, self.max_tokens = float(temperature), int(max_tokens)
        self.record, self.refresh = bool(record), bool(refresh)
        self.timeout, self.retries, self.concurrency = float(timeout), int(retries), int(concurrency)
        self.price = prices.price_of(model, price_in, price_out)
        self.progress: Callable[[int, int], None] | None = None  # (answered, asked) while recording
        dated = (self.price.source, self.price.date) if self.price else ("", "")
        self.spent = prices.Spent(prices=dated[0], prices_date=dated[1])  # of this object; 0 on replay
        self.stopped = ""  # why the last recording gave up before it had asked everything
        self._patience = Patience()
        self._tape: dict[str, Record] = {}
        self._asked: set[str] = set()  # refreshed by this object already
        self._store = store
        self._wire: Wire | None = None
        from framework.llm.wire import endpoint

        self.url, self.endpoint, self._loopback = endpoint()
        if self.record or self.refresh:
            self._check_spending()

    @property
    def spent_usd(self) -> float:
        """Real money this object has spent, USD; more in `spent`."""
        return self.spent.usd

    def __repr__(self) -> str:
        mode = "refresh" if self.refresh else "record" if self.record else "replay"
        return f"HolySheep({self.model!r}, temperature={self.temperature}, mode={mode!r})"

    def decide(self, prompts: Sequence[Prompt]) -> list[Decision]:
        """Return one decision per prompt, in order; equal prompts are paid once and booked each.

        A call that fails after its retries, or that the relay refuses, gives status "missing" and is not
        stored: the run is incomplete and the next one asks only what is missing. After five failed questions
        in a row the rest is not asked (`stopped` says why).

        Raises
        ------
        CacheMiss
            Not recording, and a decision was never recorded.
        VenueError
            The relay refuses key, model or credit, redirects, or refuses the first three questions alike.
            What was answered before is kept.
        DataError
            The store is damaged.
        """
        asked = [(prompt, self.request(prompt)) for prompt in prompts]
        keys = [key_of(request) for _, request in asked]
        wanted = {key: pair for key, pair in zip(keys, asked, strict=True) if not self._recall(key)}
        if wanted and not (self.record or self.refresh):
            raise self._miss(wanted, len(set(keys)))
        failed = self._ask(wanted) if wanted else {}
        return [self._decision(key, prompt, failed) for key, prompt in zip(keys, prompts, strict=True)]

    def request(self, prompt: Prompt) -> Record:
        """Return the key material of a prompt: all that is sent, and nothing else."""
        body = {
            "model": self.model,
            "messages": recording.messages_of(prompt),
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "response_format": RESPONSE_FORMAT,
        }
        return recording.request_of(self.endpoint, body)

    def records(self, keys: Iterable[str] | None = None) -> list[Record]:
        """Return the records behind the given keys (default all used so far), for a run's cassette."""
        chosen = self._tape if keys is None else {key for key in keys if key in self._tape}
        return [self._tape[key] for key in sorted(chosen)]

    def describe(self) -> dict[str, Any]:
        """Return what a manifest pins: model, sampling, prompt version, prices, cutoff. JSON-serialisable."""
        price = self.price
        return {
            "name": self.name, "model": self.model, "stand_in": self.stand_in,
            "temperature": self.temperature, "max_tokens": self.max_tokens,
            "response_format": RESPONSE_FORMAT["type"],
            "prompt": f"{briefs.TEMPLATE} v{briefs.VERSION}", "cutoff_ns": cutoffs.cutoff_ns(self.model),
            "price": price and {"input": price.input, "output": price.output, "source": price.source},
        }  # fmt: skip

    def close(self) -> None:
        """Close connections and the store."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        close = getattr(self._store, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> HolySheep:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------- recorded

    def _recall(self, key: str) -> bool:
        """Fetch a record from the tape or the store; False when it has to be asked."""
        if self.refresh and key not in self._asked:
            return False
        if key in self._tape:
            return True
        shelf = self._shelf()
        text = shelf.get(key) if shelf is not None else None
        if text is None:
            return False
        self._tape[key] = _read_record(text, key)
        return True

    def _shelf(self) -> Shelf | None:
        """Return the open store; None when replaying and there is no folder yet."""
        if self._store is None or isinstance(self._store, (str, os.PathLike)):
            from framework.llm.store import Store, default_folder

            folder = default_folder() if self._store is None else Path(self._store)
            if not (self.record or self.refresh or folder.exists()):
                return None
            self._store = Store(folder)
        return self._store

    def _miss(self, wanted: Mapping[str, tuple[Prompt, Record]], unique: int) -> CacheMiss:
        first = min((prompt for prompt, _ in wanted.values()), key=lambda p: p.ts)
        return CacheMiss(
            f"{len(wanted)} of {unique} decisions of {self.model} were never recorded, the first for "
            f"{first.brief.symbol} at {briefs.when(first.ts)}; run with --record to ask HolySheep (this "
            "spends money), or without a model for the offline Rules. Model and endpoint (here "
            f"{self.endpoint!r}, from HOLYSHEEP_BASE_URL) are part of what is looked up: answers of another "
            "one are not found"
        )

    def _decision(self, key: str, prompt: Prompt, failed: Mapping[str, str]) -> Decision:
        seen = cutoffs.in_sample(self.model, prompt.ts)
        if key in failed:
            return recording.missing(prompt, key, self.model, seen, failed[key])
        return recording.to_decision(self._tape[key], prompt, seen)

    # ------------------------------------------------------------------------------------------- recording

    def _check_spending(self) -> None:
        from framework.llm.wire import api_key

        api_key()
        if self.price is None:
            raise ConfigError(
                f"no price is known for {self.model!r} (known: {', '.join(prices.PRICES)}); "
                "give price_in and price_out in USD per million tokens"
            )

    def _ask(self, wanted: Mapping[str, tuple[Prompt, Record]]) -> dict[str, str]:
        """Ask, storing each answer as it comes; return key -> problem of what stayed unanswered."""
        for prompt, _ in wanted.values():
            if variable := secret_in(f"{prompt.system} {prompt.text}"):
                raise ConfigError(
                    f"the question for {prompt.brief.symbol} at {briefs.when(prompt.ts)} holds the secret of "
                    f"{variable}; nothing was asked, take it out of the prompt"
                )
        wire, failed = self._open_wire(), dict[str, str]()
        bodies = {key: request["body"] for key, (_, request) in wanted.items()}

        def take(key: str, outcome: Outcome) -> Exception | None:
            return self._take(key, wanted[key], outcome, failed)

        try:
            ask_all(wire, self._patience, bodies, self.concurrency, take, self.progress)
        finally:
            self.stopped = wire.why
            self._close_halted(wire)
        return failed

    def _take(self, key: str, asked: tuple[Prompt, Record], outcome: Outcome,
              failed: dict[str, str]) -> Exception | None:
        """Keep an answer or note that there is none; return what has to end the recording."""
        from framework.llm.wire import Refused, Unanswered

        if isinstance(outcome, (Refused, Unanswered)):
            failed[key] = str(outcome)
            return None
        if isinstance(outcome, Exception):
            return outcome
        try:
            self._keep(key, *asked, outcome)
        except FrameworkError as error:
            return error
        return None

    def _keep(self, key: str, prompt: Prompt, request: Record, sent: Sent) -> None:
        assert self.price is not None
        size = len((prompt.system + prompt.text).encode("utf-8", "surrogatepass"))
        tokens = prices.tokens_of(sent.reply.usage, size, self.max_tokens)
        cost = prices.price_tokens(self.price, tokens)

        def recorded(reply: Reply) -> Record:
            return recording.make_record(
                request, prompt, reply, recording.judge(reply, prompt), analyst=self.name, stand_in=False,
                latency_ns=sent.latency_ns, waited_ns=sent.waited_ns, attempts=sent.attempts, cost=cost,
            )  # fmt: skip

        record = recorded(sent.reply)
        text = canonical(record)
        if secret_in(text):  # in pieces that only together make the key: a verdict, or it is asked for ever
            record = recorded(Reply("", problem="reply shows the API key"))
            text = canonical(record)
        shelf = self._shelf()
        assert shelf is not None
        shelf.set(key, text)
        self._tape[key] = record
        self._asked.add(key)
        self.spent.add(tokens, cost)

    def _open_wire(self) -> Wire:
        from framework.llm.wire import Wire

        if self._wire is None:
            self._wire = Wire(self.url, timeout=self.timeout, retries=self.retries, loopback=self._loopback)
        self._wire.retries = 0 if self._patience.is_lost else self.retries
        return self._wire

    def _close_halted(self, wire: Wire) -> None:
        if wire.halted:
            wire.close()
            self._wire = None


def _read_record(text: str, key: str) -> Record:
    where = f"stored decision {key[:16]}"
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        raise DataError(f"{where} is not JSON; use --refresh") from None
    recording.check(record, where)
    if record["key"] != key:
        raise DataError(f"{where} answers another question; use --refresh")
    return dict(record)


def _check_sampling(model: object, temperature: float, max_tokens: object) -> None:
    if not isinstance(model, str) or not model.strip() or len(model) > 200 or not model.isprintable():
        raise ConfigError("model must be the name of a model, like 'deepseek-v3.2'")
    if isinstance(temperature, bool) or not (math.isfinite(temperature) and 0.0 <= temperature <= 2.0):
        raise ConfigError(f"temperature={temperature} must be a number from 0 to 2")
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1:
        raise ConfigError(f"max_tokens={max_tokens} must be a whole number, 1 or more")


def _check_effort(timeout: float, retries: int, concurrency: int) -> None:
    if not (math.isfinite(timeout) and timeout > 0.0):
        raise ConfigError(f"timeout={timeout} must be a positive number of seconds")
    if not isinstance(retries, int) or not 0 <= retries <= 10:
        raise ConfigError(f"retries={retries} must be a whole number from 0 to 10")
    if not isinstance(concurrency, int) or not 1 <= concurrency <= 64:
        raise ConfigError(f"concurrency={concurrency} must be a whole number from 1 to 64")
