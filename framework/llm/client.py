"""HolySheep: decisions of a model, paid once and replayed for ever.

In mode "replay", the default, no socket is opened: a decision comes from the store, and one that was never
recorded is a `CacheMiss` that says what to do. A key in the environment alone never spends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framework.errors import CacheMiss, ConfigError, DataError, FrameworkError
from framework.llm import canary, cutoffs, prices, settings
from framework.llm import prompt as briefs
from framework.llm.decision import Decision, Prompt
from framework.llm.ladder import RUNGS
from framework.llm.nearest import nearest_words, requests_of
from framework.llm.planned import Planned, RecordedAnalyst, Way
from framework.llm.record import Record, key_of, missing, to_decision
from framework.llm.recording import Shelf, Till, read_record

if TYPE_CHECKING:
    from framework.llm.budget import Budget
    from framework.llm.journal import Journal
    from framework.llm.sender import Sender
    from framework.llm.wire import Wire


class HolySheep:
    """A cached model behind an OpenAI-compatible endpoint (HOLYSHEEP_BASE_URL, paid with HOLYSHEEP_API_KEY).

    Parameters
    ----------
    model : name of the model as the endpoint knows it
    temperature, max_tokens : sampling; part of the key
    mode : "replay" answers from the store alone; "record" asks what is not in it (this spends money);
        "refresh" asks everything again, once per unique prompt, and replaces what is stored; "live" asks one
        at a time, and what fails is a missing decision, never an exception
    sample : which of several answers to the same question: 0, 1, 2 ... are asked, kept and paid apart
    store : a Store, its folder, or anything with `get` and `set`; default SHEEPFOLD_CACHE or ~/.cache/...
    journal : of mode "live": a file to which each answer is appended before it is returned
    budget : USD, or a `Budget`, also one that other processes share; None = no limit
    price_in, price_out, price_cached : USD per million tokens, over the table of models
    response_format : "json_schema", "json_object" or "text"; default what the endpoint is found to know
    stream : ask for a stream; the reply is the same
    timeout : seconds for one attempt
    retries : further attempts after a failed one
    repairs : further turns after an invalid reply, each shown what was wrong
    concurrency : questions in flight at once; more than the relay likes lengthens the recorded latency
    rpm, tpm : requests and tokens per minute; default what the relay's headers say
    models : a table of models over the bundled one; default SHEEPFOLD_MODELS
    canary : ask five fixed questions before and after a recording of 50 or more; `alarms` says what changed

    Raises
    ------
    ConfigError
        A parameter is out of range; no key, or no known price, when it may ask.
    """

    stand_in = False

    def __init__(self, model: str = "deepseek-v3.2", *, temperature: float = 0.3, max_tokens: int = 800,
                 mode: str = "replay", sample: int = 0, store: Shelf | str | os.PathLike[str] | None = None,
                 journal: str | os.PathLike[str] | None = None, budget: Budget | float | None = None,
                 price_in: float | None = None, price_out: float | None = None,
                 price_cached: float | None = None, response_format: str | None = None, stream: bool = False,
                 timeout: float = 60.0, retries: int = 3, repairs: int = 1, concurrency: int = 4,
                 rpm: float | None = None, tpm: float | None = None,
                 models: str | os.PathLike[str] | None = None, canary: bool = True) -> None:
        settings.check_sampling(model, temperature, max_tokens, sample)
        settings.check_effort(timeout, retries, repairs, concurrency, rpm, tpm)
        settings.check_mode(mode, response_format, journal)
        self.model, self.name, self.mode = model, f"HolySheep {model}", mode
        self.temperature, self.max_tokens, self.sample = float(temperature), int(max_tokens), int(sample)
        self.timeout, self.retries, self.repairs = float(timeout), int(retries), int(repairs)
        self.concurrency, self.stream, self.canary = int(concurrency), bool(stream), bool(canary)
        self.rpm, self.tpm, self.models = rpm, tpm, models
        self.price = prices.price_of(model, price_in, price_out, price_cached, models)
        self.progress: Callable[[int, int], None] | None = None  # (answered, asked) while recording
        dated = (self.price.source, self.price.date) if self.price else ("", "")
        self.spent = prices.Spent(prices=dated[0], prices_date=dated[1])  # of this object; 0 on replay
        self.alarms: tuple[str, ...] = ()  # of the canary: what changed during the last recording
        self._rung = response_format
        self._tape: dict[str, Record] = {}
        self._failed: dict[str, str] = {}  # key -> why the last time it was asked gave no answer
        self._asked: set[str] = set()  # refreshed by this object already
        self._store, self.budget = store, budget
        self._sender: Sender | None = None
        from framework.llm.wire import endpoint

        self.url, self.endpoint, self.is_loopback = endpoint()
        if self.asks:
            self._check_spending()
        self._journal = self._open_journal(journal)

    @property
    def asks(self) -> bool:
        """True when this client may open a socket and spend."""
        return self.mode != "replay"

    @property
    def spent_usd(self) -> float:
        """Real money this object has spent, USD; more in `spent`."""
        return self.spent.usd

    @property
    def stopped(self) -> str:
        """Why the last recording gave up before it had asked everything; "" when it did not."""
        return self._sender.stopped if self._sender else ""

    def __repr__(self) -> str:
        return f"HolySheep({self.model!r}, temperature={self.temperature}, mode={self.mode!r})"

    def plan(self, prompts: Sequence[Prompt]) -> Planned:
        """Return what `decide` would ask and cost at most. Opens no socket and needs no key.

        Raises
        ------
        DataError
            The store is damaged.
        """
        wanted = {key_of(request): request for request in map(self.request, prompts)}
        unknown = [request for key, request in wanted.items() if not self._recall(key)]
        price, worst = self.price, float("nan")
        if price is not None:
            till = Till(price, None, self.spent, self.repairs)
            each = [till.worst(one["body"])[0] for one in [*unknown, *canary.extra(self, len(unknown))]]
            steps = 0 if self._known_rung() else len(RUNGS) - 1  # empty answers on the way down the ladder
            worst = sum(each) + steps * max(each, default=0.0)
        return Planned(
            prompts=len(prompts), unique=len(wanted), cached=len(wanted) - len(unknown), to_ask=len(unknown),
            worst_usd=worst, priced=price is not None, model=self.model,
            source=price.source if price else "", date=price.date if price else "",
        )  # fmt: skip

    def decide(self, prompts: Sequence[Prompt]) -> list[Decision]:
        """Return one decision per prompt, in order; equal prompts are paid once and booked each.

        A call that fails after its retries, or that the relay refuses, gives status "missing" and is not
        stored: the run is incomplete and the next one asks only what is missing. After five failed questions
        in a row the rest is not asked (`stopped` says why).

        Raises
        ------
        CacheMiss
            Not recording, and a decision was never recorded.
        BudgetExceeded
            The budget is used up. What was answered before is kept: the next run asks only the rest.
        VenueError
            The relay refuses key, model or credit, redirects, or refuses the first three questions alike.
            What was answered before is kept.
        DataError
            The store is damaged, or the disk is full.
        """
        if self.mode == "live":
            return [self._live(prompt) for prompt in prompts]
        return self._decide(prompts)

    def request(self, prompt: Prompt) -> Record:
        """Return the key material of a prompt: all that is sent, and nothing else."""
        return self._way().request(prompt)

    def records(self, keys: Iterable[str] | None = None) -> list[Record]:
        """Return the records behind the given keys (default all used so far), for a run's cassette."""
        chosen = self._tape if keys is None else {key for key in keys if key in self._tape}
        return [self._tape[key] for key in sorted(chosen)]

    def recorded(self, prompts: Sequence[Prompt]) -> RecordedAnalyst:
        """Return an analyst for workers that holds the records of these prompts, and nothing that could ask.

        Raises
        ------
        CacheMiss
            A prompt was neither recorded nor asked in vain.
        """
        asked = [(prompt, self.request(prompt)) for prompt in prompts]
        wanted = {key_of(request): (prompt, request) for prompt, request in asked}
        absent = {k: pair for k, pair in wanted.items() if k not in self._failed and not self._recall(k)}
        if absent:
            raise self._miss(absent, len(wanted))
        records = {key: self._tape[key] for key in wanted if key in self._tape}
        failed = {key: self._failed[key] for key in wanted if key not in records}
        edge = cutoffs.cutoff_ns(self.model, self.models)
        return RecordedAnalyst(self._way(), records, failed, self.describe(), edge)

    def describe(self) -> dict[str, Any]:
        """Return what a manifest pins: model, sampling, prompt version, prices, cutoff. JSON-serialisable."""
        price, claims = self.price, cutoffs.claims_of(self.model, self.models)
        return {
            "name": self.name, "model": self.model, "stand_in": self.stand_in,
            "temperature": self.temperature, "max_tokens": self.max_tokens, "sample": self.sample,
            "response_format": self._known_rung() or RUNGS[0], "repairs": self.repairs,
            "prompt": f"{briefs.TEMPLATE} v{briefs.VERSION}",
            "cutoff_ns": cutoffs.cutoff_ns(self.model, self.models),
            "cutoff_margin_days": cutoffs.MARGIN_DAYS, "cutoffs": [asdict(claim) for claim in claims],
            "price": asdict(price) if price else None,
        }  # fmt: skip

    def close(self) -> None:
        """Close connections, the store and the journal."""
        for one in (self._sender, self._store, self._journal):
            close = getattr(one, "close", None)
            if close is not None:
                close()

    def __enter__(self) -> HolySheep:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------- recorded

    def _decide(self, prompts: Sequence[Prompt]) -> list[Decision]:
        self._failed.clear()
        if self.asks and prompts and self._known_rung() is None:
            self._find_rung(prompts)
        asked = [(prompt, self.request(prompt)) for prompt in prompts]
        keys = [key_of(request) for _, request in asked]
        wanted = {key: pair for key, pair in zip(keys, asked, strict=True)
                  if key not in self._failed and not self._recall(key)}  # fmt: skip
        if wanted and not self.asks:
            raise self._miss(wanted, len(set(keys)))
        if wanted:
            self._ask(wanted)
        return [self._decision(key, prompt) for key, prompt in zip(keys, prompts, strict=True)]

    def _recall(self, key: str) -> bool:
        """Fetch a record from the tape or the store; False when it has to be asked."""
        if self.mode == "refresh" and key not in self._asked:
            return False
        if key in self._tape:
            return True
        shelf = self._shelf()
        text = shelf.get(key) if shelf is not None else None
        if text is None:
            return False
        self._keep(key, read_record(text, key))
        return True

    def _shelf(self) -> Shelf | None:
        """Return the open store; None when replaying and there is no folder yet."""
        if self._store is None or isinstance(self._store, (str, os.PathLike)):
            from framework.llm.store import Store, default_folder

            folder = default_folder() if self._store is None else Path(self._store)
            if not (self.asks or folder.exists()):
                return None
            self._store = Store(folder)
        return self._store

    def _miss(self, wanted: Mapping[str, tuple[Prompt, Record]], unique: int) -> CacheMiss:
        first, request = min(wanted.values(), key=lambda pair: pair[0].ts)
        near = nearest_words(request, requests_of(self._shelf())) or "nothing was recorded at all"
        return CacheMiss(
            f"{len(wanted)} of {unique} decisions of {self.model} were never recorded, the first for "
            f"{first.brief.symbol} at {briefs.when(first.ts)}; {near}; run with --record to ask HolySheep "
            "(this spends money), or without a model for the offline Rules"
        )

    def _decision(self, key: str, prompt: Prompt) -> Decision:
        seen = cutoffs.in_sample(self.model, prompt.ts, self.models)
        if key in self._failed:
            return missing(prompt, key, self.model, seen, self._failed[key])
        return to_decision(self._tape[key], prompt, seen)

    def _way(self) -> Way:
        """Return how questions are put; the top of the ladder while the endpoint's rung is not known."""
        rung = self._known_rung() or RUNGS[0]
        return Way(self.endpoint, self.model, self.temperature, self.max_tokens, rung, self.sample)

    def _known_rung(self) -> str | None:
        """Return the rung that was given, or found by the recording that asked this model first."""
        if self._rung is None:
            shelf = self._shelf()
            found = shelf.get(self._rung_name) if shelf is not None else None
            if found is not None and found not in RUNGS:
                raise DataError(f"stored {self._rung_name} is {found[:40]!r}; give response_format=")
            self._rung = found
        return self._rung

    @property
    def _rung_name(self) -> str:
        return f"rung:{self.endpoint}:{self.model}"

    # ------------------------------------------------------------------------------------------- recording

    def _check_spending(self) -> None:
        from framework.llm.wire import api_key

        api_key()
        if self.price is None:
            raise ConfigError(
                f"no price is known for {self.model!r} (known: {', '.join(prices.priced(self.models))}); "
                "give price_in and price_out in USD per million tokens, or a table of models "
                "(models=, SHEEPFOLD_MODELS)"
            )

    def _open_journal(self, journal: str | os.PathLike[str] | None) -> Journal | None:
        if journal is None:
            return None
        from framework.llm.journal import Journal

        return Journal(journal)

    def _live(self, prompt: Prompt) -> Decision:
        """Return the decision of one prompt, now; a failure of any kind is a missing one."""
        try:
            return self._decide([prompt])[0]
        except FrameworkError as error:
            key, seen = key_of(self.request(prompt)), cutoffs.in_sample(self.model, prompt.ts, self.models)
            return missing(prompt, key, self.model, seen, str(error))

    def _sent(self) -> Sender:
        """Return what asks for this client."""
        if self._sender is None:
            from framework.llm.sender import Sender

            shelf = self._shelf()
            assert shelf is not None
            self._sender = Sender(self, shelf, self._keep)
        return self._sender

    def _open_wire(self) -> Wire:
        return self._sent().open()

    def _find_rung(self, prompts: Sequence[Prompt]) -> None:
        """Find out how the endpoint can be asked, by one question alone, and store it."""
        shelf = self._shelf()
        assert shelf is not None

        def found(rung: str) -> None:
            shelf.set(self._rung_name, rung)
            self._rung = rung

        self._failed.update(self._sent().find_rung(prompts, self._way(), self._known_rung, found))

    def _ask(self, wanted: dict[str, tuple[Prompt, Record]]) -> None:
        """Ask, storing each answer as it comes; note what stayed unanswered."""
        self._failed.update(self._sent().ask(wanted))

    def _keep(self, key: str, record: Record) -> None:
        """Take a record to the tape, and to the journal of a live run."""
        if self._journal is not None:
            self._journal.append(record)
        self._tape[key] = record
        self._asked.add(key)
