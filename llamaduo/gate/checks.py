"""What the gates share: a check that cannot be decided, and how many prompts would settle one."""

import math

from llamaduo.gate.protocol import Check
from llamaduo.stats.intervals import Estimate
from llamaduo.stats.scores import prompt_means
from llamaduo.stats.table import Metric, VerdictTable

MOST = 1_000_000  # prompts beyond which their number says nothing


def unknown(metric: Metric, seen: Estimate | None, needed: float, missing: str) -> Check:
    """Return a check without an interval to decide by: no pairs, or one."""
    words = (
        f"{metric}: {missing}, so there is nothing to compare with"
        if seen is None
        else f"{metric}: one prompt is too few for an interval"
    )
    return Check(metric=metric, seen=seen, needed=needed, passed=False, words=words)


def prompts_of(candidate: VerdictTable, service: VerdictTable, metric: Metric) -> tuple[int, str]:
    """Count the prompts that both have, and a remark where one has more."""
    ours, theirs = (set(prompt_means(rows, metric)) for rows in (candidate, service))
    both = len(ours & theirs)
    if ours == theirs:
        return both, ""
    return both, f" (candidate on {len(ours)} prompts, service on {len(theirs)}, both on {both})"


def prompts_more(
    seen: Estimate, needed: float, prompts: int, passed: bool
) -> tuple[int | None, str]:
    """Estimate how many more prompts would take the interval off what is needed; and in words.

    The bound that faces it comes nearer the value with the root of the number of prompts. What is
    not met at its value is not met by more prompts of the same kind.
    """
    if not passed and seen.value <= needed:
        return None, "; no number of prompts would make that up"
    if seen.low is None:
        return None, "; one prompt is too few to be sure of it"
    if seen.low >= needed:
        return 0, ""
    if seen.value <= needed:
        return None, "; it is met with nothing to spare, so no number of prompts makes it sure"
    more = math.ceil(prompts * (((seen.value - seen.low) / (seen.value - needed)) ** 2 - 1))
    if more > MOST:
        return None, "; it is too close for any number of prompts"
    about = float(f"{more:.2g}") if more > 99 else more
    many = f"about {about:,.0f} more prompt{'' if more == 1 else 's'}"
    if passed:
        return more, f", though not surely: {many} would settle it"
    return more, f"; {many} would settle it, if the rest are like these"
