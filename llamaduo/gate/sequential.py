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
    """How many repeats there are at each look; the last is all of them, so M = 10 has five."""
    found = [min(FIRST, repeats)]
    while found[-1] < repeats:
        found.append(min(repeats, math.ceil(GROWTH * found[-1])))
    return tuple(found)


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
        """All that decides how many verdicts there are: the gate, what it compares with, error."""
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
        """The prompts that want further repeats after a look; none: the decision is settled.

        A prompt whose noise could not use up an equal part of what the margin has to spare wants
        none, whatever the others do.
        """
        candidate, own = VerdictTable.of(rows), VerdictTable.of(self.service)
        gate = build(self.gate)
        found = list(gate.conditions(candidate, own, self.repeats, seed=self.seed))
        early = max(1, max(map(len, self.looks.values())) - 1)
        error = self.error / early
        if failing := [one for one in found if one.margin < 0]:
            # It takes one that fails for good: the one that is least likely to turn.
            nearest = min(failing, key=lambda one: one.turns)
            return frozenset() if nearest.turns <= error else frozenset(nearest.open(error))
        if math.fsum(one.turns for one in found) <= error:
            return frozenset()
        each = error / len(found)
        return frozenset(prompt for one in found if one.turns > each for prompt in one.open(each))


def rule_for(
    judge: JudgeConfig, gate: GateConfig, service: Sequence[Judgement], *, seed: int
) -> Rule | None:
    """The rule for a judge, or None where M is fixed.

    It is fixed where no member asks an LLM more than twice or all have `sequential: false`, and
    where the service's own score, without which nothing is decided, is missing.
    """
    named = judge.scorers()
    repeats = {n: one.repeats if isinstance(one, LlmJudgeConfig) else 1 for n, one in named.items()}
    wanted = {
        name: one
        for name, one in named.items()
        if isinstance(one, LlmJudgeConfig) and one.sequential and one.repeats > FIRST
    }
    compared = not gate.compares or any(isinstance(r, Verdict) for r in service)
    if not wanted or not compared:
        return None
    return Rule(
        gate=gate,
        service=tuple(service),
        looks={name: looks(one.repeats) for name, one in wanted.items()},
        repeats=repeats,
        error=min(one.error for one in wanted.values()),
        seed=seed,
    )
