"""What a finished migration says of its own measurement: differences, agreement and leanings."""

from collections.abc import Mapping, Sequence
from typing import Any

from llamaduo.base.text import words
from llamaduo.config import Experiment, JudgeConfig, LlmJudgeConfig
from llamaduo.judge.anchors import AnchorTable
from llamaduo.migration.loop import Migration
from llamaduo.outcome.outcome import Evaluation, Paired
from llamaduo.records import Judgement
from llamaduo.stats.agreement import Unit, agreement
from llamaduo.stats.bias import family_of, length_bias, self_preference
from llamaduo.stats.scores import compare
from llamaduo.stats.table import METRICS


def evaluate(exp: Experiment, migration: Migration, anchors: Sequence[AnchorTable]) -> Evaluation:
    """Collect what the verdicts on test tell beside the scores."""
    confidence, seed = exp.gate.confidence, exp.seed
    rows = {name: read.judged.rows() for name, read in migration.test.items()}
    names = {row.judge for judged in rows.values() for row in judged}
    members = exp.judge.scorers()
    judges = {name: _family(members.get(name)) for name in names}
    families = _families(exp, rows)
    lengths = _lengths(migration)
    several = len(names) > 1
    return Evaluation(
        comparisons=tuple(_comparisons(rows, confidence, seed)),
        agreements=tuple(
            agreement(rows, metric, confidence=confidence, seed=seed)
            for metric in (METRICS if several else ())
        ),
        lengths={m: tuple(length_bias(rows, m, lengths=lengths)) for m in METRICS},
        preferences={
            m: tuple(
                self_preference(
                    rows, m, judges=judges, families=families, confidence=confidence, seed=seed
                )
            )
            for m in (METRICS if several else ())
        },
        anchors=tuple(anchors),
        pairwise=None if migration.compared is None else migration.compared.rate,
    )


def _comparisons(
    rows: Mapping[str, Sequence[Judgement]], confidence: float, seed: int
) -> list[Paired]:
    """Tuned less each other system, then the service less base."""
    pairs = [("tuned", other) for other in rows if other != "tuned"] if "tuned" in rows else []
    if {"service", "base"} <= rows.keys():
        pairs.append(("service", "base"))
    comparisons = []
    for system, other in pairs:
        for metric in METRICS:
            comparison = compare(
                rows[system], rows[other], metric, confidence=confidence, seed=seed
            )
            if comparison is not None:
                comparisons.append(
                    Paired(system=system, other=other, metric=metric, found=comparison)
                )
    return comparisons


def is_llm(config: JudgeConfig) -> bool:
    """Return whether an LLM has a part in the verdicts."""
    return any(isinstance(member, LlmJudgeConfig) for member in config.scorers().values())


def _family(config: Any) -> str | None:
    if not isinstance(config, LlmJudgeConfig):
        return None
    return family_of(getattr(config.client, "model", config.client.name))


def _families(exp: Experiment, rows: Mapping[str, object]) -> dict[str, str | None]:
    """Name the families of the systems that are models; a copy has none."""
    local = family_of(getattr(exp.local, "hub_id", exp.local.name))
    families = dict.fromkeys(rows, None) | {"base": local, "tuned": local}
    return families | {"service": family_of(getattr(exp.service, "model", exp.service.name))}


def _lengths(migration: Migration) -> dict[Unit, float]:
    """Divide the words of each answer by those of its reference; left out where it has none."""
    references = {p.id: len(words(p.response)) for p in migration.coverage.split("test")}
    return {
        (name, response.prompt_id, response.k): len(words(response.text))
        / references[response.prompt_id]
        for name, read in migration.test.items()
        for response in read.responses
        if references.get(response.prompt_id)
    }
