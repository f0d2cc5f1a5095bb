"""The whole loop on one page.

finetune → infer → judge → gate, and synthesis between rounds, until dev says stop; then test, once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from llamaduo import judge as judges
from llamaduo import local as locals_
from llamaduo import service as services
from llamaduo.config import Experiment, LlmJudgeConfig
from llamaduo.errors import BudgetReached
from llamaduo.gate import Decision, decide
from llamaduo.judge import Judge
from llamaduo.local import Local
from llamaduo.outcome import Stop
from llamaduo.records import Pair, Response
from llamaduo.service import Service
from llamaduo.stage import Lab
from llamaduo.stages.answer import answer
from llamaduo.stages.collect import Coverage, collect
from llamaduo.stages.dedup import dedup
from llamaduo.stages.finetune import Adapter, finetune
from llamaduo.stages.infer import Answers, infer
from llamaduo.stages.judge import Judged, anchor, assess
from llamaduo.stages.promote import Packed, promote
from llamaduo.stages.synthesize import synthesize
from llamaduo.text import sentences

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
    decision: Decision


@dataclass(frozen=True)
class Migration:
    """What the loop leaves: every round, why it stopped, and what test says of the best round.

    `yardstick` is the service LLM's second answers to dev. `test` lacks the systems that the budget
    did not reach to.
    """

    coverage: Coverage
    yardstick: Read
    rounds: tuple[Round, ...]
    stop: Stop
    stop_words: str
    best: Round
    test: dict[str, Read]
    decision: Decision
    bundle: Packed | None


@dataclass
class Migrator:
    """The parts of one experiment, built, and the lab in which its stages run."""

    exp: Experiment
    lab: Lab
    service: Service = field(init=False)
    local: Local = field(init=False)
    judge: Judge = field(init=False)

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
        near = self.exp.synthesis.dedup
        coverage = self.lab.run(collect(self.exp.task, near=near, seed=self.exp.seed))
        train, dev, test = (coverage.split(name) for name in ("train", "dev", "test"))
        self.lab.run(anchor(self.judge, train[:ANCHORED]))
        yardstick = self.ask_service(dev, "dev")
        rounds = [self.one_round(0, train, dev, yardstick)]
        stop, words = self.loop(rounds, train, dev, [*dev, *test], yardstick)
        best = self.best(rounds, stop)
        reads, short = self.read_test(best, test)
        if short is not None:
            before = f"met the gate on dev in round {best.number}; " if stop == "qualified" else ""
            stop, words = "budget", f"{before}{short}"
        decision = self.gate(reads.get("tuned"), reads.get("service"))
        promoted = stop == "qualified" and decision.passed
        bundle = self.pack(best, coverage) if promoted else None
        return Migration(
            coverage, yardstick, tuple(rounds), stop, words, best, reads, decision, bundle
        )

    def loop(
        self,
        rounds: list[Round],
        train: list[Pair],
        dev: Sequence[Pair],
        held_out: Sequence[Pair],
        yardstick: Read,
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
        self, number: int, pool: Sequence[Pair], dev: Sequence[Pair], service: Read
    ) -> Round:
        """Train on the pool, answer dev, have it judged, and hold it against the gate."""
        stage = finetune(self.local, self.exp.hparams, pool, seed=self.exp.seed)
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

    def gate(self, candidate: Read | None, service: Read | None) -> Decision:
        """What the gate says of a candidate; without one of the two it is not passed."""
        rows = ([] if read is None else read.judged.rows() for read in (candidate, service))
        return decide(self.exp.gate, *rows, seed=self.exp.seed)

    def read_test(self, best: Round, test: Sequence[Pair]) -> tuple[dict[str, Read], str | None]:
        """Test, read once: the candidate, its untuned self, the service LLM and two copies.

        Where the budget does not reach to all of them, those before it, and what it says.
        """
        first_two = {pair.id: " ".join(sentences(pair.prompt.user)[:2]) for pair in test}
        whole = {pair.id: pair.prompt.user for pair in test}
        read: dict[str, Callable[[], Read]] = {
            "base": lambda: self.ask_local("base", None, test, "test"),
            "tuned": lambda: self.ask_local("tuned", best.adapter, test, "test"),
            "service": lambda: self.ask_service(test, "test"),
            "first two sentences": lambda: self.copy("first two sentences", first_two, test),
            "whole prompt": lambda: self.copy("whole prompt", whole, test),
        }
        # What decides comes first, in case that the budget ends; what is told keeps its order.
        reads: dict[str, Read] = {}
        short = None
        for name in sorted(read, key=lambda name: name == "base"):
            try:
                reads[name] = read[name]()
            except BudgetReached as reached:
                short = str(reached)
                if isinstance(self.exp.judge, LlmJudgeConfig):
                    break  # nothing more can be judged, so nothing more need be generated
        return {name: reads[name] for name in read if name in reads}, short

    def ask_local(
        self,
        name: str,
        adapter: Adapter | None,
        pairs: Sequence[Pair],
        split: str,
        round: int | None = None,
    ) -> Read:
        """K responses of the local LLM to each prompt, judged."""
        label = f"{name} · {split}"
        stage = infer(
            self.local,
            self.exp.hparams,
            adapter,
            [pair.prompt for pair in pairs],
            self.exp.local.sampling,
            max_new_tokens=self.exp.task.max_new_tokens,
            seed=self.exp.seed,
            label=label,
        )
        answers = self.lab.run(stage, round=round)
        latency = answers.metrics.get("seconds_per_response")
        return self.judged(name, answers.responses(), pairs, label, round, latency)

    def ask_service(self, pairs: Sequence[Pair], split: str) -> Read:
        """The service LLM's second answer to each prompt, judged against its first."""
        label = f"service · {split}"
        prompts = [pair.prompt for pair in pairs]
        stage = answer(self.service, prompts, max_tokens=self.exp.service.max_tokens, label=label)
        answers: Answers = self.lab.run(stage)
        return self.judged("service", answers.responses(), pairs, label)

    def copy(self, name: str, texts: dict[str, str], pairs: Sequence[Pair]) -> Read:
        """A baseline that needs no model, judged like one."""
        responses = [Response(prompt_id=key, k=0, text=text) for key, text in texts.items()]
        return self.judged(name, responses, pairs, f"{name} · test")

    def judged(
        self,
        name: str,
        responses: Sequence[Response],
        pairs: Sequence[Pair],
        label: str,
        round: int | None = None,
        latency: float | None = None,
    ) -> Read:
        """Responses with the judge's verdicts on them."""
        stage = assess(
            self.judge,
            pairs,
            responses,
            confidence=self.exp.gate.confidence,
            seed=self.exp.seed,
            label=label,
        )
        return Read(name, tuple(responses), self.lab.run(stage, round=round), latency)

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
