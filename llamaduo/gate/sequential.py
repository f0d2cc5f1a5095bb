"""When a candidate's repeats may end: further ones could hardly turn the gate's decision any more.

After some repeats (a look) a condition of the gate is settled where its margin is too wide for what
the rest of them can bring (`llamaduo.gate.repeats`). What is promised: the decision differs from
that after all M repeats with a chance of `error` or less, which the looks share equally.
docs/judges.md has the formulas and the figures.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llamaduo.base.files import Json, fingerprint
from llamaduo.config import GateConfig, JudgeConfig, LlmJudgeConfig
from llamaduo.gate import build
from llamaduo.records import Judgement, Verdict
from llamaduo.stats.table import VerdictTable

FIRST = 2  # repeats before the first look: fewer say nothing of the noise
GROWTH = 1.5  # from look to look


def looks(repeats: int) -> tuple[int, ...]:
    """Return the number of repeats at each look; the last is all of them: M = 10 has five."""
    ends = [min(FIRST, repeats)]
    while ends[-1] < repeats:
        ends.append(min(repeats, math.ceil(GROWTH * ends[-1])))
    return tuple(ends)


@dataclass(frozen=True)
class Rule:
    """When the repeats end for a candidate that is held against the service's own score.

    `looks` has the members that it is for, by name. `repeats` is M of every member.
    """

    gate: GateConfig
    service: Sequence[Judgement]
    looks: Mapping[str, tuple[int, ...]]
    repeats: Mapping[str, int]
    error: float
    seed: int

    @property
    def identity(self) -> dict[str, Json]:
        """Everything that decides the number of verdicts: gate, what it compares with, error."""
        said: list[Json] = [
            [row.prompt_id, row.k, row.m, row.judge, row.similarity, row.precision]
            for row in self.service
            if isinstance(row, Verdict)
        ]
        return {
            "gate": self.gate.identity(),
            "service": fingerprint("verdicts", {"rows": said}),
            "looks": {name: list(at) for name, at in self.looks.items()},
            "error": self.error,
            "seed": self.seed,
        }

    def open(self, rows: Sequence[Judgement]) -> frozenset[str]:
        """Return the prompts that want further repeats after a look; none: the decision is settled.

        A prompt whose noise could not use up an equal part of what the margin has to spare wants
        none, whatever the others do.
        """
        candidate, own = VerdictTable.of(rows), VerdictTable.of(self.service)
        gate = build(self.gate)
        conditions = list(gate.conditions(candidate, own, self.repeats, seed=self.seed))
        early = max(1, max(map(len, self.looks.values())) - 1)
        error = self.error / early
        if failing := [condition for condition in conditions if condition.margin < 0]:
            # One that fails for good is enough: the one that is least likely to turn.
            nearest = min(failing, key=lambda condition: condition.turns)
            return frozenset() if nearest.turns <= error else frozenset(nearest.open(error))
        if math.fsum(condition.turns for condition in conditions) <= error:
            return frozenset()
        each = error / len(conditions)
        return frozenset(
            prompt
            for condition in conditions
            if condition.turns > each
            for prompt in condition.open(each)
        )


def rule_for(
    judge: JudgeConfig, gate: GateConfig, service: Sequence[Judgement], *, seed: int
) -> Rule | None:
    """Return the rule for a judge, or None where M is fixed.

    It is fixed where no member asks an LLM more than twice or all have `sequential: false`, and
    where the service's own score, without which nothing is decided, is missing.
    """
    named = judge.scorers()
    repeats = {
        n: member.repeats if isinstance(member, LlmJudgeConfig) else 1
        for n, member in named.items()
    }
    wanted = {
        name: member
        for name, member in named.items()
        if isinstance(member, LlmJudgeConfig) and member.sequential and member.repeats > FIRST
    }
    compared = not gate.compares or any(isinstance(r, Verdict) for r in service)
    if not wanted or not compared:
        return None
    return Rule(
        gate=gate,
        service=tuple(service),
        looks={name: looks(member.repeats) for name, member in wanted.items()},
        repeats=repeats,
        error=min(member.error for member in wanted.values()),
        seed=seed,
    )
