"""Makes the keys and token counts of a recording anew, after a prompt template has changed.

    python -m llamaduo.data.rekey

The texts of the recording stay as they are: whoever runs this vouches that they still answer the
requests as they now read. The tokenizer is the local model's.
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
    """Rewrite the recording that the configuration names, for the coverage file that it names."""
    if not isinstance(exp.service, RecordedServiceConfig):
        raise ConfigError(f"service={exp.service.name}: only service=recorded has a recording")
    if not isinstance(exp.local, HfLocalConfig):
        raise ConfigError(f"local={exp.local.name}: has no tokenizer to count with")
    pairs, _ = read_pairs(source_of(exp.task).read_bytes(), exp.task)
    path = recording_path(exp.service)
    by_id = {pair.id: pair for pair in pairs}
    count = _counter(exp.local)
    rows = []
    for row in parse(path.read_bytes(), path):
        if row.of not in by_id:
            raise DataError(f"{path}: {row.of} is not in {exp.task.coverage}; remove its row")
        request = request_for(row, by_id[row.of], exp)
        text = "\n".join(message.content for message in request.messages)
        counted = {"input_tokens": count(text), "output_tokens": count(row.text)}
        rows.append(row.model_copy(update={"request": request.key, **counted}))
    write_atomically(path, "".join(row.model_dump_json() + "\n" for row in rows))
    print(f"{path}: {len(rows)} answers")


def request_for(row: Recording, pair: Pair, exp: Experiment) -> Request:
    """The request that a recorded answer is the answer to.

    Raises:
        DataError: it is no second answer and no synthesis.
    """
    if row.purpose == "answer":
        return answer.request_of(pair.prompt, max_tokens=exp.service.max_tokens)
    if row.purpose != "synthesis":
        raise DataError(
            f"{row.of}: an answer to {row.purpose!r} depends on other answers and cannot be keyed"
            " anew; record it again"
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
