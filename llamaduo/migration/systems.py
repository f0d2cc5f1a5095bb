"""The systems that are compared: each answers the prompts of a split, and is judged by them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llamaduo.base.errors import BudgetReached
from llamaduo.config import Experiment, PairwiseJudgeConfig
from llamaduo.gate.sequential import rule_for
from llamaduo.judge import Judge, pairwise
from llamaduo.judge import build as build_judge
from llamaduo.lab import Lab
from llamaduo.local import Local
from llamaduo.local import build as build_local
from llamaduo.records import Pair, Prompt, Response
from llamaduo.service import Service, ServiceContext
from llamaduo.service import build as build_service
from llamaduo.stages.answer import answer
from llamaduo.stages.finetune import Adapter
from llamaduo.stages.infer import infer
from llamaduo.stages.judge import Judged, assess
from llamaduo.stages.prefer import Compared, compare


@dataclass(frozen=True)
class Assessed:
    """A system's responses to one split, judged; `latency` is in seconds per response."""

    name: str
    responses: tuple[Response, ...]
    judged: Judged
    latency: float | None = None


@dataclass(frozen=True)
class Systems:
    """The models of an experiment, and the lab in which they are asked."""

    exp: Experiment
    lab: Lab
    service: Service
    local: Local
    judge: Judge

    @classmethod
    def of(cls, exp: Experiment, lab: Lab) -> "Systems":
        """Build what the configuration names.

        Raises:
            ConfigError: the configuration lacks a value, or nobody knows a price.
        """
        context = ServiceContext.of(exp.tracking.home, exp.prices, exp.budget)
        return cls(
            exp,
            lab,
            build_service(exp.service, context),
            build_local(exp.local),
            build_judge(exp.judge, context),
        )

    def ask_local(
        self,
        name: str,
        adapter: Adapter | None,
        pairs: Sequence[Pair],
        split: str,
        *,
        service: Assessed | None,
        round: int | None = None,
        prompts: Sequence[Prompt] | None = None,
    ) -> Assessed:
        """Have the local LLM answer each prompt K times, and the answers judged.

        `prompts` are asked in place of those of the pairs. `service` are the service LLM's own
        answers, see `assess`.
        """
        stage = infer(
            self.local,
            self.exp.hparams,
            adapter,
            [pair.prompt for pair in pairs] if prompts is None else prompts,
            self.exp.local.sampling,
            max_new_tokens=self.exp.task.max_new_tokens,
            seed=self.exp.seed,
            system=name,
            split=split,
        )
        answers = self.lab.run(stage, round=round)
        judged = self.assess(name, answers.responses(), pairs, split, round=round, service=service)
        latency = answers.metrics.get("seconds_per_response")
        return Assessed(name, tuple(answers.responses()), judged, latency)

    def ask_service(self, pairs: Sequence[Pair], split: str) -> Assessed:
        """Have the service LLM answer each prompt a second time, and that judged by its first."""
        prompts = [pair.prompt for pair in pairs]
        most = self.exp.service.max_tokens
        stage = answer(self.service, prompts, max_tokens=most, system="service", split=split)
        responses = self.lab.run(stage).responses()
        return Assessed(
            "service", tuple(responses), self.assess("service", responses, pairs, split)
        )

    def copy(
        self, name: str, texts: Mapping[str, str], pairs: Sequence[Pair], service: Assessed | None
    ) -> Assessed:
        """Judge answers to test that need no model, by prompt id."""
        responses = [Response(prompt_id=key, k=0, text=text) for key, text in texts.items()]
        judged = self.assess(name, responses, pairs, "test", service=service)
        return Assessed(name, tuple(responses), judged)

    def assess(
        self,
        system: str,
        responses: Sequence[Response],
        pairs: Sequence[Pair],
        split: str,
        *,
        round: int | None = None,
        service: Assessed | None = None,
    ) -> Judged:
        """Have the judge score responses.

        Repeats may end early where there are the verdicts on the `service` LLM's own answers to
        hold them against.
        """
        exp, rule = self.exp, None
        if service is not None:
            rule = rule_for(exp.judge, exp.gate, service.judged.rows(), seed=exp.seed)
        stage = assess(
            self.judge,
            pairs,
            responses,
            confidence=exp.gate.confidence,
            seed=exp.seed,
            system=system,
            split=split,
            rule=rule,
        )
        return self.lab.run(stage, round=round)

    def prefer(self, test: Sequence[Pair], read: Mapping[str, Assessed]) -> Compared | None:
        """Compare the tuned model's answers to test with the service's, where that is asked for.

        With the recorded answers where the service gave no second one. None where it is not asked
        for, and where the budget is spent.
        """
        exp = self.exp
        if not isinstance(exp.judge, PairwiseJudgeConfig) or "tuned" not in read:
            return None
        second = read["service"].responses if "service" in read else ()
        against = {response.prompt_id: response.text for response in second if response.k == 0}
        context = ServiceContext.of(exp.tracking.home, exp.prices, exp.budget)
        stage = compare(
            pairwise.build(exp.judge, context),
            [pair.prompt for pair in test],
            read["tuned"].responses,
            against or {pair.id: pair.response for pair in test},
            confidence=exp.gate.confidence,
            seed=exp.seed,
            system="tuned against service",
            split="test",
        )
        try:
            return self.lab.run(stage)
        except BudgetReached:
            return None
