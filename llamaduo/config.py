"""The configuration as the code sees it: frozen, checked, and without a default of its own.

Each class is one group of `conf/`; its values come from there and from the command line. A `kind`
field picks the implementation. What changes where or how fast something runs, and not its result,
lies in a `Runtime` and stays out of every identity.
"""

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llamaduo.artifact import Json
from llamaduo.cost import Price
from llamaduo.cost.terms import Hardware, Workload
from llamaduo.redact import redacted

Share: TypeAlias = Annotated[float, Field(gt=0, lt=1)]
Count: TypeAlias = Annotated[int, Field(ge=1)]
Score: TypeAlias = Annotated[float, Field(ge=0, le=100)]


class Config(BaseModel):
    """Base of all groups: unknown keys and later changes are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def identity(self) -> dict[str, Json]:
        """The values that decide a result, ready for a fingerprint: all but `runtime`."""
        facts: dict[str, Json] = self.model_dump(mode="json", exclude={"runtime"})
        return facts


class Split(Config):
    """Shares of the coverage rows that are held out; the rest is for training."""

    dev: Share
    test: Share

    @model_validator(mode="after")
    def _leaves_rows_to_train_on(self) -> "Split":
        if self.dev + self.test >= 1:
            raise ValueError(f"dev {self.dev} + test {self.test} leave no rows to train on")
        return self


class TaskConfig(Config):
    """`task`: what is migrated, and the recorded pairs that show it.

    `coverage` is a path, or `shipped:<name>/<file>` for one that comes with llamaduo.
    `prompt_column` and `response_column` name the columns of a file that has no chat `messages`.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    topic: str
    coverage: str
    prompt_column: str
    response_column: str
    max_new_tokens: Count
    split: Split


class RecordedServiceConfig(Config):
    """`service=recorded`: replays the answers of a file. Its price is nominal.

    `recording` is a path, or `shipped:<name>/<file>`; `tokenizer` names what counted its tokens.
    `max_tokens` caps one reply, here as with every service.
    """

    kind: Literal["recorded"]
    name: str
    recording: str
    tokenizer: str
    max_tokens: Count
    price: Price


class FakeServiceConfig(Config):
    """`service=fake`: answers at once by a fixed rule, for trying the loop and for tests."""

    kind: Literal["fake"]
    name: str
    max_tokens: Count
    price: Price


class Limits(Config):
    """What may be asked of a service at once and by time; null: no limit known.

    Requests, input and output tokens, each by second and by minute. A rate that is not known is
    found by what the service refuses.
    """

    concurrency: Count
    requests_per_second: Annotated[float, Field(gt=0)] | None
    requests_per_minute: Annotated[float, Field(gt=0)] | None
    input_tokens_per_second: Annotated[float, Field(gt=0)] | None
    input_tokens_per_minute: Annotated[float, Field(gt=0)] | None
    output_tokens_per_second: Annotated[float, Field(gt=0)] | None
    output_tokens_per_minute: Annotated[float, Field(gt=0)] | None


class ServiceRuntime(Config):
    """How a service is called: speed and patience only.

    `timeout` is in seconds for one call, `attempts` counts the first. `ledger` keeps every answer
    in `mlruns/ledger.db`, so that none is paid for twice.
    """

    limits: Limits
    timeout: Annotated[float, Field(gt=0)]
    attempts: Count
    ledger: bool


class Listed(Price):
    """A line of the price book: dollars per million tokens, as of which day, and who says so."""

    date: datetime.date
    source: str


class ApiServiceConfig(Config):
    """A service LLM behind an API, any that litellm knows or any OpenAI-compatible URL.

    `kind` is `litellm`, where `model` has litellm's name for it, or `endpoint`, a URL in `api_base`
    called directly. `key_env` names the environment variables that hold the key; null: none wanted.
    `form` says how a JSON answer is asked for: by its schema, as some JSON, or in words alone.
    `price` is dollars per million tokens, the name of a line of the price book, or null: the book's
    line for the model, else what litellm's map says. `extra` goes into the body of each request.
    `record` is a file that gets every answer, for `service=recorded` to replay. `retired` says
    since when nobody serves the model any more.
    """

    kind: Literal["litellm", "endpoint"]
    name: str
    model: Annotated[str, Field(min_length=1)]
    api_base: str | None
    key_env: str | tuple[str, ...] | None
    max_tokens: Count
    temperature: Annotated[float, Field(ge=0)] | None
    top_p: Annotated[float, Field(gt=0, le=1)] | None
    form: Literal["json_schema", "json_object", "words"]
    extra: dict[str, Any]
    price: str | Price | None
    retired: str | None
    record: Path | None
    runtime: ServiceRuntime

    @model_validator(mode="after")
    def _holds_no_secret(self) -> "ApiServiceConfig":
        facts = {"model": self.model, "api_base": self.api_base, "extra": self.extra}
        clean = redacted(facts)
        for name, value in facts.items():
            if clean[name] != value:
                raise ValueError(
                    f"a secret in {name}: {clean[name]}; name the environment variable that holds "
                    "it in key_env"
                )
        return self


