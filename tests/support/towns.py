"""Settings and a dozen pairs that a model learns in a few steps."""

from typing import Any

from llamaduo.config import HfLocalConfig, HparamsConfig
from llamaduo.records import Message, Pair, Prompt
from support.experiments import composed


def config(**changes: Any) -> HfLocalConfig:
    facts = {
        "kind": "hf",
        "name": "smollm2_135m",
        "hub_id": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "revision": "main",
        "weights": "auto",
        "chat_template": "tokenizer",
        "system_role": "native",
        "usd_per_hour": None,
        "sampling": {"k": 2, "temperature": 0.7, "top_p": 0.9},
        "runtime": {"batch_tokens": 4000},
    }
    return HfLocalConfig.model_validate({**facts, **changes})


def hparams(*, micro: int = 4, **changes: Any) -> HparamsConfig:
    facts = {
        **composed("hparams=qlora").hparams.model_dump(),
        "r": 8,
        "alpha": 16,
        "dropout": 0.0,
        "learning_rate": 1e-3,
        "warmup_ratio": 0.0,
        "epochs": 1,
        "batch_size": 4,
        "max_length": 256,
        "runtime": {"micro_batch_size": micro, "gradient_checkpointing": False},
    }
    return HparamsConfig.model_validate({**facts, **changes})


TOWNS = ["Leeds", "York", "Bath", "Hull", "Derby", "Truro", "Ripon", "Wells", "Ely", "Durham"]
TOWNS += ["Exeter", "Lichfield"]
PAIRS = [
    Pair(
        prompt=Prompt(
            id=f"town-{i}",
            messages=(
                Message(role="system", content="Answer shortly."),
                Message(role="user", content=f"Where is the printer?{' It is broken.' * (i % 4)}"),
            ),
        ),
        response=f"The printer is in {town}." + " Ask there." * (i % 3),
    )
    for i, town in enumerate(TOWNS)
]
