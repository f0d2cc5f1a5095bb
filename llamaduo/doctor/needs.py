"""Check what each choice of service, local LLM and judge still needs on this machine."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, TypeAlias

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
    output_folder,
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
#: Memory for training and sampling by device and quantization: bytes per parameter, and bytes on
#: top. `llamaduo.local.precision` chooses the precision. On a CPU, sampling in float32 sets the
#: peak: 3.2 GiB were measured with SmolLM2 (docs/results.md).
MEMORY_NEEDED = {
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
SLOW_ON_CPU = 1e9  # parameters from which training on a CPU takes hours


class Options(Config):
    """Every option in `conf/` of the groups that depend on the machine, by its name."""

    service: dict[str, dict[str, Any]]
    local: dict[str, dict[str, Any]]
    judge: dict[str, dict[str, Any]]


class Doctor(Experiment):
    """The chosen experiment, all options beside it, and `ping`: also call its services."""

    options: Options
    ping: bool


@dataclass(frozen=True)
class Readiness:
    """The things that a choice still needs here, the most important first, and a note."""

    missing: tuple[str, ...] = ()
    note: str = ""

    def __str__(self) -> str:
        """Return "ready", or the first thing needed with the next act."""
        text = f"needs {self.missing[0]}" if self.missing else "ready"
        return f"{text}{self.note and '; '}{self.note}"


def has_key(*names: str) -> bool:
    """Tell if one of the variables has a value, in the environment or in `.env`."""
    return any(keys.value_of(name) is not None for name in names)


# ---------------------------------------------------------------- what the choices need


def service_readiness(exp: Experiment) -> Readiness:
    """Return what the service still needs: values, its keys, a price, or its recording."""
    return _client_readiness(exp.service, exp)


def _client_readiness(config: ServiceConfig, exp: Experiment) -> Readiness:
    missing = list(_missing_keys(config))
    note = ""
    if isinstance(config, RecordedServiceConfig):
        try:
            context = service.ServiceContext.of(exp.tracking.home, exp.prices, exp.budget)
            service.build(config, context)
        except LlamaduoError as error:
            missing.append(f"a recording: {error}")
    if isinstance(config, ApiServiceConfig):
        gap = service.missing_value(config)
        missing = [f"you to set {gap}", *missing] if gap is not None else missing
        note = f"retired by its provider: {config.retired}" if config.retired else ""
        try:
            prices.price_of(config, exp.prices)
        except LlamaduoError as error:
            missing.append(f"a price: {error}")
    return Readiness(tuple(missing), note)


def local_readiness(exp: Experiment, machine: Machine) -> Readiness:
    """Return what the local LLM still needs: torch, memory by the precision rule, weights."""
    if not isinstance(exp.local, HfLocalConfig):
        return Readiness()
    missing = list(_missing_torch(machine))
    size, note = parameters(exp.local.hub_id), ""
    if not missing and size is not None:
        missing += _missing_memory(exp, machine, size * UNDERSTATED)
        if size > SLOW_ON_CPU and not machine.devices.gpus:
            note = "slow without a GPU"
    return _with_weights(missing, note, model_of(exp.local))


def judge_readiness(exp: Experiment, machine: Machine) -> Readiness:
    """Return what the judge still needs: keys, torch, weights."""
    parts = [_client_readiness(client, exp) for client in exp.judge.clients().values()]
    for scorer in exp.judge.scorers().values():
        if isinstance(scorer, EmbeddingJudgeConfig):
            parts.append(_with_weights([*_missing_torch(machine)], "", model_of(scorer)))
    return Readiness(
        tuple(dict.fromkeys(need for part in parts for need in part.missing)),
        "; ".join(dict.fromkeys(part.note for part in parts if part.note)),
    )


def _with_weights(missing: Sequence[str], note: str, model: Model) -> Readiness:
    download = "" if model.home else f"weights are downloaded at first use from {model.source}"
    return Readiness((*missing, *model.missing), "; ".join(filter(None, (note, download))))


def model_of(config: HfLocalConfig | EmbeddingJudgeConfig) -> Model:
    """Return the weights of a choice, as they are on this machine."""
    if isinstance(config, HfLocalConfig):
        return look_for(config.weights, config.hub_id, config.revision)
    from llamaduo.judge.embedding import HUB_ID, REVISION

    return look_for(config.weights, HUB_ID, REVISION)


def _missing_keys(config: BaseModel) -> Iterator[str]:
    """Yield each unset key that a `key_env` field names, here or in a client within."""
    for name in config.__class__.model_fields:
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            yield from _missing_keys(value)
        elif name == "key_env" and value:
            names = (value,) if isinstance(value, str) else value
            for variable in (name for name in names if not has_key(name)):
                yield f"its API key: set the environment variable {variable}, or write it into .env"


def _missing_torch(machine: Machine) -> Iterator[str]:
    if machine.devices.error is not None:
        yield f"a working torch (its error: {machine.devices.error}): install torch again"


def _missing_memory(exp: Experiment, machine: Machine, size: float) -> Iterator[str]:
    quantization, gpus = exp.hparams.quantization, machine.devices.gpus
    device = "cuda" if gpus else "cpu"
    per_parameter, on_top = MEMORY_NEEDED[device, quantization]
    free = gpus[0].free if gpus else machine.memory.available
    needed = size * per_parameter + on_top
    if free is not None and free < needed:
        kind = "GPU memory" if gpus else "memory"
        text = f"about {gib(needed)} of {kind} (hparams.quantization={quantization}), {gib(free)}"
        per_parameter, on_top = MEMORY_NEEDED["cuda", "nf4"]
        least = gib(size * per_parameter + on_top)
        yield f"{text} are free: use a GPU with {least} or more, or a smaller local LLM"


def readiness(group: str, exp: Experiment, machine: Machine) -> Readiness:
    """Return what the chosen option of a group still needs."""
    if group == "service":
        return service_readiness(exp)
    return local_readiness(exp, machine) if group == "local" else judge_readiness(exp, machine)


#: Group, option, and the experiment with that option chosen, or the text why it is not valid.
Alternative: TypeAlias = tuple[str, str, Experiment | str]


def alternatives(doctor: Doctor) -> Iterator[Alternative]:
    """Yield the chosen experiment once with each option of each group."""
    chosen = doctor.model_dump(exclude={"options", "ping"})
    for group in GROUPS:
        options: dict[str, dict[str, Any]] = getattr(doctor.options, group)
        for option, facts in sorted(options.items()):
            try:
                exp = Experiment.model_validate({**chosen, "format": doctor.format, group: facts})
            except ValidationError as error:
                yield group, option, cli.message_of(error, Experiment).splitlines()[0]
                continue
            # Values that the command line changed inside the chosen option count too.
            is_chosen = getattr(exp, group).name == getattr(doctor, group).name
            yield group, option, doctor if is_chosen else exp


def first_missing(exp: Experiment, machine: Machine) -> str | None:
    """Return the first thing that the chosen experiment cannot run without, and the next act."""
    for name in LIBRARIES:
        if version_of(name) is None:
            return f"{name} is not installed: pip install {name}"
    home = exp.tracking.home
    if problem := output_folder(home).problem:
        return (
            f"tracking.home={home}: {problem}; correct that, or set tracking.home to another folder"
        )
    try:
        source_of(exp.task)
    except LlamaduoError as error:
        return str(error)
    for group in GROUPS:
        config, state = getattr(exp, group), readiness(group, exp, machine)
        if state.missing:
            return f"{group}={config.name} needs {state.missing[0]}"
        model = model_of(config) if isinstance(config, WITH_WEIGHTS) else None
        if model and not model.home:
            store = output_folder(model.store, model.size)
            if store.problem:
                return (
                    f"{group}={config.name}: its weights cannot be stored in {store.folder}: "
                    f"{store.problem}; correct that, or set another folder with LLAMADUO_CACHE "
                    "(HF_HOME for weights from the hub)"
                )
    return None


def version_of(name: str) -> str | None:
    """Return the installed version of a distribution; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
