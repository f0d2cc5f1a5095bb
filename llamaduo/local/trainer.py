"""TRL's trainer with changes: labelled positions only, rows by length, LoRA+, and looks at dev."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from peft.optimizers import create_loraplus_optimizer
from torch.nn.functional import cross_entropy
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices
from trl import SFTTrainer

from llamaduo.local.chat_template import TrainingRow


class LabelledTrainer(SFTTrainer):
    """TRL's trainer, with the head on the positions that have a label and on no others.

    Off the GPU, TRL runs the whole vocabulary on every position; prompts are most of them. The loss
    is the same, at about twice the speed and two thirds of the memory on a CPU.
    """

    #: The learning rate of LoRA's B over that of A; None: the same for both.
    loraplus_ratio: float | None = None

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
        """Return the cross-entropy per labelled token, in nats.

        Per token of the whole step where `num_items_in_batch` is given.
        """
        wanted = inputs["labels"][:, 1:]
        mask = wanted != -100
        logits = labelled_logits(model, self.model, inputs, mask)
        total = cross_entropy(logits.float(), wanted[mask], reduction="sum")
        self._seen["tokens"] += int(inputs["attention_mask"].sum())
        self._seen["completion_tokens"] += int(mask.sum())
        count: Any = mask.sum().clamp(min=1)
        if num_items_in_batch is not None:
            # The number is that of all processes, whose gradients are then averaged.
            count = num_items_in_batch / self.accelerator.num_processes
        loss: torch.Tensor = total / count
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add tokens and seconds since the last entry, so that a resumed training adds up too."""
        now = time.perf_counter()
        logs.update(self._seen, step_seconds=now - self._clock)
        self._seen, self._clock = dict.fromkeys(self._seen, 0), now
        super().log(logs, start_time)

    @property
    def tokens(self) -> int:
        """The tokens of all rows that went through the model until now."""
        logged = sum(int(entry.get("tokens", 0)) for entry in self.state.log_history)
        return logged + self._seen["tokens"]

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Return the optimiser; with LoRA+ (arXiv 2402.12354), A and B are groups of their own."""
        if self.loraplus_ratio is None:
            optimizer: torch.optim.Optimizer = super().create_optimizer(model)
            return optimizer
        tuned: Any = self.model
        kind, settings = self.get_optimizer_cls_and_kwargs(self.args, tuned)
        self.optimizer = create_loraplus_optimizer(
            tuned,
            kind,
            loraplus_lr_ratio=self.loraplus_ratio,
            loraplus_weight_decay=self.args.weight_decay,
            **settings,
        )
        optimizer = self.optimizer
        return optimizer

    def mean_loss(self, rows: Sequence[TrainingRow]) -> float:
        """Return the cross-entropy per labelled token of rows that are not trained on, in nats.

        It uses no random number and does not change the training. Its seconds are not counted.
        """
        began = time.perf_counter()
        model: Any = self.model
        ordered = sorted(rows, key=lambda row: (len(row.tokens), row.id))
        size = self.args.per_device_eval_batch_size
        total, count = 0.0, 0
        model.eval()
        with torch.no_grad(), self.compute_loss_context_manager():
            for at in range(0, len(ordered), size):
                batch = self.data_collator(
                    [
                        {"input_ids": row.tokens, "labels": row.labels}
                        for row in ordered[at : at + size]
                    ]
                )
                inputs = self._prepare_inputs(batch)
                wanted = inputs["labels"][:, 1:]
                mask = wanted != -100
                logits = labelled_logits(model, model, inputs, mask)
                total += float(cross_entropy(logits.float(), wanted[mask], reduction="sum"))
                count += int(mask.sum())
        model.train()
        self._clock += time.perf_counter() - began
        return total / count

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the card of an adapter is its MLflow run."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        rows: Any = self.train_dataset if train_dataset is None else train_dataset
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return LengthGrouped([len(tokens) for tokens in rows["input_ids"]], size, self.args.seed)


def labelled_logits(
    model: Any, base: Any, inputs: dict[str, torch.Tensor], mask: torch.Tensor
) -> torch.Tensor:
    """Return the logits at the positions of `mask`, (labelled, vocabulary), and at no others.

    The positions are selected at the input of the head. So the rest of the model's own forward
    pass, such as a cap on its logits, works as before.
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
    """Rows of similar length together, in an order that follows from seed and epoch alone.

    So a training that was interrupted sees the same batches when it is resumed.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths, self._batch_size, self._seed = lengths, batch_size, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; the data loader calls this as each epoch begins."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Return the number of rows of an epoch."""
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        """Yield the rows of the epoch that was set."""
        shuffle = torch.Generator().manual_seed(self._seed * 1_000 + self._epoch)
        yield from get_length_grouped_indices(  # type: ignore[no-untyped-call]
            self._lengths, self._batch_size, generator=shuffle
        )
