"""A bundle of a fake local LLM, and chat requests to it, for tests of trackers and champions."""

import json
from pathlib import Path
from typing import Any

from llamaduo.champion import Bundle
from llamaduo.config import (
    EarlyStopping,
    FakeLocalConfig,
    HparamsConfig,
    HparamsRuntime,
    Sampling,
)

HPARAMS = HparamsConfig(
    quantization="none",
    double_quantization=False,
    r=4,
    alpha=8,
    alpha_ratio=None,
    dropout=0,
    target_modules="all-linear",
    bias="none",
    dora=False,
    rslora=False,
    init="zero",
    optimizer="adamw",
    learning_rate=1e-3,
    loraplus_ratio=None,
    scheduler="constant",
    warmup_ratio=0,
    weight_decay=0,
    max_grad_norm=1,
    neftune_alpha=None,
    epochs=1,
    steps=None,
    early_stopping=EarlyStopping(patience=None, looks=1, min_gain=0, pairs=None),
    batch_size=4,
    max_length=64,
    runtime=HparamsRuntime(micro_batch_size=1, gradient_checkpointing=False),
)


def bundle(home: Path, *, words: int = 5, **changes: Any) -> Path:
    """Write the bundle of a fake local LLM that was trained to answer in so many words."""
    (home / "adapter").mkdir(parents=True)
    learned = {"pairs": 10, "words": words}
    (home / "adapter" / "adapter.json").write_text(json.dumps(learned))
    facts: dict[str, Any] = {
        "task": "summarize",
        "system": None,
        "max_new_tokens": 60,
        "seed": 7,
        "local": FakeLocalConfig(
            kind="fake",
            name="fake",
            usd_per_hour=None,
            sampling=Sampling(k=1, temperature=0.4, top_p=1),
        ),
        "hparams": HPARAMS,
        "model": "summarize-fake",
        "identity": {"kind": "fake", "name": "fake", "version": 1},
    }
    Bundle(**{**facts, **changes}).save(home)
    return home


def ask(text: str, **settings: Any) -> dict[str, Any]:
    """Return a chat request with a user message."""
    return {"messages": [{"role": "user", "content": text}], **settings}


def text_of(completion: Any) -> str:
    """Return the text of a chat completion."""
    return str(completion["choices"][0]["message"]["content"])
