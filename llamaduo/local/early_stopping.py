"""Early stopping: the steps at which training looks at dev, and the rule by which it ends."""

import math
from collections.abc import Sequence

from llamaduo.base.errors import ConfigError
from llamaduo.config import EarlyStopping
from llamaduo.records import Pair

#: The eighths of its training after which a sweep's trial reports. Each is twice the one before, as
#: successive halving needs it; a later report could save little.
EIGHTHS = (1, 2, 4)

#: Pairs of dev whose mean loss a trial reports, at most.
REPORTED_ON = 16

#: A step, and the mean loss on dev after it.
Look = tuple[int, float]


def watched(dev: Sequence[Pair], wanted: int | None) -> Sequence[Pair]:
    """Return the first `wanted` pairs of dev; None: all of them.

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
    """Return the eighths to report at each step of `total`; none at the last step."""
    eighths: dict[int, list[int]] = {}
    for eighth in EIGHTHS:
        step = math.ceil(total * eighth / 8)
        if step < total:
            eighths.setdefault(step, []).append(eighth)
    return eighths


def steps_of(looks: int, total: int) -> frozenset[int]:
    """Return the steps after which training looks at dev, evenly over `total`, with the last."""
    return frozenset(math.ceil(total * i / looks) for i in range(1, looks + 1))


def best_of(looks: Sequence[Look]) -> int:
    """Return the step with the lowest loss, the first of equals; NaN is the worst."""
    return min(looks, key=lambda look: _rank(look[1]))[0]


def is_over(looks: Sequence[Look], rule: EarlyStopping) -> bool:
    """Tell whether each of the last `patience` looks had no gain on the best before it."""
    if rule.patience is None:
        return False
    losses = [_rank(loss) for _, loss in looks]
    recent = range(max(1, len(losses) - rule.patience), len(losses))
    without_gain = [not losses[i] < min(losses[:i]) - rule.min_gain for i in recent]
    return len(without_gain) == rule.patience and all(without_gain)


def _rank(loss: float) -> float:
    return math.inf if math.isnan(loss) else loss
