"""Supervised fine-tuning of an adapter by TRL's trainer, with loss on completion tokens only."""

import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from llamaduo.base.errors import ConfigError, TrialPruned
from llamaduo.config import HparamsConfig
from llamaduo.local import adapter, early_stopping
from llamaduo.local.callbacks import Bar, EarlyStop, Reports
from llamaduo.local.chat_template import Chat, TrainingRow
from llamaduo.local.precision import settled_libraries
from llamaduo.local.protocol import Training
from llamaduo.local.trainer import LabelledTrainer
from llamaduo.local.trial import Trial
from llamaduo.records import Pair

#: Tokens up to which attention on a CPU is two plain products: faster there than torch's fused
#: kernel, whose backward pass took a seventh of a step of 4 × 200 tokens. Its memory grows with the
#: square of the length, so longer rows keep the kernel.
PLAIN_ATTENTION = 512

#: The optimisers by their names in transformers.
OPTIMIZERS = {
    "adamw": "adamw_torch",
    "adamw_8bit": "adamw_8bit",
    "paged_adamw": "paged_adamw_32bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "adafactor": "adafactor",
    "lion": "lion_32bit",
    "sgd": "sgd",
}

#: The end of `cosine_with_min_lr` as a share of the learning rate, and the share of all steps in
#: which `warmup_stable_decay` falls.
LEAST, DECAY = 0.1, 0.2


def rows_of(pairs: Sequence[Pair], chat: Chat, max_length: int) -> list[TrainingRow]:
    """Return the pairs as training rows, without synthesised ones longer than `max_length`.

    A text that the service LLM made too long should not end a run that has paid for it.

    Raises:
        ConfigError: pairs of the user's own are longer. Cut, they would teach cut answers.
    """
    rows = [(pair, chat.row(pair)) for pair in pairs]
    too_long = [r for pair, r in rows if len(r.tokens) > max_length and pair.origin == "coverage"]
    if too_long:
        longest = max(too_long, key=lambda row: len(row.tokens))
        raise ConfigError(
            f"hparams.max_length={max_length}: {len(too_long)} of {len(rows)} training pairs have"
            f" more tokens, {longest.id} {len(longest.tokens)}; set"
            f" hparams.max_length={len(longest.tokens)}, or take those pairs out"
        )
    return [row for _, row in rows if len(row.tokens) <= max_length]


def trainer_of(
    model: Any,
    chat: Chat,
    rows: Sequence[TrainingRow],
    hparams: HparamsConfig,
    *,
    seed: int,
    folder: Path,
    kind: Callable[..., SFTTrainer] = LabelledTrainer,
) -> Any:
    """Return a trainer of an adapter for `model` that keeps its checkpoints in `folder`.

    Raises:
        ConfigError: `hparams.bias` names biases, and the model has none.
    """
    if not torch.cuda.is_available() and max(len(r.tokens) for r in rows) <= PLAIN_ATTENTION:
        model.set_attn_implementation("eager")
    data = Dataset.from_list([{"input_ids": row.tokens, "labels": row.labels} for row in rows])
    trainer: Any
    with settled_libraries():
        trainer = kind(
            model=model,
            args=_arguments(hparams, len(rows), seed, folder),
            train_dataset=data,
            processing_class=chat.tokenizer,
            peft_config=adapter.shape_of(hparams),
        )
    trainer.remove_callback(PrinterCallback)
    trainer.loraplus_ratio = hparams.loraplus_ratio
    adapter.begin(trainer.model, hparams, seed)
    if hparams.init != "zero":
        trainer.add_callback(adapter.FixedHalf(trainer.model))
    return trainer


def _arguments(hparams: HparamsConfig, rows: int, seed: int, folder: Path) -> SFTConfig:
    micro = max(
        n
        for n in range(1, min(hparams.runtime.micro_batch_size, hparams.batch_size) + 1)
        if hparams.batch_size % n == 0
    )
    steps = planned_steps(hparams, rows)
    checkpointing = hparams.runtime.gradient_checkpointing
    cpu = not torch.cuda.is_available()
    # `epochs` and `steps` are never both null; transformers reads -1 as "by epochs".
    epochs, most = hparams.epochs or 1.0, hparams.steps or -1
    return SFTConfig(
        output_dir=str(folder),
        seed=seed,
        use_cpu=cpu,
        bf16=True,
        num_train_epochs=epochs,
        max_steps=most,
        per_device_train_batch_size=micro,
        per_device_eval_batch_size=micro,
        gradient_accumulation_steps=hparams.batch_size // micro,
        activation_checkpointing=checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if checkpointing else None,
        learning_rate=hparams.learning_rate,
        **schedule(hparams, steps),
        weight_decay=hparams.weight_decay,
        max_grad_norm=hparams.max_grad_norm,
        optim=OPTIMIZERS[hparams.optimizer],
        neftune_noise_alpha=hparams.neftune_alpha,
        max_length=None,  # rows_of has refused rows that are too long
        logging_steps=1,
        save_strategy="steps",
        save_steps=math.ceil(steps / 20),  # a kill loses a twentieth of the work at most
        save_total_limit=2,  # a kill may have left the newest one half written
        report_to="none",
        dataloader_pin_memory=not cpu,
        disable_tqdm=True,  # there is Bar instead
    )


