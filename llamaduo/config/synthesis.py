"""`conf/synthesis`: how the training pool grows between rounds."""

from typing import Annotated

from pydantic import Field

from llamaduo.config.base import Config, Count, Share


class Dedup(Config):
    """What counts as a near copy: ROUGE-L F above `rouge_l`, as in the paper's code.

    Up to `exact_up_to` texts every pair is compared; above, those that MinHash with `permutations`
    proposes because their Jaccard similarity is likely above `jaccard`.
    """

    exact_up_to: Annotated[int, Field(ge=0)]
    permutations: Count
    jaccard: Share
    rouge_l: Share


class SynthesisConfig(Config):
    """`synthesis`: how the training pool grows between rounds, and when that has stopped paying.

    `seeds` are drawn from train each round (null: all), `pairs_per_seed` asked for with each. The
    loop ends with `plateau` after `patience` rounds in a row that gained less than `min_gain`
    points of mean similarity on dev over the best before.
    """

    seeds: Count | None
    pairs_per_seed: Count
    dedup: Dedup
    patience: Count
    min_gain: float
