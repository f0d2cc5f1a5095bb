"""When training looks at dev, and what follows from what it has seen."""

import math
from collections.abc import Sequence

from llamaduo.base.errors import ConfigError
from llamaduo.config import EarlyStopping
from llamaduo.records import Pair

#: The eighths of its training after which a sweep's trial says how it is doing. Each is twice the
#: one before, as successive halving wants it; later there would be little left to save.
EIGHTHS = (1, 2, 4)

#: Pairs of dev whose loss tells how a trial is doing, at most.
REPORTED_ON = 16

Look = tuple[int, float]


def watched(dev: Sequence[Pair], wanted: int | None) -> Sequence[Pair]:
    """The first `wanted` pairs of dev; null: all of them.

    Raises:
        ConfigError: there are none.
    """
    if not dev:
        raise ConfigError(
            "hparams.early_stopping: there are no dev pairs to look at; set "
            "hparams.early_stopping.patience=null"
        )
    return dev[:wanted]


def reports(total: int) -> dict[int, list[int]]:
    """The eighths to report at each step of `total`; none at the end, where nothing is saved."""
    found: dict[int, list[int]] = {}
    for eighth in EIGHTHS:
        step = math.ceil(total * eighth / 8)
        if step < total:
            found.setdefault(step, []).append(eighth)
    return found


def steps_of(looks: int, total: int) -> frozenset[int]:
    """The steps after which dev is looked at, evenly over `total`, the last of them included."""
    return frozenset(math.ceil(total * i / looks) for i in range(1, looks + 1))


def best_of(looks: Sequence[Look]) -> int:
    """The step with the lowest loss, the first of equals; one that is not a number is the worst."""
    return min(looks, key=lambda look: _rank(look[1]))[0]


def is_over(looks: Sequence[Look], rule: EarlyStopping) -> bool:
    """Whether the last `patience` looks each fell short of a gain on the best before them."""
    if rule.patience is None:
        return False
    losses = [_rank(loss) for _, loss in looks]
    recent = range(max(1, len(losses) - rule.patience), len(losses))
    short = [not losses[i] < min(losses[:i]) - rule.min_gain for i in recent]
    return len(short) == rule.patience and all(short)


def _rank(loss: float) -> float:
    return math.inf if math.isnan(loss) else loss
