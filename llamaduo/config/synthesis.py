"""`conf/synthesis`: the growth of the training pool between rounds."""

from typing import Annotated

from pydantic import Field

from llamaduo.config.base import Config, Count, Share


class Dedup(Config):
    """The rule for near copies: those with a ROUGE-L F above a threshold, as in the paper's code.

    Attributes:
        exact_up_to: the most texts of which every pair is compared; of more, those that MinHash
            proposes.
        permutations: the permutations of MinHash.
        jaccard: the Jaccard similarity from which MinHash proposes a pair.
        rouge_l: the ROUGE-L F above which a text is a near copy.
    """

    exact_up_to: Annotated[int, Field(ge=0)]
    permutations: Count
    jaccard: Share
    rouge_l: Share


class SynthesisConfig(Config):
    """`synthesis`: the growth of the training pool between rounds, and the plateau that ends it.

    Attributes:
        seeds: the pairs drawn from train each round; null: all of them.
        pairs_per_seed: the new pairs to ask for with each seed.
        dedup: the rule for near copies.
        patience: the rounds in a row without a gain after which the loop ends with `plateau`.
        min_gain: the points of mean similarity on dev, over the best before, that are a gain.
    """

    seeds: Count | None
    pairs_per_seed: Count
    dedup: Dedup
    patience: Count
    min_gain: float
