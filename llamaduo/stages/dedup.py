"""dedup: near copies leave the new pairs, and so does all that is too close to dev or test.

MinHash proposes where all pairs would be too many, ROUGE-L decides, and exactly one of each cluster
of copies is kept (the paper's code kept none).
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from llamaduo.base.files import Json
from llamaduo.base.text import rouge_l_of, stems, words
from llamaduo.config import Dedup
from llamaduo.lab import Artifact, Stage
from llamaduo.records import Pair, digest, read_jsonl, write_jsonl

VERSION = 1


class Pool(Artifact):
    """The training pool after a round of synthesis: what was there, and what is new, in order."""

    def pairs(self) -> list[Pair]:
        """Read every pair to train on."""
        return read_jsonl(self.home / "pool.jsonl", Pair)


def dedup(
    pool: Sequence[Pair], new: Sequence[Pair], held_out: Sequence[Pair], config: Dedup
) -> Stage[Pool]:
    """Define the stage that adds to the pool what is new and far from the held-out pairs."""
    identity: dict[str, Json] = {
        "version": VERSION,
        "pool": digest(pool),
        "new": digest(new),
        "held_out": digest(held_out),
        "config": config.identity(),
    }

    def run(home: Path) -> Pool:
        fresh = distinct(pool, new, config)
        clean = decontaminate(fresh, held_out, config)
        write_jsonl(home / "pool.jsonl", [*pool, *clean])
        metrics = {
            "new": len(new),
            "copies": len(new) - len(fresh),
            "contaminated": len(fresh) - len(clean),
            "pool": len(pool) + len(clean),
        }
        return Pool(home=home, metrics=metrics)

    return Stage("dedup", Pool, identity, run)


def distinct(kept: Sequence[Pair], new: Sequence[Pair], config: Dedup) -> list[Pair]:
    """Keep the first of each cluster of near copies in `new`, unless `kept` has one of it.

    Two pairs are near copies when their texts, prompt and response together, are; a cluster is all
    that a chain of near copies links. Comparing whole pairs keeps apart, say, the many rows of a
    classification task that share one short response.
    """
    rows = [*kept, *new]
    cluster = list(range(len(rows)))

    def root(i: int) -> int:
        while cluster[i] != i:
            cluster[i] = cluster[cluster[i]]
            i = cluster[i]
        return i

    for i, j in near_copies([f"{row.prompt.user}\n{row.response}" for row in rows], config):
        a, b = sorted((root(i), root(j)))
        cluster[b] = a
    # The lowest index is a cluster's root, and what is kept already comes first.
    return [rows[i] for i in range(len(kept), len(rows)) if root(i) == i]


def decontaminate(new: Sequence[Pair], held_out: Sequence[Pair], config: Dedup) -> list[Pair]:
    """Keep the pairs of `new` whose prompt is no near copy of a held-out prompt."""
    texts = [row.prompt.user for row in (*held_out, *new)]
    border = len(held_out)
    close = {j - border for i, j in near_copies(texts, config) if i < border <= j}
    return [row for i, row in enumerate(new) if i not in close]


def near_copies(texts: Sequence[str], config: Dedup) -> list[tuple[int, int]]:
    """Index pairs (i < j) of texts whose ROUGE-L F exceeds `config.rouge_l`.

    Up to `config.exact_up_to` texts all pairs are compared. Above, only those that MinHash-LSH
    proposes, so a copy whose words overlap less than `config.jaccard` is likely missed.
    """
    # Stems are of Latin letters and digits; a text in another script is compared by its words.
    stemmed = [stems(text) or words(text.lower()) for text in texts]
    small = len(texts) <= config.exact_up_to
    proposed = combinations(range(len(texts)), 2) if small else _proposed(stemmed, config)
    return [(i, j) for i, j in proposed if rouge_l_of(stemmed[i], stemmed[j]) > config.rouge_l]


def _proposed(stemmed: Sequence[Sequence[str]], config: Dedup) -> Iterator[tuple[int, int]]:
    # Imported here because it takes most of a second, for scipy, and few pools are that large.
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=config.jaccard, num_perm=config.permutations)
    for j, tokens in enumerate(stemmed):
        sketch = MinHash(num_perm=config.permutations)
        sketch.update_batch([token.encode() for token in set(tokens)])
        yield from ((i, j) for i in sorted(index.query(sketch)))
        index.insert(j, sketch)