ServiceConfig: TypeAlias = Annotated[
    RecordedServiceConfig | FakeServiceConfig | ApiServiceConfig, Field(discriminator="kind")
]


class Sampling(Config):
    """How the local LLM answers: K responses to a prompt, sampled at a temperature."""

    k: Count
    temperature: Annotated[float, Field(gt=0)]
    top_p: Annotated[float, Field(gt=0, le=1)]


class LocalRuntime(Config):
    """How the local LLM is run: memory and speed only.

    `batch_tokens` bounds a generation batch: rows × (longest prompt + new tokens).
    """

    batch_tokens: Count


class HfLocalConfig(Config):
    """`local=…` with `kind: hf`: a causal LM that transformers runs.

    `weights` is `auto` (a known package where there is one, else the hub), `hub`, or a path.
    `chat_template` is `tokenizer` for the tokenizer's own, or the name of one that llamaduo has.
    `system_role` says whether the template takes a system message (`native`) or has it put before
    the first user message (`merge`).
    """

    kind: Literal["hf"]
    name: str
    hub_id: str
    revision: str
    weights: str
    chat_template: Literal["tokenizer", "chatml"]
    system_role: Literal["native", "merge"]
    usd_per_hour: Decimal | None
    sampling: Sampling
    runtime: LocalRuntime


class FakeLocalConfig(Config):
    """`local=fake`: learns by remembering, for trying the loop and for tests."""

    kind: Literal["fake"]
    name: str
    usd_per_hour: Decimal | None
    sampling: Sampling


LocalConfig: TypeAlias = Annotated[HfLocalConfig | FakeLocalConfig, Field(discriminator="kind")]


class HparamsRuntime(Config):
    """How training is run: rows held in memory at once, of the rows that make one step."""

    micro_batch_size: Count
    gradient_checkpointing: bool


class EarlyStopping(Config):
    """When training ends before its time, and which adapter is kept: the one with dev's best loss.

    The mean loss of `pairs` dev answers (null: all of them) is looked at `looks` times over the
    whole training. It ends after `patience` looks in a row that were not `min_gain` nats per token
    below the best one before them. `patience` null: nothing is looked at, and the last is kept.
    """

    patience: Count | None
    looks: Count
    min_gain: Annotated[float, Field(ge=0)]
    pairs: Count | None


