"""The whole loop on one page.

finetune → infer → judge → gate, and synthesis between rounds, until dev says stop; then test, once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeAlias

from llamaduo import judge as judges
from llamaduo import local as locals_
from llamaduo import service as services
from llamaduo.base.errors import BudgetReached
from llamaduo.config import Experiment, PairwiseJudgeConfig, clients
from llamaduo.gate import GateDecision, decide
from llamaduo.gate.sequential import rule_for
from llamaduo.judge import Judge, pairwise
from llamaduo.judge.panel import members
from llamaduo.lab import Lab
from llamaduo.local import Local, Trial
from llamaduo.migration.yardsticks import copies, few_shot
from llamaduo.records import Pair, Prompt, Response
from llamaduo.service import Service
from llamaduo.stages.answer import answer
from llamaduo.stages.collect import Coverage, collect
from llamaduo.stages.dedup import dedup
from llamaduo.stages.finetune import Adapter, finetune
from llamaduo.stages.infer import Answers, infer
from llamaduo.stages.judge import Judged, Row, anchor, assess
from llamaduo.stages.pack import Packed, promote
from llamaduo.stages.prefer import Compared, compare
from llamaduo.stages.synthesize import synthesize
from llamaduo.stats.table import VerdictTable

Stop: TypeAlias = Literal["qualified", "budget", "plateau", "max_rounds", "no_service"]

ANCHORED = 24  # training pairs whose anchors the judge must rank rightly


@dataclass(frozen=True)
class Read:
    """A system's responses to one split, judged; `latency` is in seconds per response."""

    name: str
    responses: tuple[Response, ...]
    judged: Judged
    latency: float | None = None


@dataclass(frozen=True)
class Round:
    """One pass of finetune → infer → judge → gate on dev."""

    number: int
    pool: int
    adapter: Adapter
    read: Read
    decision: GateDecision


@dataclass(frozen=True)
class Begun:
    """What every migration begins with; `yardstick` is as in `Migration`."""

    coverage: Coverage
    yardstick: Read | None
    round: Round


@dataclass(frozen=True)
class Migration:
    """What the loop leaves: every round, why it stopped, and what test says of the best round.

    `yardstick` is the service LLM's second answers to dev, None where it is not asked. `test` lacks
    the systems of which `absent` says why, in words. `compared` has what `judge=pairwise` adds.
    """

    coverage: Coverage
    yardstick: Read | None
    rounds: tuple[Round, ...]
    stop: Stop
    stop_words: str
    best: Round
    test: dict[str, Read]
    absent: dict[str, str]
    decision: GateDecision
    bundle: Packed | None
    compared: Compared | None = None


