"""Supervised fine-tuning of an adapter: TRL's trainer, with the loss on labelled positions only."""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from torch.nn.functional import cross_entropy
from torch.utils.data import Sampler
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_pt_utils import get_length_grouped_indices
from trl import SFTConfig, SFTTrainer

from llamaduo.config import HparamsConfig
from llamaduo.errors import ConfigError
from llamaduo.local import Training
from llamaduo.local.chat import Chat, Row
from llamaduo.local.precision import settled_libraries
from llamaduo.progress import Progress
from llamaduo.records import Pair

#: Tokens up to which attention on a CPU is two plain products: faster there than torch's fused
#: kernel, whose backward pass took a seventh of a step of 4 × 200 tokens. Its memory grows with the
#: square of the length, so longer rows keep the kernel.
PLAIN_ATTENTION = 512


class LabelledTrainer(SFTTrainer):
    """TRL's trainer, but the head runs on the positions that carry a label and on no others.

    Off the GPU, TRL runs the whole vocabulary on every position; prompts are most of them. The loss
    is the same, at about twice the speed and two thirds of the memory on a CPU.
    """

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self._seen = {"tokens": 0, "completion_tokens": 0}
        self._clock = time.perf_counter()

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """Cross-entropy per labelled token, in nats; over a whole step's tokens when it is told."""
        wanted = inputs["labels"][:, 1:]
        mask = wanted != -100
        logits = labelled_logits(model, self.model, inputs, mask)
        total = cross_entropy(logits.float(), wanted[mask], reduction="sum")
        self._seen["tokens"] += int(inputs["attention_mask"].sum())
        self._seen["completion_tokens"] += int(mask.sum())
        count: Any = mask.sum().clamp(min=1)
        if num_items_in_batch is not None:
            # It is over all processes, whose gradients are then averaged.
            count = num_items_in_batch / self.accelerator.num_processes
        loss: torch.Tensor = total / count
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add what the steps since the last entry took, so that a resumed run adds up too."""
        now = time.perf_counter()
        logs.update(self._seen, step_seconds=now - self._clock)
        self._seen, self._clock = dict.fromkeys(self._seen, 0), now
        super().log(logs, start_time)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the card of an adapter is its MLflow run."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        rows: Any = self.train_dataset if train_dataset is None else train_dataset
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return LengthGrouped([len(tokens) for tokens in rows["input_ids"]], size, self.args.seed)


def labelled_logits(
    model: Any, base: Any, inputs: dict[str, torch.Tensor], mask: torch.Tensor
) -> torch.Tensor:
    """Logits at the positions of `mask`, (labelled, vocabulary), and at no others.

    The selection hangs on the head's input, so that all else of the model's own forward pass, such
    as a cap on its logits, stays in force.
    """

    def select(head: object, hidden: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (hidden[0][:, :-1][mask], *hidden[1:])

    hook = base.get_output_embeddings().register_forward_pre_hook(select)
    try:
        output = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            use_cache=False,
        )
    finally:
        hook.remove()
    logits: torch.Tensor = output.logits
    return logits


class LengthGrouped(Sampler[int]):
    """Rows of like length together, in an order that follows from seed and epoch alone.

    So a run that was interrupted sees the same batches when it is gone on with.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths, self._batch_size, self._seed = lengths, batch_size, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader as each epoch begins."""
        self._epoch = epoch

    def __len__(self) -> int:
        """The rows of an epoch."""
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        """The rows of the epoch that was set."""
        shuffle = torch.Generator().manual_seed(self._seed * 1_000 + self._epoch)
        yield from get_length_grouped_indices(  # type: ignore[no-untyped-call]
            self._lengths, self._batch_size, generator=shuffle
        )


class Bar(TrainerCallback):
    """Shows how many steps are done, how long the rest takes, and the loss."""

    def __init__(self) -> None:
        self._steps: Progress | None = None
        self._at = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin at the step of the checkpoint, if there was one."""
        if state.is_world_process_zero:
            self._at = state.global_step
            self._steps = Progress(
                total=state.max_steps, done=self._at, what="finetune", unit="steps"
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count the step."""
        if self._steps is not None:
            self._steps.advance(state.global_step - self._at)
            self._at = state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Show the loss beside the steps."""
        if self._steps is not None and logs and "loss" in logs:
            self._steps.note(f"loss {logs['loss']:.3f}")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the bar away."""
        if self._steps is not None:
            self._steps.close()


def rows_of(pairs: Sequence[Pair], chat: Chat, max_length: int) -> list[Row]:
    """The pairs as training rows, without synthesised ones longer than `max_length`.

    A text that the service LLM made too long should not end a run that has paid for it.

    Raises:
        ConfigError: pairs of the user's own are longer: cutting them would teach cut answers.
    """
    rows = [(pair, chat.row(pair)) for pair in pairs]
    long = [r for pair, r in rows if len(r.tokens) > max_length and pair.origin == "coverage"]
    if long:
        worst = max(long, key=lambda row: len(row.tokens))
        raise ConfigError(
            f"hparams.max_length={max_length}: {len(long)} of {len(rows)} training pairs have more"
            f" tokens, {worst.id} {len(worst.tokens)}; set hparams.max_length={len(worst.tokens)},"
            " or take those pairs out"
        )
    return [row for _, row in rows if len(row.tokens) <= max_length]


def trainer_of(
    model: Any,
    chat: Chat,
    rows: Sequence[Row],
    hparams: HparamsConfig,
    *,
    seed: int,
    folder: Path,
    kind: Callable[..., SFTTrainer] = LabelledTrainer,
) -> Any:
    """A trainer of an adapter for `model` that keeps its checkpoints in `folder`."""
    micro = max(
        n
        for n in range(1, min(hparams.runtime.micro_batch_size, hparams.batch_size) + 1)
        if hparams.batch_size % n == 0
    )
    steps = math.ceil(math.ceil(len(rows) / hparams.batch_size) * hparams.epochs)
    checkpointing = hparams.runtime.gradient_checkpointing
    cpu = not torch.cuda.is_available()
    args = SFTConfig(
        output_dir=str(folder),
        seed=seed,
        use_cpu=cpu,
        bf16=True,
        num_train_epochs=hparams.epochs,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=hparams.batch_size // micro,
        activation_checkpointing=checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if checkpointing else None,
        learning_rate=hparams.learning_rate,
        lr_scheduler_type=hparams.scheduler,
        warmup_steps=math.ceil(hparams.warmup_ratio * steps),
        weight_decay=hparams.weight_decay,
        max_grad_norm=hparams.max_grad_norm,
        optim="adamw_torch",
        max_length=None,  # rows_of has refused what is too long
        logging_steps=1,
        save_strategy="steps",
        save_steps=math.ceil(steps / 20),  # a kill loses a twentieth of the work at most
        save_total_limit=2,  # a kill may have left the newest one half written
        report_to="none",
        dataloader_pin_memory=not cpu,
        disable_tqdm=True,  # Bar takes its place
    )
    targets = hparams.target_modules
    lora = LoraConfig(
        r=hparams.r,
        lora_alpha=hparams.alpha,
        lora_dropout=hparams.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
    )
    if cpu and max(len(row.tokens) for row in rows) <= PLAIN_ATTENTION:
        model.set_attn_implementation("eager")
    data = Dataset.from_list([{"input_ids": row.tokens, "labels": row.labels} for row in rows])
    trainer: Any
    with settled_libraries():
        trainer = kind(
            model=model,
            args=args,
            train_dataset=data,
            processing_class=chat.tokenizer,
            peft_config=lora,
            callbacks=[Bar()],
        )
    trainer.remove_callback(PrinterCallback)
    # TRL rounds the adapter to bfloat16, which swallows small updates, and a checkpoint that is
    # read again is float32: so it is float32 throughout, and a resumed run is the same run.
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return trainer


def train(
    load: Callable[[], Any],
    chat: Chat,
    pairs: Sequence[Pair],
    hparams: HparamsConfig,
    *,
    seed: int,
    out: Path,
    base: str,
    callbacks: Sequence[TrainerCallback] = (),
) -> Training:
    """Train an adapter and write it to `out/adapter`, going on from `out/checkpoints` if it can.

    `base` is the name of the base model that the adapter's own config shall carry.
    """
    rows = rows_of(pairs, chat, hparams.max_length)
    checkpoints = out / "checkpoints"
    with settled_libraries():
        trainer = trainer_of(load(), chat, rows, hparams, seed=seed, folder=checkpoints)
        for callback in callbacks:
            trainer.add_callback(callback)
        trainer.train(resume_from_checkpoint=newest_checkpoint(checkpoints))
        _save(trainer, chat, out / "adapter", base)
    shutil.rmtree(checkpoints, ignore_errors=True)
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    return Training(
        losses=tuple((int(entry["step"]), float(entry["loss"])) for entry in steps),
        tokens=sum(int(entry["tokens"]) for entry in steps),
        completion_tokens=sum(int(entry["completion_tokens"]) for entry in steps),
        seconds=sum(float(entry["step_seconds"]) for entry in steps),
        too_long=len(pairs) - len(rows),
    )


def newest_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint: one whose last file, the trainer's state, can be read."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda p: -int(p.name.rpartition("-")[2]))
    for checkpoint in found:
        try:
            json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(checkpoint)  # else the trainer would count it as one to keep
            continue
        return str(checkpoint)
    return None


def _save(trainer: SFTTrainer, chat: Chat, folder: Path, base: str) -> None:
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    model: Any = trainer.model
    model.peft_config["default"].base_model_name_or_path = base  # not this machine's cache
    model.save_pretrained(part, save_embedding_layers=False)
    chat.tokenizer.save_pretrained(part)
    (part / "README.md").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(part, folder)