class HparamsConfig(Config):
    """`hparams`: the adapter and how it is trained; `docs/hparams.md` has each setting's source.

    Of `alpha` and `alpha_ratio` (alpha as a multiple of `r`) one is null, and of `epochs` and
    `steps`, too. `double_quantization` counts with 4 bits only. `target_modules` is `all-linear`
    or a list. `loraplus_ratio` is B's learning rate over A's; null: the same. `neftune_alpha` null:
    no noise. `batch_size` is the rows of one optimiser step.
    """

    quantization: Literal["nf4", "fp4", "int8", "none"]
    double_quantization: bool
    r: Count
    alpha: Annotated[float, Field(gt=0)] | None
    alpha_ratio: Annotated[float, Field(gt=0)] | None
    dropout: Annotated[float, Field(ge=0, lt=1)]
    target_modules: str | tuple[str, ...]
    bias: Literal["none", "all", "lora_only"]
    dora: bool
    rslora: bool
    init: Literal["zero", "pissa", "olora"]
    optimizer: Literal[
        "adamw", "adamw_8bit", "paged_adamw", "paged_adamw_8bit", "adafactor", "lion", "sgd"
    ]
    learning_rate: Annotated[float, Field(gt=0)]
    loraplus_ratio: Annotated[float, Field(ge=1)] | None
    scheduler: Literal[
        "cosine",
        "cosine_with_min_lr",
        "linear",
        "constant",
        "inverse_sqrt",
        "warmup_stable_decay",
    ]
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    max_grad_norm: Annotated[float, Field(gt=0)]
    neftune_alpha: Annotated[float, Field(gt=0)] | None
    epochs: Annotated[float, Field(gt=0)] | None
    steps: Count | None
    early_stopping: EarlyStopping
    batch_size: Count
    max_length: Count
    runtime: HparamsRuntime

    @model_validator(mode="after")
    def _says_each_thing_once(self) -> "HparamsConfig":
        for one, other in (("alpha", "alpha_ratio"), ("epochs", "steps")):
            values = (getattr(self, one), getattr(self, other))
            if values.count(None) != 1:
                said = ("null" if value is None else f"{value:g}" for value in values)
                raise ValueError(
                    "{one}={} and {other}={}: set one of them, and make the other null".format(
                        *said, one=one, other=other
                    )
                )
        return self

    @model_validator(mode="after")
    def _trains_only_what_learns(self) -> "HparamsConfig":
        # bitsandbytes' layers round their biases to bfloat16 at every pass, which swallows most
        # updates.
        if self.bias != "none" and self.quantization != "none":
            raise ValueError(
                f"bias={self.bias} with quantization={self.quantization}: biases of quantised "
                "layers cannot be trained; use quantization=none or bias=none"
            )
        return self

    @property
    def scale(self) -> float:
        """LoRA's alpha, however it was said."""
        if self.alpha is not None:
            return self.alpha
        assert self.alpha_ratio is not None
        return self.alpha_ratio * self.r

    @property
    def doubly_quantized(self) -> bool:
        """Whether the constants of 4-bit blocks are quantised themselves."""
        return self.double_quantization and self.quantization in ("nf4", "fp4")

    def identity(self) -> dict[str, Json]:
        """What decides an adapter: the same for two ways to say one thing."""
        facts = super().identity()
        del facts["alpha_ratio"]
        if self.early_stopping.patience is None:
            facts["early_stopping"] = None
        return facts | {"alpha": self.scale, "double_quantization": self.doubly_quantized}


class EmbeddingJudgeConfig(Config):
    """`judge=embedding`: sentence embeddings and ROUGE-L, checked by rules; no LLM."""

    kind: Literal["embedding"]
    name: str
    weights: str


class OverlapJudgeConfig(Config):
    """`judge=overlap`: shared words and letters, checked by rules; no model at all."""

    kind: Literal["overlap"]
    name: str


class LlmJudgeConfig(Config):
    """`judge=llm`: a service LLM says how similar and how precise a response is.

    `client` is the service that judges, `repeats` the verdicts on each response (M), `max_tokens`
    the cap on one verdict, `prompt` the file of `llamaduo/judge/prompts` that asks for it. With
    `sequential` a candidate's repeats end once the gate's decision is settled: the chance that
    those left out would have turned it is `error`, for each decision, or less.
    """

    kind: Literal["llm"]
    name: str
    client: ServiceConfig
    repeats: Count
    sequential: bool
    error: Share
    max_tokens: Count
    prompt: str


class FakeJudgeConfig(Config):
    """`judge=fake`: word overlap, for trying the loop and for tests."""

    kind: Literal["fake"]
    name: str


MemberConfig: TypeAlias = Annotated[
    EmbeddingJudgeConfig | OverlapJudgeConfig | LlmJudgeConfig | FakeJudgeConfig,
    Field(discriminator="kind"),
]


class PanelJudgeConfig(Config):
    """`judge=panel`: several judges at once, each under a name of its own in `members`."""

    kind: Literal["panel"]
    name: str
    members: Annotated[dict[str, MemberConfig], Field(min_length=2)]


ScoringConfig: TypeAlias = Annotated[
    EmbeddingJudgeConfig | OverlapJudgeConfig | LlmJudgeConfig | FakeJudgeConfig | PanelJudgeConfig,
    Field(discriminator="kind"),
]


class PairwiseJudgeConfig(Config):
    """`judge=pairwise`: beside what another judge scores, which of two answers an LLM prefers.

    `scores` is the judge that the gate goes by. On test, `client` is shown each of the tuned
    model's answers with the service's own, in both orders, by the file `prompt` of
    `llamaduo/judge/prompts/pairwise`.
    """

    kind: Literal["pairwise"]
    name: str
    scores: ScoringConfig
    client: ServiceConfig
    max_tokens: Count
    prompt: str


JudgeConfig: TypeAlias = Annotated[
    EmbeddingJudgeConfig
    | OverlapJudgeConfig
    | LlmJudgeConfig
    | FakeJudgeConfig
    | PanelJudgeConfig
    | PairwiseJudgeConfig,
    Field(discriminator="kind"),
]


