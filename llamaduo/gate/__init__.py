"""The gate: the rule that says a local LLM is good enough, and says in words why or why not.

A gate is one file. `build` is where it is known by its configuration.
"""

from llamaduo.config import AbsoluteGateConfig, GateConfig, NonInferiorGateConfig
from llamaduo.gate.absolute import AbsoluteGate
from llamaduo.gate.non_inferior import NonInferiorGate
from llamaduo.gate.protocol import Check, Gate, GateDecision
from llamaduo.gate.relative import RelativeGate
from llamaduo.stats.scores import Verdicts
from llamaduo.stats.table import VerdictTable

__all__ = ["Check", "Gate", "GateDecision", "build", "decide"]


def build(config: GateConfig) -> Gate:
    """Return the gate that the configuration names."""
    if isinstance(config, AbsoluteGateConfig):
        return AbsoluteGate(config)
    if isinstance(config, NonInferiorGateConfig):
        return NonInferiorGate(config)
    return RelativeGate(config)


def decide(
    config: GateConfig, candidate: Verdicts, service: Verdicts, *, seed: int
) -> GateDecision:
    """Hold a candidate's verdicts against the gate; one judge, the same prompts.

    A gate that compares is not passed without the service LLM's own scores: unknown is not good
    enough.

    Raises:
        DataError: the verdicts are on two test sets.
    """
    tables = VerdictTable.of(candidate), VerdictTable.of(service)
    return GateDecision(gate=config.name, checks=tuple(build(config).checks(*tables, seed=seed)))