@dataclass
class Migrator:
    """The parts of one experiment, built, and the lab in which its stages run.

    `trial` is told how training goes; None: nobody is.
    """

    exp: Experiment
    lab: Lab
    trial: Trial | None = None
    service: Service = field(init=False)
    local: Local = field(init=False)
    judge: Judge = field(init=False)
    #: The verdicts on the service LLM's own second answers, by split, once there are any.
    own: dict[str, list[Row]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Build what the configuration names."""
        setting = services.setting(self.exp)
        self.service = services.build(self.exp.service, setting)
        self.local = locals_.build(self.exp.local)
        self.judge = judges.build(self.exp.judge, setting)

    def run(self) -> Migration:
        """The loop until it stops, then test, then promotion when the gate passed both times.

        Raises:
            BudgetReached: before the first round was judged, so there is nothing to tell of.
        """
        begun = self.begin()
        coverage, yardstick, rounds = begun.coverage, begun.yardstick, [begun.round]
        train, dev, test = (coverage.split(name) for name in ("train", "dev", "test"))
        stop, words = self.loop(rounds, train, dev, [*dev, *test], yardstick)
        best = self.best(rounds, stop)
        reads, absent, short = self.read_test(best, train, test)
        if short is not None:
            before = f"met the gate on dev in round {best.number}; " if stop == "qualified" else ""
            stop, words = "budget", f"{before}{short}"
        decision = self.gate(reads.get("tuned"), reads.get("service"))
        compared = self.compare(reads, test)
        promoted = stop == "qualified" and decision.passed
        bundle = self.pack(best, coverage) if promoted else None
        return Migration(
            coverage,
            yardstick,
            tuple(rounds),
            stop,
            words,
            best,
            reads,
            absent,
            decision,
            bundle,
            compared,
        )

    def begin(self) -> Begun:
        """The data, a judge that has been checked, and round 0; of a sweep's trial, all there is.

        Test is not read.

        Raises:
            BudgetReached: there is nothing to tell of.
            TrialPruned: the sweep that this is a trial of has no use for it.
        """
        near = self.exp.synthesis.dedup
        coverage = self.lab.run(collect(self.exp.task, near=near, seed=self.exp.seed))
        train, dev = coverage.split("train"), coverage.split("dev")
        for member in members(self.judge):
            self.lab.run(anchor(member, train[:ANCHORED]))
        yardstick = self.ask_service(dev, "dev") if self.exp.yardsticks.service else None
        return Begun(coverage, yardstick, self.one_round(0, train, dev, yardstick))

    def loop(
        self,
        rounds: list[Round],
        train: list[Pair],
        dev: Sequence[Pair],
        held_out: Sequence[Pair],
        yardstick: Read | None,
    ) -> tuple[Stop, str]:
        """Adds rounds until dev, a limit or the service says stop; why it ended."""
        pool = train
        try:
            while (stopped := self.stop(rounds)) is None:
                pool, stopped = self.grow(len(rounds), pool, train, held_out)
                if stopped is not None:
                    break
                rounds.append(self.one_round(len(rounds), pool, dev, yardstick))
        except BudgetReached as reached:
            return "budget", str(reached)
        return stopped

    def one_round(
        self, number: int, pool: Sequence[Pair], dev: Sequence[Pair], service: Read | None
    ) -> Round:
        """Train on the pool, answer dev, have it judged, and hold it against the gate."""
        stage = finetune(
            self.local,
            self.exp.hparams,
            pool,
            seed=self.exp.seed,
            dev=dev,
            trial=self.trial,
        )
        adapter = self.lab.run(stage, round=number)
        read = self.ask_local("tuned", adapter, dev, "dev", round=number)
        series = {f"dev/{name}": value for name, value in read.judged.metrics.items()}
        self.lab.tracked.metrics({**series, "train/pairs": len(pool)}, step=number)
        return Round(number, len(pool), adapter, read, self.gate(read, service))

    def grow(
        self, number: int, pool: list[Pair], train: Sequence[Pair], held_out: Sequence[Pair]
    ) -> tuple[list[Pair], tuple[Stop, str] | None]:
        """The pool with what the service LLM wrote for this round, or that it wrote nothing."""
        written = self.lab.run(
            synthesize(
                self.service,
                train,
                topic=self.exp.task.topic,
                config=self.exp.synthesis,
                max_tokens=self.exp.service.max_tokens,
                round=number,
                seed=self.exp.seed,
            ),
            round=number,
        )
        if written.unanswered == written.requests:
            words = f"service={self.service.name} wrote nothing: {written.cause}"
            return pool, ("no_service", words)
        stage = dedup(pool, written.pairs(), held_out, self.exp.synthesis.dedup)
        return self.lab.run(stage, round=number).pairs(), None

    def stop(self, rounds: Sequence[Round]) -> tuple[Stop, str] | None:
        """Why the loop ends after these rounds, in a word and in words; None to go on.

        `budget.minutes` counts what reused stages took as well, so that the same command ends the
        same way. `budget.usd` is the services' affair: they make no call beyond it.
        """
        exp, latest = self.exp, rounds[-1]
        _, seconds = self.lab.embodied()
        if latest.decision.passed and len(rounds) >= exp.min_rounds:
            return "qualified", latest.decision.words
        if len(rounds) >= exp.max_rounds:
            return "max_rounds", f"max_rounds={exp.max_rounds} rounds are done"
        if exp.budget.minutes is not None and seconds >= 60 * exp.budget.minutes:
            return "budget", f"{seconds / 60:.1f} of budget.minutes={exp.budget.minutes:g} are used"
        if self.flat(rounds):
            return "plateau", f"{exp.synthesis.patience} rounds gained less than " + (
                f"{exp.synthesis.min_gain:g} points of mean similarity on dev"
            )
        return None

    def flat(self, rounds: Sequence[Round]) -> bool:
        """Whether the last `patience` rounds each gained too little over the best before them."""
        patience, least = self.exp.synthesis.patience, self.exp.synthesis.min_gain
        means = [_similarity(round) for round in rounds]
        recent = range(max(1, len(means) - patience), len(means))
        gains = [means[i] - max(means[:i]) for i in recent]
        return len(gains) == patience and all(gain < least for gain in gains)

    def best(self, rounds: Sequence[Round], stop: Stop) -> Round:
        """The round whose model is read on test: the one that qualified, else dev's best."""
        return rounds[-1] if stop == "qualified" else max(rounds, key=_similarity)

    def gate(self, candidate: Read | None, service: Read | None) -> GateDecision:
        """What the gate says of a candidate; without one of the two it is not passed."""
        tables = [
            VerdictTable.of([] if read is None else read.judged.table())
            for read in (candidate, service)
        ]
        return decide(self.exp.gate, tables[0], tables[1], seed=self.exp.seed)

    def read_test(
        self, best: Round, train: Sequence[Pair], test: Sequence[Pair]
    ) -> tuple[dict[str, Read], dict[str, str], str | None]:
        """Test, read once: the candidate, and the yardsticks that the configuration has.

        Also why others are absent; and where the budget does not reach to all, what it says.
        """
        read = self.yardsticks(best, train, test)
        absent = {name: why for name, why in read.items() if isinstance(why, str)}
        # What decides comes first, in case that the budget ends; what is told keeps its order.
        reads: dict[str, Read] = {}
        short = None
        for name in sorted(read, key=lambda one: (one in ("base", "few_shot"), one != "service")):
            made = read[name]
            if isinstance(made, str):
                continue
            try:
                reads[name] = made()
            except BudgetReached as reached:
                short = str(reached)
                if clients(self.exp.judge):
                    break  # nothing more can be judged, so nothing more need be generated
        for name in read:
            if name not in reads:
                absent.setdefault(name, "budget.usd did not reach to it")
        return {name: reads[name] for name in read if name in reads}, absent, short

    def yardsticks(
        self, best: Round, train: Sequence[Pair], test: Sequence[Pair]
    ) -> dict[str, Callable[[], Read] | str]:
        """How each system is read on test, in the order of telling, or why it is not."""
        on = self.exp.yardsticks
        few: Callable[[], Read] | str = "yardsticks.few_shot=null"
        if on.few_shot is not None:
            few = self.few_shot(on.few_shot, train, test)
        found: dict[str, Callable[[], Read] | str] = {
            "base": (lambda: self.ask_local("base", None, test, "test"))
            if on.base
            else "yardsticks.base=false",
            "few_shot": few,
            "tuned": lambda: self.ask_local("tuned", best.adapter, test, "test"),
            "service": (lambda: self.ask_service(test, "test"))
            if on.service
            else "yardsticks.service=false",
        }
        for name, texts in copies(test).items():
            ask = partial(self.copy, name, texts, test)
            found[name] = ask if on.copies else "yardsticks.copies=false"
        return found

    def few_shot(
        self, wanted: int, train: Sequence[Pair], test: Sequence[Pair]
    ) -> Callable[[], Read] | str:
        """The untuned model with training pairs in its prompt, or that not one of them fits."""
        prompts, shown = few_shot(
            self.local,
            train,
            [pair.prompt for pair in test],
            wanted,
            max_new_tokens=self.exp.task.max_new_tokens,
            seed=self.exp.seed,
        )
        if not shown:
            return "no training pair fits into the model's context beside a prompt"
        name = f"few-shot base ({shown})"
        return lambda: self.ask_local(name, None, test, "test", prompts=prompts)

    def ask_local(
        self,
        name: str,
        adapter: Adapter | None,
        pairs: Sequence[Pair],
        split: str,
        round: int | None = None,
        prompts: Sequence[Prompt] | None = None,
    ) -> Read:
        """K responses of the local LLM to each prompt, or to `prompts` in their place, judged."""
        label = f"{name} · {split}"
        stage = infer(
            self.local,
            self.exp.hparams,
            adapter,
            [pair.prompt for pair in pairs] if prompts is None else prompts,
            self.exp.local.sampling,
            max_new_tokens=self.exp.task.max_new_tokens,
            seed=self.exp.seed,
            label=label,
        )
        answers = self.lab.run(stage, round=round)
        latency = answers.metrics.get("seconds_per_response")
        own = self.own.get(split)
        return self.judged(name, answers.responses(), pairs, label, round, latency, own)

    def ask_service(self, pairs: Sequence[Pair], split: str) -> Read:
        """The service LLM's second answer to each prompt, judged against its first."""
        label = f"service · {split}"
        prompts = [pair.prompt for pair in pairs]
        stage = answer(self.service, prompts, max_tokens=self.exp.service.max_tokens, label=label)
        answers: Answers = self.lab.run(stage)
        read = self.judged("service", answers.responses(), pairs, label)
        self.own[split] = read.judged.rows()
        return read

    def copy(self, name: str, texts: dict[str, str], pairs: Sequence[Pair]) -> Read:
        """A baseline that needs no model, judged like one."""
        responses = [Response(prompt_id=key, k=0, text=text) for key, text in texts.items()]
        label = f"{name} · test"
        return self.judged(name, responses, pairs, label, service=self.own.get("test"))

    def judged(
        self,
        name: str,
        responses: Sequence[Response],
        pairs: Sequence[Pair],
        label: str,
        round: int | None = None,
        latency: float | None = None,
        service: Sequence[Row] | None = None,
    ) -> Read:
        """Responses with the judge's verdicts on them.

        Repeats may end early where there are the `service` LLM's own to hold them against.
        """
        exp = self.exp
        rule = None if service is None else rule_for(exp.judge, exp.gate, service, seed=exp.seed)
        stage = assess(
            self.judge,
            pairs,
            responses,
            confidence=exp.gate.confidence,
            seed=exp.seed,
            label=label,
            rule=rule,
        )
        return Read(name, tuple(responses), self.lab.run(stage, round=round), latency)

    def compare(self, reads: Mapping[str, Read], test: Sequence[Pair]) -> Compared | None:
        """The tuned model's answers to test beside the service's own, where that is asked for.

        Beside the recorded ones where it gave no second answer; None where the budget is spent.
        """
        exp = self.exp
        if not isinstance(exp.judge, PairwiseJudgeConfig) or "tuned" not in reads:
            return None
        second = reads["service"].responses if "service" in reads else ()
        against = {one.prompt_id: one.text for one in second if one.k == 0}
        stage = compare(
            pairwise.build(exp.judge, services.setting(exp)),
            [pair.prompt for pair in test],
            reads["tuned"].responses,
            against or {pair.id: pair.response for pair in test},
            confidence=exp.gate.confidence,
            seed=exp.seed,
            label="tuned against service · test",
        )
        try:
            return self.lab.run(stage)
        except BudgetReached:
            return None

    def pack(self, best: Round, coverage: Coverage) -> Packed:
        """The champion, as the registry will keep it."""
        stage = promote(
            self.local,
            self.exp.local,
            self.exp.hparams,
            best.adapter,
            task=self.exp.task.name,
            system=coverage.card.system,
            max_new_tokens=self.exp.task.max_new_tokens,
            seed=self.exp.seed,
        )
        return self.lab.run(stage)


def _similarity(round: Round) -> float:
    scores = round.read.judged.scores
    return -1.0 if scores is None else scores.similarity.mean.value
