"""Renew the keys and token counts of a recording after a prompt template has changed.

    python -m llamaduo.data.rekey

The recorded texts stay as they are: before you run this, check that they still answer the requests
as these now read. Tokens are counted with the local LLM's tokenizer.
"""

from pathlib import Path

from llamaduo import cli
from llamaduo.base.errors import ConfigError, DataError
from llamaduo.base.files import write_atomically
from llamaduo.config import Experiment, HfLocalConfig, RecordedServiceConfig
from llamaduo.records import Pair
from llamaduo.service import Request
from llamaduo.service.recorded import Recording, parse, recording_path
from llamaduo.stages import answer, synthesize
from llamaduo.stages.collect import read_pairs, source_of


def rekey(exp: Experiment) -> None:
    """Rewrite the recording of the configured service for the configured coverage file.

    Raises:
        ConfigError: the service has no recording, or the local LLM no tokenizer.
        DataError: a row answers no pair of the coverage file, or its request cannot be rebuilt.
    """
    if not isinstance(exp.service, RecordedServiceConfig):
        raise ConfigError(f"service={exp.service.name} has no recording; use service=recorded")
    if not isinstance(exp.local, HfLocalConfig):
        raise ConfigError(f"local={exp.local.name} has no tokenizer; use local=smollm2_135m")
    pairs, _ = read_pairs(source_of(exp.task).read_bytes(), exp.task)
    path = recording_path(exp.service)
    pair_by_id = {pair.id: pair for pair in pairs}
    count_tokens = _counter(exp.local)
    rows = []
    for row in parse(path.read_bytes(), path):
        if row.of not in pair_by_id:
            raise DataError(f"{path}: {row.of} is not in {exp.task.coverage}; remove its row")
        request = request_for(row, pair_by_id[row.of], exp)
        text = "\n".join(message.content for message in request.messages)
        tokens = {"input_tokens": count_tokens(text), "output_tokens": count_tokens(row.text)}
        rows.append(row.model_copy(update={"request": request.key, **tokens}))
    write_atomically(path, "".join(row.model_dump_json() + "\n" for row in rows))
    print(f"{path}: {len(rows)} answers")


def request_for(row: Recording, pair: Pair, exp: Experiment) -> Request:
    """Rebuild the request that a recorded answer belongs to.

    Raises:
        DataError: it is neither a second answer nor a synthesis.
    """
    if row.purpose == "answer":
        return answer.request_of(pair.prompt, max_tokens=exp.service.max_tokens)
    if row.purpose != "synthesis":
        raise DataError(
            f"{row.of}: an answer to {row.purpose!r} depends on other answers, so its key cannot be"
            " renewed; record it again"
        )
    return synthesize.request_of(
        pair,
        topic=exp.task.topic,
        pairs=exp.synthesis.pairs_per_seed,
        max_tokens=exp.service.max_tokens,
        sample=row.sample,
    )


class _Counter:
    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(folder)

    def __call__(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def _counter(local: HfLocalConfig) -> _Counter:
    from llamaduo.local import weights

    return _Counter(weights.fetch(local.weights, local.hub_id, local.revision).path)


if __name__ == "__main__":
    cli.launch("config", Experiment, rekey)
