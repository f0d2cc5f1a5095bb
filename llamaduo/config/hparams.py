"""`conf/hparams`: the adapter and its training."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from llamaduo.base.files import Json
from llamaduo.config.base import Config, Count


class HparamsRuntime(Config):
    """Settings of training that change memory and speed only.

    Attributes:
        micro_batch_size: the rows in memory at once, of the rows of one step.
        gradient_checkpointing: compute activations again in place of keeping them.
    """

    micro_batch_size: Count
    gradient_checkpointing: bool


class EarlyStopping(Config):
    """The rule that ends training early, and keeps the adapter with the best loss on dev.

    Attributes:
        patience: the looks in a row without a gain after which training ends; null: dev is not
            looked at, and the last adapter is kept.
        looks: the number of looks at dev's mean loss over the whole training.
        min_gain: the nats per token below the best loss so far that count as a gain.
        pairs: the dev answers of a look; null: all of them.
    """

    patience: Count | None
    looks: Count
    min_gain: Annotated[float, Field(ge=0)]
    pairs: Count | None


class HparamsConfig(Config):
    """`hparams`: the adapter and its training; `docs/hparams.md` has each setting's source.

    Attributes:
        quantization: the data type of the base model's weights.
        double_quantization: quantise the constants of 4-bit blocks, too.
        r: the rank of the adapter.
        alpha: LoRA's alpha; null where `alpha_ratio` is set.
        alpha_ratio: alpha as a multiple of `r`; null where `alpha` is set.
        dropout: the dropout of the adapter's input.
        target_modules: the modules with an adapter: `all-linear` or a list.
        bias: the biases that are trained.
        dora: train magnitude and direction apart (DoRA).
        rslora: scale by alpha / √r in place of alpha / r (rsLoRA).
        init: the first values of the adapter.
        optimizer: the optimiser.
        learning_rate: the highest learning rate.
        loraplus_ratio: the learning rate of B over that of A (LoRA+); null: the same.
        scheduler: the course of the learning rate.
        warmup_ratio: the share of the steps in which the learning rate rises.
        weight_decay: the weight decay.
        max_grad_norm: the norm that gradients are clipped to.
        neftune_alpha: the noise on embeddings (NEFTune); null: none.
        epochs: the passes over the training pairs; null where `steps` is set.
        steps: the optimiser steps; null where `epochs` is set.
        early_stopping: the rule that ends training early.
        batch_size: the rows of one optimiser step.
        max_length: the most tokens of a row.
        runtime: settings that change memory and speed only.
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
        """LoRA's alpha, from `alpha` or `alpha_ratio`."""
        if self.alpha is not None:
            return self.alpha
        assert self.alpha_ratio is not None
        return self.alpha_ratio * self.r

    @property
    def doubly_quantized(self) -> bool:
        """True if the constants of 4-bit blocks are quantised themselves."""
        return self.double_quantization and self.quantization in ("nf4", "fp4")

    def identity(self) -> dict[str, Json]:
        """Return the values that decide an adapter; settings that mean the same give the same."""
        facts = super().identity()
        del facts["alpha_ratio"]
        if self.early_stopping.patience is None:
            facts["early_stopping"] = None
        return facts | {"alpha": self.scale, "double_quantization": self.doubly_quantized}
