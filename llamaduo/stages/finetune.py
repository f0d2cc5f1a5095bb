"""finetune: an adapter on the local LLM's base, trained on the pool as it now stands."""

import math
from collections.abc import Sequence
from pathlib import Path

from llamaduo.base.errors import ConfigError
from llamaduo.base.files import Json, write_atomically
from llamaduo.config import HparamsConfig
from llamaduo.lab import Artifact, Stage
from llamaduo.local import Local, Training, Trial
from llamaduo.records import Pair, digest
from llamaduo.tracking import Run

VERSION = 1


class Adapter(Artifact):
    """A trained adapter in `adapter/`, and how its training went."""

    training: Training
    rows: int

    @property
    def path(self) -> Path:
        """The adapter's folder."""
        return self.home / "adapter"

    def publish(self, run: Run) -> None:
        """Log the loss curve and the adapter itself."""
        run.series("finetune/loss", self.training.losses)
        if self.training.dev_losses:
            run.series("finetune/dev_loss", self.training.dev_losses)
        run.files(self.path, "adapter")


def finetune(
    local: Local,
    hparams: HparamsConfig,
    pool: Sequence[Pair],
    *,
    seed: int,
    dev: Sequence[Pair] = (),
    trial: Trial | None = None,
) -> Stage[Adapter]:
    """Define the stage that trains from the base on every pair of the pool.

    `dev` is looked at for early stopping and for `trial`, which may end the run with TrialPruned:
    then there is no adapter, and nothing to go on from.

    Raises:
        ConfigError: this machine cannot train with `hparams`.
    """
    stops = hparams.early_stopping.patience is not None
    identity: dict[str, Json] = {
        "version": VERSION,
        "local": local.identity(hparams),
        "hparams": hparams.identity(),
        "pool": digest(pool),
        "dev": digest(dev) if stops else None,
        "seed": seed,
    }

    def run(home: Path) -> Adapter:
        training = local.train(pool, hparams, seed=seed, out=home, dev=dev, trial=trial)
        _refuse_divergence(training, hparams)
        write_atomically(home / "training.json", training.model_dump_json(indent=1) + "\n")
        metrics = {
            "rows": len(pool),
            "too_long": training.too_long,
            "tokens": training.tokens,
            "tokens_per_second": training.tokens / training.seconds,
            "loss_first": training.losses[0][1],
            "loss_last": training.losses[-1][1],
            "step_last": training.losses[-1][0],
            "step_kept": training.kept,
        }
        return Adapter(home=home, training=training, rows=len(pool), metrics=metrics)

    return Stage("finetune", Adapter, identity, run)


def _refuse_divergence(training: Training, hparams: HparamsConfig) -> None:
    for step, loss in training.losses:
        if not math.isfinite(loss):
            raise ConfigError(
                f"hparams.learning_rate={hparams.learning_rate:g}: the loss was {loss} at step "
                f"{step}; train with a smaller one"
            )
