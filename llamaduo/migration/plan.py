"""`dry_run=true`: what a migration would do, call and cost, found without doing any of it.

Only the coverage file, finished stages and the request ledger are read. Tokens are estimated from
the bytes of the texts, so the figures are a range and no promise; `budget.usd` is what holds.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from llamaduo import service as services
from llamaduo.base import stdout
from llamaduo.base.errors import ConfigError, LlamaduoError
from llamaduo.base.files import fingerprint
from llamaduo.config import (
    ApiServiceConfig,
    Experiment,
    LlmJudgeConfig,
    ServiceConfig,
)
from llamaduo.judge import Item
from llamaduo.judge.anchors import anchors
from llamaduo.judge.llm import LlmJudge
from llamaduo.lab import Artifact, Stage, label_of
from llamaduo.migration.estimate import Amount, Client, Plan, Purse, State, Step, Who
from llamaduo.migration.loop import ANCHORED
from llamaduo.migration.plan_json import document_of
from llamaduo.migration.plan_text import page
from llamaduo.migration.yardsticks import ASKED, COPIES, copies, shown_name
from llamaduo.money.prices import quote
from llamaduo.records import Pair, Response
from llamaduo.service import Request, Service, kept_answers, ledger_file
from llamaduo.service import ledger as ledgers
from llamaduo.service.transport import Transport
from llamaduo.stages import answer, collect, synthesize
from llamaduo.stages.judge import anchor

A = TypeVar("A", bound=Artifact)
#: Bytes of text to a token, where few tokens, as many as expected, and many are made of it.
BYTES = (5.0, 4.0, 3.0)
#: Tokens of a verdict: a reason of one or two short sentences and two scores, or two long ones.
VERDICT = (40.0, 80.0)
#: The share of replies to be repaired by a second request, in the high estimate.
REPAIRED = 0.1


def show(exp: Experiment) -> None:
    """Print the plan.

    Raises:
        ConfigError: a service that is to be asked has no price; the plan is printed before.
        LlamaduoError: the coverage file or a configuration cannot be used.
    """
    if exp.format == "json":
        with stdout.reserved() as write:
            planned = plan(exp)
            write(document_of(planned))
    else:
        planned = plan(exp)
        print(page(planned, exp), flush=True)
    for client in planned.clients:
        if client.problem is not None:
            raise ConfigError(client.problem)


def plan(exp: Experiment) -> Plan:
    """Plan a migration.

    Raises:
        LlamaduoError: the coverage file or a configuration cannot be used.
    """
    return _Planner(exp).plan()


@dataclass(frozen=True)
class _Kept:
    """The ledger, to read in."""

    ledger: ledgers.Ledger
    transaction: ledgers.Transaction


@contextmanager
def _ledger(home: Path) -> Iterator[_Kept | None]:
    """Open the ledger where there is one, to read it without a trace."""
    path = home.resolve() / ledger_file.NAME
    if not path.exists():
        yield None
        return
    # Reading beside a log needs a file of its own beside the database, unless nobody writes.
    log = path.with_name(path.name + "-wal")
    how = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
    with ledger_file.usable(path):
        connection = sqlite3.connect(f"{path.as_uri()}?{how}", uri=True)
    with closing(connection):
        yield _Kept(ledgers.Ledger(connection, path, ""), ledgers.Transaction(connection, ""))


def _client(who: Who, config: ServiceConfig, exp: Experiment) -> Client:
    if not isinstance(config, ApiServiceConfig):
        source = "nominal: nobody is charged" if config.price.simulated else f"{who}.price"
        return Client(who, config.name, config.kind, config.price, source, None, None)
    limits = config.runtime.limits
    model = config.model if config.retired is None else f"{config.model}, retired {config.retired}"
    try:
        if (gap := services.missing_value(config)) is not None:
            raise ConfigError(f"service={config.name} leaves it to you to set {gap}")
        quoted = quote(config, exp.prices)
    except LlamaduoError as error:
        return Client(who, config.name, model, None, "", str(error), limits)
    return Client(who, config.name, model, quoted.price, quoted.source, None, limits)


def _built(config: ServiceConfig, exp: Experiment) -> Service:
    """Build the service, also one that nobody has a price for; it is asked nothing."""
    if not isinstance(config, ApiServiceConfig):
        return services.build(config, _context(exp))
    from llamaduo.service.live import LiveService

    return LiveService(config, _context(exp), _never, None)


def _context(exp: Experiment) -> services.ServiceContext:
    return services.ServiceContext.of(exp.tracking.home, exp.prices, exp.budget)


def _never() -> Transport:
    raise AssertionError("a plan calls nobody")


class _Planner:
    """Walks the loop of `llamaduo.migration.loop` with estimates in place of stages."""

    def __init__(self, exp: Experiment) -> None:
        self.exp = exp
        self.clients = [_client("service", exp.service, exp)]
        self.service = _built(exp.service, exp)
        self.judge: LlmJudge | None = None
        self.client: Service | None = None
        if isinstance(exp.judge, LlmJudgeConfig):
            self.clients.append(_client("judge.client", exp.judge.client, exp))
            self.client = _built(exp.judge.client, exp)
            self.judge = LlmJudge(exp.judge, self.client)
        elif asked := exp.judge.clients():
            raise ConfigError(
                f"dry_run=true cannot count what judge={exp.judge.name} asks of"
                f" {' and '.join(asked)} yet: plan it with judge=llm and the same client, or set"
                " budget.usd and run"
            )
        self.kept: _Kept | None = None

    def plan(self) -> Plan:
        exp = self.exp
        collected = collect.collect(exp.task, near=exp.synthesis.dedup, seed=exp.seed)
        pairs, rejects = collect.read_pairs(collect.source_of(exp.task).read_bytes(), exp.task)
        splits = collect.split(pairs, rejects, exp.task, seed=exp.seed)
        budget = exp.budget
        purse = kept_answers.Purse()
        with _ledger(exp.tracking.home) as self.kept:
            if self.kept is not None:
                with ledger_file.usable(self.kept.ledger.path):
                    purse = self.kept.transaction.purse(budget.purse)
            steps = [Step("collect", state=self._state(collected)), *self._steps(splits)]
        return Plan(
            name=exp.name,
            steps=tuple(steps),
            clients=tuple(self.clients),
            purse=Purse(budget.purse, budget.usd, purse.spent, purse.reserved),
            rounds=(exp.min_rounds, exp.max_rounds),
            rows={name: len(splits[name]) for name in collect.SPLITS},
        )

    def _steps(self, splits: Mapping[str, list[Pair]]) -> Iterator[Step]:
        train, dev, test = (splits[name] for name in ("train", "dev", "test"))
        yield from self._anchors(train[:ANCHORED])
        on = self.exp.yardsticks
        most, mine = self.exp.service.max_tokens, self.exp.task.max_new_tokens
        if on.service:
            yield self._answer(dev, "service", "dev")
            yield self._judge(dev, "service · dev", most)
        many = self.exp.local.sampling.k
        for number in range(self.exp.max_rounds):
            needed = number < self.exp.min_rounds
            if number:
                yield replace(self._synthesize(train, number), needed=needed)
                yield Step("dedup", round=number, needed=needed)
            yield Step("finetune", round=number, needed=needed)
            yield Step("infer", "tuned · dev", number, needed=needed)
            judged = self._judge(dev, "tuned · dev", mine, many)
            yield replace(judged, round=number, needed=needed)
        switched_off = {
            "service": not on.service,
            "base": not on.base,
            "few_shot": on.few_shot is None,
            **dict.fromkeys(COPIES, not on.copies),
        }
        for name in ASKED:
            if switched_off.get(name, False):
                continue
            label = label_of(shown_name(name, on.few_shot), "test")
            if name == "service":
                yield self._answer(test, "service", "test")
                yield self._judge(test, label, most)
            elif name in COPIES:
                texts = copies(test)[name]
                yield self._judge(test, label, texts=[texts[pair.id] for pair in test])
            else:
                yield Step("infer", label)
                yield self._judge(test, label, mine, many)
        yield Step("promote")

    def _state(self, stage: Stage[A]) -> State:
        home = self.exp.tracking.home / "stages" / f"{stage.name}-{stage.fingerprint}"
        return "reused" if (home / "artifact.json").is_file() else "new"

    # ------------------------------------------------------------ what asks the service

    def _answer(self, pairs: Sequence[Pair], system: str, split: str) -> Step:
        most = self.exp.service.max_tokens
        requests = [answer.request_of(pair.prompt, max_tokens=most) for pair in pairs]
        written = [_tokens(_size(pair.response), most) for pair in pairs]
        label = label_of(system, split)
        step = self._asking("answer", label, "service", self.service, requests, written)
        prompts = [pair.prompt for pair in pairs]
        stage = answer.answer(self.service, prompts, max_tokens=most, system=system, split=split)
        return replace(step, state=self._state(stage))

    def _synthesize(self, train: Sequence[Pair], number: int) -> Step:
        exp, most = self.exp, self.exp.service.max_tokens
        wanted = exp.synthesis.pairs_per_seed
        seeds = synthesize.seeds_of(train, exp.synthesis, round=number, seed=exp.seed)
        requests = [
            synthesize.request_of(
                pair, topic=exp.task.topic, pairs=wanted, max_tokens=most, sample=number - 1
            )
            for pair in seeds
        ]
        sizes = [wanted * (_size(pair.prompt.user) + _size(pair.response)) for pair in seeds]
        written = [_tokens(size, most) for size in sizes]
        step = self._asking("synthesize", "", "service", self.service, requests, written)
        stage = synthesize.synthesize(
            self.service,
            train,
            topic=exp.task.topic,
            config=exp.synthesis,
            max_tokens=most,
            round=number,
            seed=exp.seed,
        )
        return replace(step, round=number, state=self._state(stage))

    # ------------------------------------------------------------ what asks the judge

    def _anchors(self, pairs: Sequence[Pair]) -> Iterator[Step]:
        """Plan one step for each judge whose scores count: a panel is checked member by member."""
        if self.judge is None:
            yield from (Step("anchor") for _ in self.exp.judge.scorers())
            return
        texts = [(answer.pair, answer.text) for answer in anchors(pairs)]
        step = self._verdicts("anchor", "", texts, self.judge, repeats=1)
        yield replace(step, state=self._state(anchor(self.judge, pairs)))

    def _judge(
        self,
        pairs: Sequence[Pair],
        label: str,
        longest: int = 0,
        k: int = 1,
        texts: Sequence[str] | None = None,
    ) -> Step:
        """Plan the verdicts on k answers to each prompt, of up to `longest` tokens, or on texts."""
        if self.judge is None:
            return Step("judge", label)
        # An answer that is not there yet is taken to be as long as the recorded one.
        answers = texts if texts is not None else [pair.response for pair in pairs]
        given = list(zip(pairs, answers, strict=True))
        return self._verdicts("judge", label, given, self.judge, longest, k)

    def _verdicts(
        self,
        stage: str,
        label: str,
        candidates: Sequence[tuple[Pair, str]],
        judge: LlmJudge,
        longest: int = 0,
        k: int = 1,
        repeats: int | None = None,
    ) -> Step:
        config = self.exp.judge
        assert isinstance(config, LlmJudgeConfig)
        repeats = judge.repeats if repeats is None else repeats
        requests: list[Request] = []
        more = 0.0
        for number, (pair, text) in enumerate(candidates):
            if text.strip():  # else it is judged without asking
                response = Response(prompt_id=pair.id, k=number, text=text)
                item = Item(prompt=pair.prompt, reference=pair.response, response=response)
                requests += judge.requests(item, range(repeats))
                more += repeats * max(0.0, longest - _size(text) / BYTES[2])
        low, expected = (min(tokens, config.max_tokens) for tokens in VERDICT)
        written = [Amount(low, expected, config.max_tokens)] * len(requests)
        # What is not there yet cannot have been asked about.
        known = None if longest else self.client
        step = self._asking(stage, label, "judge.client", known, requests, written)
        return replace(
            step,
            calls=step.calls.times(k),
            read=(step.read + Amount(high=more)).times(k),
            written=step.written.times(k),
        )

    # ------------------------------------------------------------ either

    def _asking(
        self,
        stage: str,
        label: str,
        who: Who,
        service: Service | None,
        requests: Sequence[Request],
        written: Sequence[Amount],
    ) -> Step:
        """Plan a step of these requests, less those that the ledger has an answer to."""
        kept = self._kept(service, requests)
        calls = reads = writes = Amount()
        for request, out in zip(requests, written, strict=True):
            if request.key in kept:
                continue
            again = 1 + REPAIRED if request.form is not None else 1
            size = sum(_size(message.content) for message in request.messages)
            if request.form is not None:
                size += _size(str(request.form.json_schema))
            calls = calls + Amount(1, 1, again)
            reads = reads + Amount(*(size / each for each in BYTES)).times(1, again)
            writes = writes + out.times(1, again)
        return Step(stage, label, None, who, calls, reads, writes, len(kept))

    def _kept(self, service: Service | None, requests: Sequence[Request]) -> set[str]:
        """Return the keys of those requests that the ledger answers."""
        if service is None or self.kept is None:
            return set()
        mine = fingerprint("service", dict(service.identity))
        answered = self.kept.ledger.look_up([f"{mine}-{request.key}" for request in requests])
        return {key.removeprefix(f"{mine}-") for key in answered}


def _size(text: str) -> int:
    return len(text.encode())


def _tokens(size: int, most: int) -> Amount:
    """Estimate the tokens of a text of so many bytes; `most` of them in the high estimate."""
    low, expected = (min(size / each, most) for each in BYTES[:2])
    return Amount(low, expected, most)
