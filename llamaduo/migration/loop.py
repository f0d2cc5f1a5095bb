"""The whole loop on one page.

finetune → infer → judge → gate, and synthesis between rounds, until dev says stop; then test, once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from llamaduo.base.errors import BudgetReached
from llamaduo.config import Experiment
from llamaduo.gate import GateDecision, decide
from llamaduo.judge.panel import members
from llamaduo.lab import Lab
from llamaduo.local import Trial
from llamaduo.migration.reading import read_test
from llamaduo.migration.systems import Assessed, Systems
from llamaduo.records import Pair
from llamaduo.stages.collect import Coverage, collect
from llamaduo.stages.dedup import dedup
from llamaduo.stages.finetune import Adapter, finetune
from llamaduo.stages.judge import anchor
from llamaduo.stages.pack import PackedBundle, pack
from llamaduo.stages.prefer import Compared
from llamaduo.stages.synthesize import synthesize
from llamaduo.stats.table import VerdictTable

Stop: TypeAlias = Literal["qualified", "budget", "plateau", "max_rounds", "no_service"]

ANCHORED = 24  # training pairs whose anchors the judge must rank rightly


@dataclass(frozen=True)
class Round:
    """One pass of finetune → infer → judge → gate on dev."""

    number: int
    pool: int
    adapter: Adapter
    read: Assessed
    decision: GateDecision


@dataclass(frozen=True)
class Start:
    """The start of every migration; `yardstick` is as in `Migration`."""

    coverage: Coverage
    yardstick: Assessed | None
    round: Round


@dataclass(frozen=True)
class Migration:
    """The result of the loop: every round, why it stopped, and what test says of the best round.

    `yardstick` is the service LLM's second answers to dev, None where it is not asked. `test` lacks
    the systems of which `absent` says why, in words. `compared` has what `judge=pairwise` adds.
    """

    coverage: Coverage
    yardstick: Assessed | None
    rounds: tuple[Round, ...]
    stop: Stop
    stop_words: str
    best: Round
    test: dict[str, Assessed]
    absent: dict[str, str]
    decision: GateDecision
    bundle: PackedBundle | None
    compared: Compared | None = None


@dataclass
class Migrator:
    """The loop of one experiment, on its systems.

    `trial` is told how training goes; None: nobody is.
    """

    systems: Systems
    trial: Trial | None = None

    @property
    def exp(self) -> Experiment:
        """The experiment."""
        return self.systems.exp

    @property
    def lab(self) -> Lab:
        """The lab in which the stages run."""
        return self.systems.lab

    def run(self) -> Migration:
        """Run the loop until it stops, then test, then pack what passed the gate both times.

        Raises:
            BudgetReached: before the first round was judged, so there is nothing to tell of.
        """
        start = self.begin()
        coverage, rounds = start.coverage, [start.round]
        train, dev, test = (coverage.split(name) for name in ("train", "dev", "test"))
        stop, words = self.loop(rounds, train, dev, [*dev, *test], start.yardstick)
        best = self.best(rounds, stop)
        read, absent, short = read_test(self.systems, best.adapter, train, test)
        if short is not None:
            before = f"met the gate on dev in round {best.number}; " if stop == "qualified" else ""
            stop, words = "budget", f"{before}{short}"
        decision = self.gate(read.get("tuned"), read.get("service"))
        promoted = stop == "qualified" and decision.passed
        return Migration(
            coverage=coverage,
            yardstick=start.yardstick,
            rounds=tuple(rounds),
            stop=stop,
            stop_words=words,
            best=best,
            test=read,
            absent=absent,
            decision=decision,
            compared=self.systems.prefer(test, read),
            bundle=self.pack(best, coverage) if promoted else None,
        )

    def begin(self) -> Start:
        """Read the data, check the judge, and run round 0; of a sweep's trial, all there is.

        Test is not read.

        Raises:
            BudgetReached: there is nothing to tell of.
            TrialPruned: the sweep that this is a trial of has no use for it.
        """
        near = self.exp.synthesis.dedup
        coverage = self.lab.run(collect(self.exp.task, near=near, seed=self.exp.seed))
        train, dev = coverage.split("train"), coverage.split("dev")
        for member in members(self.systems.judge):
            self.lab.run(anchor(member, train[:ANCHORED]))
        yardstick = self.systems.ask_service(dev, "dev") if self.exp.yardsticks.service else None
        return Start(coverage, yardstick, self.one_round(0, train, dev, yardstick))

    def loop(
        self,
        rounds: list[Round],
        train: list[Pair],
        dev: Sequence[Pair],
        held_out: Sequence[Pair],
        yardstick: Assessed | None,
    ) -> tuple[Stop, str]:
        """Add rounds until dev, a limit or the service says stop; return why it ended."""
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
        self, number: int, pool: Sequence[Pair], dev: Sequence[Pair], service: Assessed | None
    ) -> Round:
        """Train on the pool, answer dev, have it judged, and hold it against the gate."""
        stage = finetune(
            self.systems.local,
            self.exp.hparams,
            pool,
            seed=self.exp.seed,
            dev=dev,
            trial=self.trial,
        )
        adapter = self.lab.run(stage, round=number)
        read = self.systems.ask_local("tuned", adapter, dev, "dev", service=service, round=number)
        series = {f"dev/{name}": value for name, value in read.judged.metrics.items()}
        self.lab.tracked.metrics({**series, "train/pairs": len(pool)}, step=number)
        return Round(number, len(pool), adapter, read, self.gate(read, service))

    def grow(
        self, number: int, pool: list[Pair], train: Sequence[Pair], held_out: Sequence[Pair]
    ) -> tuple[list[Pair], tuple[Stop, str] | None]:
        """Add what the service LLM writes for this round to the pool, or say that it wrote none."""
        service = self.systems.service
        written = self.lab.run(
            synthesize(
                service,
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
            words = f"service={service.name} wrote nothing: {written.cause}"
            return pool, ("no_service", words)
        stage = dedup(pool, written.pairs(), held_out, self.exp.synthesis.dedup)
        return self.lab.run(stage, round=number).pairs(), None

    def stop(self, rounds: Sequence[Round]) -> tuple[Stop, str] | None:
        """Say why the loop ends after these rounds, in a word and in words; None to go on.

        `budget.minutes` counts what reused stages took as well, so that the same command ends the
        same way. `budget.usd` is the services' affair: they make no call beyond it.
        """
        exp, latest = self.exp, rounds[-1]
        _, seconds = self.lab.stage_runs.embodied()
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
        """Return whether the last `patience` rounds each gained too little over the best before."""
        patience, least = self.exp.synthesis.patience, self.exp.synthesis.min_gain
        means = [_similarity(round) for round in rounds]
        recent = range(max(1, len(means) - patience), len(means))
        gains = [means[i] - max(means[:i]) for i in recent]
        return len(gains) == patience and all(gain < least for gain in gains)

    def best(self, rounds: Sequence[Round], stop: Stop) -> Round:
        """Choose the round whose model is read on test: the one that qualified, else dev's best."""
        return rounds[-1] if stop == "qualified" else max(rounds, key=_similarity)

    def gate(self, candidate: Assessed | None, service: Assessed | None) -> GateDecision:
        """Decide on a candidate; without one of the two the gate is not passed."""
        tables = [
            VerdictTable.of([] if system is None else system.judged.table())
            for system in (candidate, service)
        ]
        return decide(self.exp.gate, tables[0], tables[1], seed=self.exp.seed)

    def pack(self, best: Round, coverage: Coverage) -> PackedBundle:
        """Pack the champion as the registry will keep it."""
        stage = pack(
            self.systems.local,
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
