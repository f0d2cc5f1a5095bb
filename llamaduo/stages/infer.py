"""infer: K sampled responses of the local LLM, tuned or not, to every prompt of a split."""

import time
from collections.abc import Sequence
from pathlib import Path

from llamaduo.base.files import Json
from llamaduo.base.progress import bar
from llamaduo.config import HparamsConfig, Sampling
from llamaduo.lab import Artifact, Stage, label_of
from llamaduo.local import Local
from llamaduo.records import Prompt, Response, RowFile, digest, read_jsonl
from llamaduo.stages.finetune import Adapter
from llamaduo.tracking import Run

VERSION = 1


class Answers(Artifact):
    """Responses to a set of prompts, in `responses.jsonl`."""

    def responses(self) -> list[Response]:
        """Read all responses, by prompt and k."""
        rows = read_jsonl(self.home / "responses.jsonl", Response)
        return sorted(rows, key=lambda row: (row.prompt_id, row.k))

    def publish(self, run: Run) -> None:
        """Log the responses as a table."""
        run.table("responses.json", self.responses())


def infer(
    local: Local,
    hparams: HparamsConfig,
    adapter: Adapter | None,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    *,
    max_new_tokens: int,
    seed: int,
    system: str = "",
    split: str = "",
) -> Stage[Answers]:
    """Define the stage that asks the local LLM; `adapter` None asks the untuned base."""
    identity: dict[str, Json] = {
        "version": VERSION,
        "local": local.identity(hparams),
        "adapter": None if adapter is None else adapter.fingerprint,
        "prompts": digest(prompts),
        "sampling": sampling.identity(),
        "max_new_tokens": max_new_tokens,
        "seed": seed,
    }

    def run(home: Path) -> Answers:
        start = time.monotonic()
        with RowFile(home / "responses.jsonl", Response) as rows:
            done = {(row.prompt_id, row.k) for row in rows.done if isinstance(row, Response)}
            asks = [(p, k) for p in prompts for k in range(sampling.k) if (p.id, k) not in done]
            produced = local.generate(
                asks,
                hparams,
                adapter=None if adapter is None else adapter.path,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_new_tokens=max_new_tokens,
                seed=seed,
                scratch=home,
            )
            fresh = 0
            for response in bar(
                produced,
                total=len(prompts) * sampling.k,
                done=len(prompts) * sampling.k - len(asks),
                what=f"infer {label_of(system, split)}",
                unit="answers",
            ):
                rows.add(response)
                fresh += response.completion_tokens or 0
        seconds = time.monotonic() - start
        answers = Answers(home=home)
        return answers.model_copy(update={"metrics": _metrics(answers, fresh, seconds, len(asks))})

    return Stage("infer", Answers, identity, run, system, split)


def _metrics(answers: Answers, fresh: int, seconds: float, asked: int) -> dict[str, float]:
    responses = answers.responses()
    total = len(responses)
    metrics = {
        "responses": float(total),
        "words_mean": sum(len(r.text.split()) for r in responses) / total,
        "cut_percent": 100 * sum(r.finish == "length" for r in responses) / total,
        "completion_tokens": float(sum(r.completion_tokens or 0 for r in responses)),
    }
    if asked and seconds:
        # Of this start only: what an earlier one produced before it was killed is not counted.
        metrics["tokens_per_second"] = fresh / seconds
        metrics["seconds_per_response"] = seconds / asked
    return metrics
