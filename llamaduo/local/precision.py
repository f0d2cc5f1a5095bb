"""The precision of the base model, by a fixed rule of device and `quantization`.

======  =============  ==============================================  ========================
device  quantization   train                                           sample
======  =============  ==============================================  ========================
cuda    nf4, fp4       4-bit weights, bfloat16 sums                    the same
cuda    int8           8-bit weights and activations (LLM.int8)        the same
cuda    none           bfloat16                                        the same
cpu     nf4, fp4       4-bit weights, bfloat16 sums                    the same values as
                                                                       float32, adapter merged
cpu     int8           8-bit weights and activations (LLM.int8)        the weights' values as
                                                                       float32, adapter merged
cpu     none           bfloat16                                        the same values as float32,
                                                                       adapter merged
======  =============  ==============================================  ========================

On a CPU float32 sums are faster than bfloat16 ones for generation (109 against 81 tokens/s in
batches of 32), and quantised weights save memory but no time. The embeddings, the head and the
norms stay in bfloat16 values everywhere.
"""

import contextlib
import copy
import functools
import importlib
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, GenerationConfig

from llamaduo.base.errors import ConfigError
from llamaduo.config import HparamsConfig
from llamaduo.local.weights import quiet_transformers

RULE = {
    ("cuda", "nf4"): "train and sample: NF4, bfloat16 sums",
    ("cuda", "fp4"): "train and sample: FP4, bfloat16 sums",
    ("cuda", "int8"): "train and sample: LLM.int8",
    ("cuda", "none"): "train and sample: bfloat16",
    ("cpu", "nf4"): "train: NF4, bfloat16 sums; sample: the NF4 values in float32, adapter merged",
    ("cpu", "fp4"): "train: FP4, bfloat16 sums; sample: the FP4 values in float32, adapter merged",
    ("cpu", "int8"): "train: LLM.int8; sample: the int8 values in float32, adapter merged",
    ("cpu", "none"): "train: bfloat16; sample: the same values in float32, adapter merged",
}

#: Optimisers that move their states between the memory of the GPU and of the machine. On a CPU,
#: bitsandbytes would run them as the ones named beside them.
PAGED = {"paged_adamw": "adamw", "paged_adamw_8bit": "adamw_8bit"}


