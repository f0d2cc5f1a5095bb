"""The embedding judge: sentence embeddings, ROUGE-L, and facts that the prompt supports; no LLM.

docs/judge-embedding.md says in plain words what it measures and what it cannot see.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from llamaduo.base.files import Json
from llamaduo.base.text import rouge_l_of, sentences, stems, words
from llamaduo.config import EmbeddingJudgeConfig
from llamaduo.judge.facts import Evidence, penalised_precision
from llamaduo.judge.protocol import Item
from llamaduo.local import weights
from llamaduo.records import Judgement, Verdict

HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"
REVISION = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"

#: Raised whenever a verdict may change; it stands for every number below.
VERSION = "1"

COSINE_SHARE = 0.6  # of similarity; the rest is ROUGE-L
SPARE_LENGTH = 1.25  # an answer may be this much longer than the reference without a penalty
GROUNDED = 0.75  # cosine to the prompt from which a sentence counts as fully grounded
PER_FACT = 0.65  # factor of a sentence for each unsupported fact
RUN = 6  # stems in a row that make a copy
NEAREST = 3  # sentences of the prompt that one of the answer may draw on

BATCH = 64  # items whose texts are encoded together; for speed only
KEEP = 50_000  # texts whose vectors are kept; for speed and memory only

Vector: TypeAlias = NDArray[np.float32]
#: A text and the token ids of a part of it.
Window: TypeAlias = tuple[str, list[int]]


class Encoder:
    """Turns texts into vectors, the sums of their token vectors, and keeps them by text.

    A sum does what a mean would: sums add up to the sum of a longer text, and the cosine is the
    same for a sum and a mean. A text longer than the model's window is read in windows, so that
    none of it is cut off.
    """

    WINDOW = 254  # tokens at a time: what the model was tuned for, less its two marks
    BATCH_TOKENS = 4096

    def __init__(self, source: str) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        folder = weights.fetch(source, HUB_ID, REVISION).path
        with weights.quiet_transformers():
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
            self._model: Any = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        self._sums: dict[str, Vector] = {}

    def __len__(self) -> int:
        """Return the number of texts that are kept."""
        return len(self._sums)

    def forget(self) -> None:
        """Drop all kept vectors."""
        self._sums.clear()

    def learn(self, texts: Iterable[str]) -> None:
        """Encode the texts that are not known yet, those of similar length together."""
        new = [text for text in dict.fromkeys(texts) if text not in self._sums]
        if not new:
            return
        rows = self._tokenizer(new, add_special_tokens=False, verbose=False)["input_ids"]
        windows = [
            (text, row[start : start + self.WINDOW])
            for text, row in zip(new, rows, strict=True)
            for start in range(0, max(1, len(row)), self.WINDOW)
        ]
        windows.sort(key=lambda window: len(window[1]))
        for batch in self._batches(windows):
            vectors = self._pool([ids for _, ids in batch])
            for (text, _), vector in zip(batch, vectors, strict=True):
                before = self._sums.get(text)
                self._sums[text] = vector if before is None else before + vector

    def sums(self, texts: Sequence[str]) -> Vector:
        """Return the vectors of texts that have been learnt, (texts, width)."""
        return np.stack([self._sums[text] for text in texts])

    def _batches(self, windows: Sequence[Window]) -> Iterator[list[Window]]:
        batch: list[Window] = []
        for window in windows:
            if (len(batch) + 1) * (len(window[1]) + 2) > self.BATCH_TOKENS:
                yield batch
                batch = []
            batch.append(window)
        yield batch

    def _pool(self, rows: Sequence[list[int]]) -> Vector:
        """Return the sum of the token vectors of each row, with the marks at both ends."""
        import torch

        first, last = self._tokenizer.cls_token_id, self._tokenizer.sep_token_id
        longest = max(map(len, rows))
        ids = torch.tensor([[first, *row, last] + [0] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * (len(row) + 2) + [0] * (longest - len(row)) for row in rows])
        with torch.inference_mode():
            states = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
            sums: Vector = (states * mask[:, :, None]).sum(dim=1).numpy()
        return sums


def _cosine(a: Vector, b: Vector) -> float:
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))


class Source:
    """A prompt as the judge sees it: the vectors of its sentences, and its words and facts."""

    def __init__(self, text: str, encoder: Encoder) -> None:
        self.evidence = Evidence(text)
        self._sums = encoder.sums(sentences(text))
        self._units = self._sums / np.linalg.norm(self._sums, axis=1, keepdims=True)

    def grounds(self, aim: Vector) -> float:
        """Return the cosine of a sentence's vector and the part of the prompt nearest to it.

        That part is the nearest sentence, or the nearest two or three together: a sentence of a
        summary draws on several.
        """
        best = np.argsort(-(self._units @ aim), kind="stable")[:NEAREST]
        return max(_cosine(aim, total) for total in np.cumsum(self._sums[best], axis=0))


class EmbeddingJudge:
    """Scores by embeddings and rules: deterministic, on the CPU, without a call to a service.

    The weights are loaded for the first verdict.
    """

    version = VERSION
    repeats = 1

    def __init__(self, config: EmbeddingJudgeConfig) -> None:
        self.name = config.name
        self._weights = config.weights
        self._encoder: Encoder | None = None
        self._sources: dict[str, Source] = {}

    @property
    def identity(self) -> Mapping[str, Json]:
        """Kind, version and weights; the version stands for the rules and their numbers."""
        return {
            "kind": "embedding",
            "version": self.version,
            "weights": weights.identity(self._weights, HUB_ID, REVISION),
        }

    def assess(self, items: Sequence[Item]) -> Iterator[Judgement]:
        """Yield for each item, in order, a verdict, or the cause why there is none.

        Raises:
            WeightsError: there is no place from which the embedding model can be loaded.
        """
        if not items:
            return
        if self._encoder is None:
            self._encoder = Encoder(self._weights)
        for start in range(0, len(items), BATCH):
            if len(self._encoder) > KEEP:
                self._encoder.forget()
                self._sources.clear()
            batch = items[start : start + BATCH]
            causes = [_unfit(item) for item in batch]
            fit = [item for item, cause in zip(batch, causes, strict=True) if cause is None]
            self._encoder.learn(text for item in fit for text in _texts(item))
            for item, cause in zip(batch, causes, strict=True):
                yield item.failure(self, cause) if cause else self._verdict(item, self._encoder)

    def _verdict(self, item: Item, encoder: Encoder) -> Judgement:
        answer, reference = item.response.text, item.reference
        length = len(words(answer))
        if not length:
            return self._scored(item, 0.0, 0.0, "the answer has no words")
        limit = len(words(reference))
        brevity = min(1.0, SPARE_LENGTH * limit / length)
        both = (encoder.sums(sentences(text)).sum(axis=0) for text in (answer, reference))
        cosine = max(0.0, _cosine(*both))
        rouge = rouge_l_of(stems(answer), stems(reference))
        similarity = brevity * (COSINE_SHARE * cosine + (1 - COSINE_SHARE) * rouge)
        precision, why = self._precision(answer, self._source(item.prompt.user, encoder), encoder)
        if not math.isfinite(similarity + precision):
            return item.failure(self, "the embedding model gave no finite numbers")
        reason = f"{length} words for {limit}, cosine {cosine:.2f}, ROUGE-L {rouge:.2f}; {why}"
        return self._scored(item, similarity, brevity * precision, reason)

    def _precision(self, answer: str, source: Source, encoder: Encoder) -> tuple[float, str]:
        """Return how far the prompt supports the answer, 0 to 1, and the figures as text.

        The length of the answer does not count here.
        """
        parts = [part for part in sentences(answer) if words(part)]
        weight = np.array([len(words(part)) for part in parts], dtype=float)
        grounds = np.array([source.grounds(vector) for vector in encoder.sums(parts)])
        wrong = [source.evidence.unsupported(part) for part in parts]
        true = np.array([PER_FACT ** len(facts) for facts in wrong])
        backed = float(np.average(np.clip(grounds / GROUNDED, 0, 1) * true, weights=weight))
        left, manner = penalised_precision(backed, answer, source.evidence, RUN)
        why = f"grounded {float(np.average(grounds, weights=weight)):.2f}"
        if facts := [fact for part in wrong for fact in part]:
            why += f", not in the prompt: {', '.join(facts[:5])}"
        return left, f"{why}, {manner}"

    def _source(self, text: str, encoder: Encoder) -> Source:
        if text not in self._sources:
            self._sources[text] = Source(text, encoder)
        return self._sources[text]

    def _scored(self, item: Item, similarity: float, precision: float, reason: str) -> Verdict:
        scores = min(100.0, 100 * similarity), min(100.0, 100 * precision)
        return item.verdict(self, *scores, reason)


def _unfit(item: Item) -> str | None:
    """Return why an item cannot be scored, or None where it can."""
    if cause := item.prompt_fault:
        return cause
    if not stems(item.reference):
        return "the reference has no words in Latin letters, and this judge reads English"
    return None


def _texts(item: Item) -> list[str]:
    """Return all sentences that have to be encoded for an item."""
    answer = item.response.text
    return [t for text in (item.reference, answer, item.prompt.user) for t in sentences(text)]