def planned_steps(hparams: HparamsConfig, rows: int) -> int:
    """Return the optimiser steps of a whole training on so many rows."""
    if hparams.steps is not None:
        return hparams.steps
    assert hparams.epochs is not None
    return math.ceil(math.ceil(rows / hparams.batch_size) * hparams.epochs)


def schedule(hparams: HparamsConfig, steps: int) -> dict[str, Any]:
    """Return the schedule of the learning rate over so many steps, as arguments of transformers."""
    arguments: dict[str, Any] = {
        # Under its short name, transformers leaves the warm-up out.
        "lr_scheduler_type": "constant_with_warmup"
        if hparams.scheduler == "constant"
        else hparams.scheduler,
        "warmup_steps": math.ceil(hparams.warmup_ratio * steps),
    }
    if hparams.scheduler == "cosine_with_min_lr":
        arguments["lr_scheduler_kwargs"] = {"min_lr_rate": LEAST}
    elif hparams.scheduler == "warmup_stable_decay":
        arguments["lr_scheduler_kwargs"] = {"num_decay_steps": math.ceil(DECAY * steps)}
    return arguments


def train(
    load: Callable[[], Any],
    chat: Chat,
    pairs: Sequence[Pair],
    hparams: HparamsConfig,
    *,
    seed: int,
    out: Path,
    base: str,
    dev: Sequence[Pair] = (),
    trial: Trial | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> Training:
    """Train an adapter and write it to `out/adapter`; resume from `out/checkpoints` if possible.

    `base` is the name of the base model for the adapter's own config.

    Raises:
        ConfigError: pairs are too long, or a setting does not fit the model.
        TrialPruned: `trial` was pruned; the error has the number of tokens until then.
    """
    rows = rows_of(pairs, chat, hparams.max_length)
    checkpoints = out / "checkpoints"
    stop = None
    with settled_libraries(), closing(Bar()) as bar:
        trainer = trainer_of(load(), chat, rows, hparams, seed=seed, folder=checkpoints)
        save = partial(_save, trainer, chat, base=base)
        if hparams.early_stopping.patience is not None:
            watched = _within(
                early_stopping.watched(dev, hparams.early_stopping.pairs), chat, hparams
            )
            stop = EarlyStop(trainer, watched, hparams.early_stopping, save)
            trainer.add_callback(stop)
        if trial is not None:
            reported = early_stopping.watched(dev, early_stopping.REPORTED_ON)
            trainer.add_callback(Reports(trainer, _within(reported, chat, hparams), trial))
        for callback in (bar, *callbacks):
            trainer.add_callback(callback)
        try:
            trainer.train(resume_from_checkpoint=newest_checkpoint(checkpoints))
        except TrialPruned as end:
            end.tokens = trainer.tokens
            raise
        last = trainer.state.global_step
        best = last if stop is None else stop.best
        if stop is not None and best != last:
            _move(stop.kept(best), out / "adapter")
        else:
            save(out / "adapter")
    shutil.rmtree(checkpoints, ignore_errors=True)
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    return Training(
        losses=tuple((int(entry["step"]), float(entry["loss"])) for entry in steps),
        dev_losses=tuple(() if stop is None else stop.looks),
        kept=best,
        tokens=sum(int(entry["tokens"]) for entry in steps),
        completion_tokens=sum(int(entry["completion_tokens"]) for entry in steps),
        seconds=sum(float(entry["step_seconds"]) for entry in steps),
        too_long=len(pairs) - len(rows),
    )


def _within(dev: Sequence[Pair], chat: Chat, hparams: HparamsConfig) -> list[TrainingRow]:
    """Return dev's pairs as rows, without those longer than `max_length`.

    Raises:
        ConfigError: all are longer.
    """
    rows = [row for row in map(chat.row, dev) if len(row.tokens) <= hparams.max_length]
    if not rows:
        raise ConfigError(
            f"hparams.max_length={hparams.max_length}: all dev pairs that training looks at have "
            "more tokens; set a larger hparams.max_length"
        )
    return rows


def newest_checkpoint(folder: Path) -> str | None:
    """Return the newest whole checkpoint: its last file, the trainer's state, can be read."""
    newest_first = sorted(
        folder.glob("checkpoint-*"), key=lambda p: -int(p.name.rpartition("-")[2])
    )
    for checkpoint in newest_first:
        try:
            json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(checkpoint)  # else the trainer would count it as one of those to keep
            continue
        return str(checkpoint)
    return None


def _save(trainer: SFTTrainer, chat: Chat, folder: Path, *, base: str) -> None:
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    model: Any = trainer.model
    shape = model.peft_config["default"]
    local_path = shape.base_model_name_or_path
    shape.base_model_name_or_path = base  # not this machine's cache
    model.save_pretrained(part, save_embedding_layers=False)
    # With `base` here, each checkpoint would ask the hub about it.
    shape.base_model_name_or_path = local_path
    chat.tokenizer.save_pretrained(part)
    (part / "README.md").unlink(missing_ok=True)
    _move(part, folder)


def _move(source: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(source, folder)
