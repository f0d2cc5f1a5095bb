"""Tokens a second of our training against a plain TRL script, side by side on this machine.

    python benchmarks/training.py [--rows 24] [--repeats 3]

Both train the same NF4 base on the same tokens with the same hyperparameters and seed. The plain
script is SFTTrainer as it comes: its own loss and its random order of rows. First both losses are
taken on identical batches; then whole epochs are timed in turns, so that a busy machine slows both.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
import yaml

from llamaduo.config import HfLocalConfig, HparamsConfig
from llamaduo.local import precision
from llamaduo.local.hf import HfLocal
from llamaduo.records import Message, Pair, Prompt, lines_of

precision.import_bitsandbytes()

from transformers import TrainerCallback  # noqa: E402  # PEFT must find bitsandbytes imported
from trl import SFTTrainer  # noqa: E402

from llamaduo.local import sft  # noqa: E402
from llamaduo.local.trainer import LabelledTrainer  # noqa: E402

CONF = Path(__file__).parent.parent / "conf"


class Clock(TrainerCallback):
    """Seconds of all optimiser steps."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._begun = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the watch."""
        self._begun = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop it."""
        self.seconds += time.perf_counter() - self._begun


def hparams() -> HparamsConfig:
    """`hparams=qlora_135m`, read without Hydra."""
    facts: dict[str, Any] = {}
    for name in ("lora", "qlora", "qlora_135m"):
        facts |= yaml.safe_load((CONF / "hparams" / f"{name}.yaml").read_text(encoding="utf-8"))
    facts.pop("defaults", None)
    return HparamsConfig.model_validate(facts)


def local() -> HfLocal:
    """`local=smollm2_135m`."""
    facts = yaml.safe_load((CONF / "local" / "smollm2_135m.yaml").read_text(encoding="utf-8"))
    return HfLocal(HfLocalConfig.model_validate(facts))


def pairs(data: Path, n: int) -> list[Pair]:
    """The first rows of a file of chats that each end with the assistant's answer."""
    rows = [json.loads(line) for _, line in lines_of(data.read_text(encoding="utf-8"))][:n]
    return [
        Pair(
            prompt=Prompt(
                id=row["id"], messages=tuple(map(Message.model_validate, row["messages"][:-1]))
            ),
            response=row["messages"][-1]["content"],
        )
        for row in rows
    ]


class Bench:
    """Our trainer and the plain one over the same rows."""

    def __init__(self, model: HfLocal, examples: Sequence[Pair], settings: HparamsConfig) -> None:
        self._model, self._settings = model, settings
        self.rows = sft.rows_of(examples, model.chat, settings.max_length)

    def trainer(self, kind: type[SFTTrainer], folder: str, seed: int) -> Any:
        """A new trainer of that kind on a freshly loaded base."""
        base = precision.load_for_training(self._model.weights.path, self._settings.quantization)
        trainer = sft.trainer_of(
            base,
            self._model.chat,
            self.rows,
            self._settings,
            seed=seed,
            folder=Path(folder),
            kind=kind,
        )
        trainer.args.save_strategy = "no"
        return trainer

    def losses(self, kind: type[SFTTrainer], batches: int) -> list[float]:
        """Losses of the first optimiser steps over rows in file order, the adapter learning."""
        with tempfile.TemporaryDirectory() as folder, precision.settled_libraries():
            trainer = self.trainer(kind, folder, seed=1)
            size = self._settings.batch_size
            trainer._get_train_sampler = lambda *_: range(len(self.rows))
            trainer.args.max_steps = min(batches, len(self.rows) // size)
            trainer.train()
        return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]

    def speed(self, kind: type[SFTTrainer], seed: int) -> float:
        """Tokens a second over one epoch."""
        with tempfile.TemporaryDirectory() as folder, precision.settled_libraries():
            trainer = self.trainer(kind, folder, seed)
            clock = Clock()
            trainer.add_callback(clock)
            trainer.train()
        return sum(len(row.tokens) for row in self.rows) / clock.seconds


def main() -> None:
    """Run both and print what came of it."""
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parse.add_argument("--rows", type=int, default=24)
    parse.add_argument("--repeats", type=int, default=3)
    shipped = str(files("llamaduo")) + "/data/summarize/coverage.jsonl"
    parse.add_argument("--data", type=Path, default=Path(shipped))
    chosen = parse.parse_args()

    bench = Bench(local(), pairs(chosen.data, chosen.rows), hparams())
    tokens = sum(len(row.tokens) for row in bench.rows)
    print(f"{len(bench.rows)} rows, {tokens} tokens, {torch.get_num_threads()} threads")

    plain, ours = (bench.losses(kind, 3) for kind in (SFTTrainer, LabelledTrainer))
    for step, (theirs, mine) in enumerate(zip(plain, ours, strict=True), start=1):
        print(f"loss on batch {step}: TRL {theirs:.4f}  llamaduo {mine:.4f}")

    speeds: dict[str, list[float]] = {"TRL": [], "llamaduo": []}
    for repeat in range(chosen.repeats):
        for name, kind in (("TRL", SFTTrainer), ("llamaduo", LabelledTrainer)):
            speeds[name].append(bench.speed(kind, seed=repeat))
            print(f"repeat {repeat + 1}: {name} {speeds[name][-1]:.0f} tokens/s", flush=True)
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    for name, median in medians.items():
        print(f"median: {name} {median:.0f} tokens/s")
    print(f"ratio: {medians['llamaduo'] / medians['TRL']:.2f}")


if __name__ == "__main__":
    main()
