"""What each choice of service, local LLM and judge still needs on this machine."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from pydantic import BaseModel, ValidationError

from llamaduo import cli, service
from llamaduo.base.errors import LlamaduoError
from llamaduo.config import (
    ApiServiceConfig,
    Config,
    EmbeddingJudgeConfig,
    Experiment,
    HfLocalConfig,
    RecordedServiceConfig,
    ServiceConfig,
)
from llamaduo.doctor.machine import (
    GIB,
    Machine,
    gib,
    place,
)
from llamaduo.doctor.weights_here import UNDERSTATED, Model, look_for, parameters
from llamaduo.lab import LIBRARIES as NUMERIC
from llamaduo.money import prices
from llamaduo.service import keys
from llamaduo.stages.collect import source_of

LIBRARIES = (*NUMERIC, "mlflow", "litellm", "hydra-core", "pydantic")
GROUPS = ("service", "local", "judge")
#: Where litellm and the hub look for keys, by provider; any of a provider's variables will do.
KEYS: Mapping[str, tuple[str, ...]] = {
    "OpenAI": ("OPENAI_API_KEY",),
    "Anthropic": ("ANTHROPIC_API_KEY",),
    "Google Gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "Google Vertex": ("GOOGLE_APPLICATION_CREDENTIALS",),
    "Azure": ("AZURE_API_KEY",),
    "AWS Bedrock": ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"),
    "OpenRouter": ("OPENROUTER_API_KEY",),
    "Mistral": ("MISTRAL_API_KEY",),
    "Groq": ("GROQ_API_KEY",),
    "Together": ("TOGETHERAI_API_KEY",),
    "DeepSeek": ("DEEPSEEK_API_KEY",),
    "Cohere": ("COHERE_API_KEY",),
    "Fireworks": ("FIREWORKS_AI_API_KEY",),
    "xAI": ("XAI_API_KEY",),
    "model hub": ("HF_TOKEN",),
}
#: Bytes per parameter, and besides, of training and sampling as `llamaduo.local.precision` rules.
#: On a CPU sampling in float32 sets the peak: 3.2 GiB were measured with SmolLM2 (docs/results.md).
APPETITE = {
    ("cpu", "nf4"): (4.5, 2.6 * GIB),
    ("cpu", "fp4"): (4.5, 2.6 * GIB),
    ("cpu", "int8"): (5.0, 2.6 * GIB),
    ("cpu", "none"): (6.0, 2.6 * GIB),
    ("cuda", "nf4"): (0.8, 3 * GIB),
    ("cuda", "fp4"): (0.8, 3 * GIB),
    ("cuda", "int8"): (1.3, 3 * GIB),
    ("cuda", "none"): (2.0, 3 * GIB),
}
WITH_WEIGHTS = (HfLocalConfig, EmbeddingJudgeConfig)
SLOW = 1e9  # parameters from which a CPU takes hours


class Options(Config):
    """Every option of the groups that depend on the machine, by its name, as it lies in `conf/`."""

    service: dict[str, dict[str, Any]]
    local: dict[str, dict[str, Any]]
    judge: dict[str, dict[str, Any]]


class Doctor(Experiment):
    """The chosen experiment, the options beside it, and whether to call its services."""

    options: Options
    ping: bool


@dataclass(frozen=True)
class State:
    """What a choice lacks on this machine, the most decisive first, and a note if it is ready."""

    lacks: tuple[str, ...] = ()
    note: str = ""

    def __str__(self) -> str:
        """Ready, or the next act."""
        state = f"needs {self.lacks[0]}" if self.lacks else "ready"
        return f"{state}{self.note and '; '}{self.note}"


def has_key(*names: str) -> bool:
    """Whether any of the variables is set to something, in the environment or in `.env`."""
    return any(keys.value_of(name) is not None for name in names)


# ---------------------------------------------------------------- what the choices need


def of_service(exp: Experiment) -> State:
    """What the service still needs: values, its keys, a price, or its recording."""
    return _state_of_client(exp.service, exp)


def _state_of_client(config: ServiceConfig, exp: Experiment) -> State:
    lacks = list(_keys_lacking(config))
    note = ""
    if isinstance(config, RecordedServiceConfig):
        try:
            service.build(
                config, service.ServiceContext.of(exp.tracking.home, exp.prices, exp.budget)
            )
        except LlamaduoError as error:
            lacks.append(f"a recording: {error}")
    if isinstance(config, ApiServiceConfig):
        gap = service.missing_value(config)
        lacks = [f"you to set {gap}", *lacks] if gap is not None else lacks
        note = f"retired by its provider: {config.retired}" if config.retired else ""
        try:
            prices.price_of(config, exp.prices)
        except LlamaduoError as error:
            lacks.append(f"a price: {error}")
    return State(tuple(lacks), note)


def of_local(exp: Experiment, machine: Machine) -> State:
    """What the local model still needs: torch, memory by the precision rule, weights."""
    if not isinstance(exp.local, HfLocalConfig):
        return State()
    lacks = list(_torch_lacking(machine))
    size, note = parameters(exp.local.hub_id), ""
    if not lacks and size is not None:
        lacks += _memory_lacking(exp, machine, size * UNDERSTATED)
        if size > SLOW and not machine.devices.gpus:
            note = "slow without a GPU"
    return _with_weights(lacks, note, model_of(exp.local))


def of_judge(exp: Experiment, machine: Machine) -> State:
    """What the judge still needs: keys, torch, weights."""
    found = [_state_of_client(client, exp) for client in exp.judge.clients().values()]
    for one in exp.judge.scorers().values():
        if isinstance(one, EmbeddingJudgeConfig):
            found.append(_with_weights([*_torch_lacking(machine)], "", model_of(one)))
    return State(
        tuple(dict.fromkeys(lack for state in found for lack in state.lacks)),
        "; ".join(dict.fromkeys(state.note for state in found if state.note)),
    )


def _with_weights(lacks: Sequence[str], note: str, model: Model) -> State:
    fetched = "" if model.home else f"weights come at first use from {model.source}"
    return State((*lacks, *model.lacks), "; ".join(filter(None, (note, fetched))))


def model_of(config: HfLocalConfig | EmbeddingJudgeConfig) -> Model:
    """The weights of a choice, as they are found."""
    if isinstance(config, HfLocalConfig):
        return look_for(config.weights, config.hub_id, config.revision)
    from llamaduo.judge.embedding import HUB_ID, REVISION

    return look_for(config.weights, HUB_ID, REVISION)


def _keys_lacking(config: BaseModel) -> Iterator[str]:
    """What `key_env` fields, here or in a client within, name and the environment has not."""
    for name in config.__class__.model_fields:
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            yield from _keys_lacking(value)
        elif name == "key_env" and value:
            names = (value,) if isinstance(value, str) else value
            for lacking in (one for one in names if not has_key(one)):
                yield f"its API key: set the environment variable {lacking}, or write it into .env"


def _torch_lacking(machine: Machine) -> Iterator[str]:
    if machine.devices.error is not None:
        yield f"a torch that works (it says: {machine.devices.error}): install torch again"


def _memory_lacking(exp: Experiment, machine: Machine, size: float) -> Iterator[str]:
    quantization, gpus = exp.hparams.quantization, machine.devices.gpus
    device = "cuda" if gpus else "cpu"
    each, besides = APPETITE[device, quantization]
    there = gpus[0].free if gpus else machine.memory.available
    wanted = size * each + besides
    if there is not None and there < wanted:
        what = "GPU memory" if gpus else "memory"
        text = f"about {gib(wanted)} of {what} (hparams.quantization={quantization}), {gib(there)}"
        each, besides = APPETITE["cuda", "nf4"]
        least = gib(size * each + besides)
        yield f"{text} is free: use a GPU with {least} or more, or a smaller local model"


def state_of(group: str, exp: Experiment, machine: Machine) -> State:
    """What the chosen option of a group lacks."""
    if group == "service":
        return of_service(exp)
    return of_local(exp, machine) if group == "local" else of_judge(exp, machine)


def alternatives(doctor: Doctor) -> Iterator[tuple[str, str, Experiment | str]]:
    """Group, option, and the experiment with that option chosen, or why it is not valid."""
    chosen = doctor.model_dump(exclude={"options", "ping"})
    for group in GROUPS:
        options: dict[str, dict[str, Any]] = getattr(doctor.options, group)
        for option, facts in sorted(options.items()):
            try:
                exp = Experiment.model_validate({**chosen, "format": doctor.format, group: facts})
            except ValidationError as error:
                yield group, option, cli.message_of(error, Experiment).splitlines()[0]
                continue
            # What the command line changed inside the chosen option counts too.
            taken = getattr(exp, group).name == getattr(doctor, group).name
            yield group, option, doctor if taken else exp


def first_missing(exp: Experiment, machine: Machine) -> str | None:
    """The first thing without which the chosen experiment cannot run, and the next act."""
    for name in LIBRARIES:
        if version_of(name) is None:
            return f"{name} is not installed: pip install {name}"
    home = exp.tracking.home
    if problem := place(home).problem:
        return f"tracking.home={home}: {problem}; mend that or set tracking.home"
    try:
        source_of(exp.task)
    except LlamaduoError as error:
        return str(error)
    for group in GROUPS:
        config, state = getattr(exp, group), state_of(group, exp, machine)
        if state.lacks:
            return f"{group}={config.name} needs {state.lacks[0]}"
        model = model_of(config) if isinstance(config, WITH_WEIGHTS) else None
        if model and not model.home and (problem := place(model.keeper, model.size).problem):
            act = "mend that or set LLAMADUO_CACHE (HF_HOME for the hub's)"
            return f"{group}={config.name} has no place for its weights: {problem}; {act}"
    return None


def version_of(name: str) -> str | None:
    """Return the installed version of a distribution; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