class Dedup(Config):
    """What counts as a near copy: ROUGE-L F above `rouge_l`, as in the paper's code.

    Up to `exact_up_to` texts every pair is compared; above, those that MinHash with `permutations`
    proposes because their Jaccard similarity is likely above `jaccard`.
    """

    exact_up_to: Annotated[int, Field(ge=0)]
    permutations: Count
    jaccard: Share
    rouge_l: Share


class SynthesisConfig(Config):
    """`synthesis`: how the training pool grows between rounds, and when that has stopped paying.

    `seeds` are drawn from train each round (null: all), `pairs_per_seed` asked for with each. The
    loop ends with `plateau` after `patience` rounds in a row that gained less than `min_gain`
    points of mean similarity on dev over the best before.
    """

    seeds: Count | None
    pairs_per_seed: Count
    dedup: Dedup
    patience: Count
    min_gain: float


class RelativeGateConfig(Config):
    """`gate=relative`: a share of the service LLM's own score, on the lower interval bound.

    The share of responses that reach `coverage_at` must be `coverage_share` of the service's, too.
    """

    kind: Literal["relative"]
    name: str
    ratio: Annotated[float, Field(gt=0)]
    coverage_at: Score
    coverage_share: Annotated[float, Field(ge=0)]
    confidence: Share


class AbsoluteGateConfig(Config):
    """`gate=paper_absolute`: both means at least `threshold`, as the paper's code has it."""

    kind: Literal["absolute"]
    name: str
    threshold: Score
    confidence: Share


class NonInferiorGateConfig(Config):
    """`gate=non_inferior`: at most `margin` points below the service, on the lower bound."""

    kind: Literal["non_inferior"]
    name: str
    margin: Score
    confidence: Share


GateConfig: TypeAlias = Annotated[
    RelativeGateConfig | AbsoluteGateConfig | NonInferiorGateConfig, Field(discriminator="kind")
]


class YardsticksConfig(Config):
    """`yardsticks`: what test is read for beside the tuned model; false or null: not at all.

    `few_shot` is the number of training pairs that the untuned model is shown in its prompt.
    """

    base: bool
    few_shot: Count | None
    service: bool
    copies: bool


class MlflowTrackingConfig(Config):
    """`tracking=mlflow`: runs, tables and the registry. `uri` null: a database under `home`."""

    kind: Literal["mlflow"]
    home: Path
    uri: str | None


class MemoryTrackingConfig(Config):
    """`tracking=memory`: nothing outlives the process but the stages under `home`."""

    kind: Literal["memory"]
    home: Path


TrackingConfig: TypeAlias = Annotated[
    MlflowTrackingConfig | MemoryTrackingConfig, Field(discriminator="kind")
]


class Budget(Config):
    """What a migration may take before the loop ends with `budget`; null: no limit.

    `usd` is for all that spends from the same `purse`, in this run and in others, ever.
    """

    usd: Annotated[Decimal, Field(ge=0)] | None
    purse: Annotated[str, Field(min_length=1)]
    minutes: Annotated[float, Field(gt=0)] | None


class Experiment(Config):
    """A whole migration: one choice of each group, and the values that belong to none.

    `dry_run` asks for the plan of it in place of the migration. `workload` and `hardware` are what
    the cost decision at its end is for; they decide no result.
    """

    name: str
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    min_rounds: Count
    max_rounds: Count
    objective: Literal["dev/similarity_mean", "dev/precision_mean"]
    budget: Budget
    dry_run: bool
    prices: dict[str, Listed]
    task: TaskConfig
    service: ServiceConfig
    local: LocalConfig
    judge: JudgeConfig
    hparams: HparamsConfig
    synthesis: SynthesisConfig
    gate: GateConfig
    yardsticks: YardsticksConfig
    workload: Workload
    hardware: Hardware
    tracking: TrackingConfig

    @model_validator(mode="after")
    def _rounds_in_order(self) -> "Experiment":
        if self.min_rounds > self.max_rounds:
            raise ValueError(f"min_rounds {self.min_rounds} exceeds max_rounds {self.max_rounds}")
        return self

    @model_validator(mode="after")
    def _gate_has_its_yardstick(self) -> "Experiment":
        if not self.yardsticks.service and not isinstance(self.gate, AbsoluteGateConfig):
            raise ValueError(
                f"yardsticks.service is false, and gate={self.gate.name} compares with the "
                "service's own answers; leave it true, or use gate=paper_absolute"
            )
        return self
