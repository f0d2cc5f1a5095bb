"""The base model at the precision that the device and `quantization` call for, by a fixed rule.

======  =============  ==============================================  ========================
device  quantization   train                                           sample
======  =============  ==============================================  ========================
cuda    nf4            NF4 weights, bfloat16 sums                      the same
cuda    none           bfloat16                                        the same
cpu     nf4            NF4 weights, bfloat16 sums                      the same NF4 values as
                                                                       float32, adapter merged
cpu     none           bfloat16                                        the same values as float32,
                                                                       adapter merged
======  =============  ==============================================  ========================

On a CPU float32 sums are faster than bfloat16 ones for generation (109 against 81 tokens/s in
batches of 32), and 4-bit weights save memory but no time. The embeddings, the head and the norms
stay in bfloat16 values everywhere.
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

from llamaduo.weights import quiet_transformers

RULE = {
    ("cuda", "nf4"): "train and sample: NF4, bfloat16 sums",
    ("cuda", "none"): "train and sample: bfloat16",
    ("cpu", "nf4"): "train: NF4, bfloat16 sums; sample: the NF4 values in float32, adapter merged",
    ("cpu", "none"): "train: bfloat16; sample: the same values in float32, adapter merged",
}


def device_class() -> str:
    """`cuda` where there is one, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_for_training(folder: Path, quantization: str) -> Any:
    """The base as it is trained: frozen values, on the device."""
    if device_class() == "cpu" and quantization == "nf4":
        # On a CPU, rounding to 4 bits takes longer than all else of loading: do it once.
        return copy.deepcopy(_quantised(folder))
    return _load(folder, quantization)


@functools.lru_cache(maxsize=1)
def _quantised(folder: Path) -> Any:
    return _load(folder, "nf4")


def _load(folder: Path, quantization: str) -> Any:
    import_bitsandbytes()
    settings: dict[str, Any] = {"dtype": torch.bfloat16, "use_safetensors": True}
    if quantization == "nf4":
        settings["quantization_config"] = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
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
    # What a checkpoint recommends for sampling (a temperature, say) must not mix with our settings.
    eos = model.generation_config.eos_token_id
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        eos_token_id=eos
    )
    return model


def load_for_sampling(folder: Path, quantization: str, adapter: Path | None) -> Any:
    """The base as it is sampled, with an adapter or without, ready to generate."""
    model = load_for_training(folder, quantization)
    if device_class() == "cpu":
        if quantization == "nf4":
            _unpack_4bit(model)
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


def _unpack_4bit(model: Any) -> None:
    """Put dense float32 layers of exactly the 4-bit layers' values in their places."""
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    for path, module in list(model.named_modules()):
        if isinstance(module, Linear4bit):
            packed: Any = module.weight
            values = dequantize_4bit(packed.data, packed.quant_state)
            bias = module.bias is not None
            dense = nn.Linear(module.in_features, module.out_features, bias, device="meta")
            dense.weight = nn.Parameter(values.float(), requires_grad=False)
            if bias:
                dense.bias = nn.Parameter(module.bias.data.float(), requires_grad=False)
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, dense)
    # Else PEFT and `float()` go on treating the model as a quantised one.
    for mark in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(model.config, mark):
            delattr(model.config, mark)
    model.is_loaded_in_4bit = model.is_quantized = False
    model.hf_quantizer = None


@contextlib.contextmanager
def settled_libraries() -> Iterator[None]:
    """Quiet, and with the one warning that must not pass unseen as an error.

    A backward pass through a kernel that has none gives zero gradients, so it must not go on. What
    is ignored speaks of a call from PEFT to transformers.
    """
    with quiet_transformers(), warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*an autograd kernel was not registered")
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing. is deprecated")
        yield


def import_bitsandbytes() -> None:
    """Import it before PEFT does, and hide `kernels`: with it, it fetches code from the hub."""
    with _without_kernels():
        importlib.import_module("bitsandbytes")


@contextlib.contextmanager
def _without_kernels() -> Iterator[None]:
    """Hide the package `kernels`, and keep bitsandbytes from reporting its absence."""
    log = logging.getLogger("bitsandbytes.backends.cpu.ops")
    level, hidden = log.level, "kernels" not in sys.modules
    log.setLevel(logging.ERROR)
    if hidden:
        sys.modules["kernels"] = None  # type: ignore[assignment]  # Python's mark for "not there"
    try:
        yield
    finally:
        log.setLevel(level)
        if hidden:
            del sys.modules["kernels"]