def device_class() -> str:
    """Return `cuda` where there is such a device, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def refuse_impossible(hparams: HparamsConfig) -> None:
    """Refuse settings that this machine's device cannot run, before anything is spent.

    Raises:
        ConfigError: there is such a setting; the message says what to use in its place.
    """
    if device_class() != "cpu":
        return
    if hparams.dora and hparams.quantization == "int8":
        # On a CPU, PEFT loses the scales of 8-bit weights when it reads them for the second time.
        raise ConfigError(
            "hparams.dora=true with hparams.quantization=int8: that needs CUDA, and this machine "
            "has none; use hparams.quantization=nf4"
        )
    if hparams.optimizer in PAGED:
        raise ConfigError(
            f"hparams.optimizer={hparams.optimizer}: paging needs CUDA, and this machine has none; "
            f"use hparams.optimizer={PAGED[hparams.optimizer]}"
        )


def load_for_training(folder: Path, quantization: str, double: bool = True) -> Any:
    """Load the base for training: frozen values, on the device.

    `double` quantises the constants of 4-bit blocks as well.
    """
    if device_class() == "cpu" and quantization in ("nf4", "fp4"):
        # On a CPU, rounding to 4 bits takes longer than the rest of loading: do it once.
        return copy.deepcopy(_rounded(folder, quantization, double))
    return _load(folder, quantization, double)


@functools.lru_cache(maxsize=1)
def _rounded(folder: Path, quantization: str, double: bool) -> Any:
    return _load(folder, quantization, double)


def _load(folder: Path, quantization: str, double: bool) -> Any:
    import_bitsandbytes()
    settings: dict[str, Any] = {"dtype": torch.bfloat16, "use_safetensors": True}
    if quantization in ("nf4", "fp4"):
        settings["quantization_config"] = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True,
            bnb_4bit_quant_type=quantization,
            bnb_4bit_use_double_quant=double,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    elif quantization == "int8":
        settings["quantization_config"] = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_8bit=True
        )
    if device_class() == "cuda":
        settings["device_map"] = {"": torch.cuda.current_device()}
    with quiet_transformers():
        model = AutoModelForCausalLM.from_pretrained(folder, **settings)
    module: Any
    for module in model.modules():
        # A Linear4bit that runs once in eval mode on a CPU with AVX512-BF16 is repacked for a
        # kernel that has no backward: from then on it passes no gradient, with a warning only.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    # Sampling settings that a checkpoint recommends (a temperature, say) must not mix with ours.
    eos = model.generation_config.eos_token_id
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        eos_token_id=eos
    )
    return model


def load_for_sampling(
    folder: Path, quantization: str, adapter: Path | None, double: bool = True
) -> Any:
    """Load the base for sampling, with an adapter or without."""
    model = load_for_training(folder, quantization, double)
    if device_class() == "cpu":
        if quantization != "none":
            _unpack(model)
        model = model.float()
    if adapter is not None:
        from peft import PeftModel

        with settled_libraries():
            tuned = PeftModel.from_pretrained(model, str(adapter))
            model = tuned.merge_and_unload() if device_class() == "cpu" else tuned
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


def _unpack(model: Any) -> None:
    """Replace quantised layers by dense float32 layers with exactly the same values."""
    from bitsandbytes.nn import Linear4bit, Linear8bitLt

    for path, module in list(model.named_modules()):
        if isinstance(module, Linear4bit | Linear8bitLt):
            bias = module.bias is not None
            dense = nn.Linear(module.in_features, module.out_features, bias, device="meta")
            dense.weight = nn.Parameter(_values(module), requires_grad=False)
            if bias:
                dense.bias = nn.Parameter(module.bias.data.float(), requires_grad=False)
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, dense)
    # Else PEFT and `float()` would still treat the model as a quantised one.
    for mark in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(model.config, mark):
            delattr(model.config, mark)
    model.is_loaded_in_4bit = model.is_loaded_in_8bit = model.is_quantized = False
    model.hf_quantizer = None


def _values(module: Any) -> torch.Tensor:
    from bitsandbytes import functional

    packed = module.weight
    values: torch.Tensor
    if hasattr(packed, "quant_state"):
        values = functional.dequantize_4bit(packed.data, packed.quant_state)
    else:
        values = functional.int8_vectorwise_dequant(packed.CB, packed.SCB)
    return values.float()


@contextlib.contextmanager
def settled_libraries() -> Iterator[None]:
    """Keep the libraries quiet, and raise the one warning that must not be missed.

    A backward pass through a kernel that has none gives zero gradients, so training must stop. The
    warning that is ignored is about a call from PEFT to transformers.
    """
    with quiet_transformers(), warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*an autograd kernel was not registered")
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing. is deprecated")
        yield


def import_bitsandbytes() -> None:
    """Import bitsandbytes before PEFT does, without `kernels`, which fetches code from the hub."""
    with _without_kernels():
        importlib.import_module("bitsandbytes")


@contextlib.contextmanager
def _without_kernels() -> Iterator[None]:
    """Hide the package `kernels`, and keep bitsandbytes from reporting its absence."""
    log = logging.getLogger("bitsandbytes.backends.cpu.ops")
    level, hidden = log.level, "kernels" not in sys.modules
    log.setLevel(logging.ERROR)
    if hidden:
        sys.modules["kernels"] = None  # type: ignore[assignment]  # Python takes it as not installed
    try:
        yield
    finally:
        log.setLevel(level)
        if hidden:
            del sys.modules["kernels"]
