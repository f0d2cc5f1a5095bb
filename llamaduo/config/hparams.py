"""`conf/hparams`: the adapter and how it is trained."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from llamaduo.base.files import Json
from llamaduo.config.base import Config, Count


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
