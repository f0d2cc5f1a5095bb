"""The sources of the spread of scores: prompts, the answers to one prompt, and the judge."""

import numpy as np

from llamaduo.records import Record
from llamaduo.stats.table import Metric, VerdictTable


class Parts(Record):
    """Variance of single verdicts, in squared points, by its source.

    `prompt`: between prompts. `sample`: between the responses to one prompt. `judge`: between the
    verdicts on one response, of any judge. `within`: sample and judge together. The estimates are
    unbiased, so that of a part that is really 0 may be a little below 0. None where the verdicts do
    not show it: with one verdict on each response, `sample` and `judge` cannot be separated; with
    one response to each prompt, `prompt` and `sample` cannot; one prompt shows nothing of `prompt`.
    """

    prompt: float | None
    sample: float | None
    judge: float | None
    within: float | None


def parts(table: VerdictTable, metric: Metric) -> Parts:
    """Return the parts by analysis of variance: verdicts within responses within prompts.

    The sums of squares are set equal to their expectations under unequal numbers of responses and
    verdicts (Henderson's first method). Failures are left out.
    """
    ok = ~table.failed
    y = table.scores(metric)[ok]
    number, owner = table.answers
    counts = np.bincount(number[ok], minlength=len(owner))
    some = counts > 0
    if not some.any():
        return Parts(prompt=None, sample=None, judge=None, within=None)
    y = y - y.mean()  # sums of squares about 0 lose no digits
    sums = np.bincount(number[ok], y, len(owner))[some]
    n_ij, owner = counts[some].astype(float), owner[some]
    n_i = np.bincount(owner, n_ij)
    sums_i, judged = np.bincount(owner, sums), n_i > 0
    sums_i, n_i, squares_i = sums_i[judged], n_i[judged], np.bincount(owner, n_ij**2)[judged]
    total, responses, prompts = len(y), len(n_ij), len(n_i)

    by_response, by_prompt = (sums**2 / n_ij).sum(), (sums_i**2 / n_i).sum()
    inside = float((y**2).sum() - by_response)
    samples = float(by_response - by_prompt)
    between = float(by_prompt - y.sum() ** 2 / total)
    # E[samples] = a·sample + (responses − prompts)·judge
    # E[between] = b·prompt + c·sample + (prompts − 1)·judge
    a = float(total - (squares_i / n_i).sum())
    b = float(total - (n_i**2).sum() / total)
    c = float((squares_i / n_i).sum() - (n_ij**2).sum() / total)

    judge = inside / (total - responses) if total > responses else None
    sample = within = prompt = None
    if responses > prompts:
        if judge is not None:
            sample = (samples - (responses - prompts) * judge) / a
            within = sample + judge
        else:
            within = samples / (responses - prompts)
    if prompts > 1 and within is not None:
        noise = (
            c * sample + (prompts - 1) * judge
            if sample is not None and judge is not None
            else ((prompts - 1) * within)
        )
        prompt = (between - noise) / b
    return Parts(prompt=prompt, sample=sample, judge=judge, within=within)
