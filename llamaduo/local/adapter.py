"""The LoRA adapter: its shape, its start, and the half of it that is fixed.

PiSSA (arXiv 2404.02948) and OLoRA (arXiv 2406.01775) start from factors of the base's own weights,
A₀ and B₀, and subtract their product from the base. That is not exact for a quantised base, and an
adapter trained so fits no other base. Here the base stays as it is: the adapter has twice the rank,
and its second half stays at A₀ and −B₀. The learnt update is the same, B·A − B₀·A₀, and the adapter
loads anywhere as plain LoRA.
"""

import math
from collections.abc import Iterator
from typing import Any, Literal

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from peft.utils.integrations import dequantize_module_weight
from transformers import TrainerCallback

from llamaduo.base.errors import ConfigError
from llamaduo.config import HparamsConfig

#: Power iterations of PiSSA's randomised singular values, and the extra ranks that they use.
ITERATIONS, EXTRA_RANKS = 16, 8


def shape_of(hparams: HparamsConfig) -> LoraConfig:
    """Return the adapter's configuration for PEFT, the same for training and for keeping it."""
    targets = hparams.target_modules
    rank, alpha, by_root = hparams.r, hparams.scale, hparams.rslora
    if hparams.init != "zero":
        # Twice the rank at the same scale.
        scale = alpha / (math.sqrt(rank) if by_root else rank)
        rank, alpha, by_root = 2 * rank, 2 * rank * scale, False
    if (whole := int(alpha)) == alpha:
        alpha = whole  # some readers of adapters take a whole number only
    shape: Any = LoraConfig
    config: LoraConfig = shape(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=hparams.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        bias=hparams.bias,
        use_dora=hparams.dora,
        use_rslora=by_root,
        task_type="CAUSAL_LM",
    )
    return config


def begin(model: Any, hparams: HparamsConfig, seed: int) -> None:
    """Prepare a new adapter for training: in float32, started as `hparams.init` says.

    Raises:
        ConfigError: `hparams.bias` names biases, and the model has none.
    """
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    if hparams.bias != "none" and not any(name.endswith("bias") for name in names):
        raise ConfigError(
            f"hparams.bias={hparams.bias}: there are no biases in this model's layers to train; "
            "use hparams.bias=none"
        )
    # TRL rounds the adapter to bfloat16, in which small updates are lost, and a checkpoint is read
    # as float32. So it is float32 throughout, and a resumed training is the same training.
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    if hparams.init != "zero":
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            for layer in _layers(model):
                _start(layer, hparams.init)


class FixedHalf(TrainerCallback):
    """Keeps the second half of each adapter at its start, against the optimiser."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._kept: list[tuple[torch.Tensor, torch.Tensor]] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save the halves, after a checkpoint was read if there is one, and stop their gradients.

        A gradient that is dropped only later would count in the norm that is clipped.
        """
        for layer in _layers(self._model):
            for parameter, half in zip(_pair(layer), _second(layer), strict=True):
                self._kept.append((half, half.clone()))
                hooked: Any = parameter
                hooked.register_hook(_masked(parameter, half))

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Restore the halves: weight decay also moves parameters without a gradient."""
        for half, kept in self._kept:
            half.copy_(kept)


def _masked(parameter: torch.Tensor, half: torch.Tensor) -> Any:
    mask = torch.ones_like(parameter)
    rows, columns = half.shape
    mask[-rows:, -columns:] = 0
    return lambda gradient: gradient * mask


def _layers(model: Any) -> Iterator[Any]:
    return (module for module in model.modules() if isinstance(module, LoraLayer))


def _pair(layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return A, (2r, in), and B, (out, 2r)."""
    return layer.lora_A["default"].weight, layer.lora_B["default"].weight


def _second(layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return views of the second halves of A and B."""
    a, b = (weight.data for weight in _pair(layer))
    return a[a.shape[0] // 2 :], b[:, b.shape[1] // 2 :]


def _start(layer: Any, init: Literal["pissa", "olora"]) -> None:
    """Set the layer to factors of its base weight, with the opposite sign in the second half."""
    weight = dequantize_module_weight(layer.get_base_layer()).detach().float()
    if getattr(layer, "fan_in_fan_out", False):
        weight = weight.T
    a, b = (parameter.data for parameter in _pair(layer))
    rank = a.shape[0] // 2
    if init == "pissa":
        u, s, v = torch.svd_lowrank(weight, min(rank + EXTRA_RANKS, *weight.shape), ITERATIONS)
        root = (s[:rank] / layer.scaling["default"]).sqrt()
        first_a, first_b = root[:, None] * v[:, :rank].T, u[:, :rank] * root
    else:
        q, r = torch.linalg.qr(weight)
        first_a, first_b = r[:rank], q[:, :rank]
    ranks = len(first_a)  # fewer than `rank` where the layer is smaller
    for at, sign in ((0, 1), (rank, -1)):
        a[at : at + rank], b[:, at : at + rank] = 0, 0
        a[at : at + ranks] = first_a
        b[:, at : at + ranks] = sign * first_b
