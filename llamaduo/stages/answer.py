"""answer: the service LLM's own second answer to the prompts, the yardstick of a relative gate.

The recorded answers score 100 against themselves, so only an answer given independently of them
says how much of a difference is the service's own.
"""

from collections.abc import Sequence
from pathlib import Path

from llamaduo.base.files import Json
from llamaduo.lab import Stage, label_of
from llamaduo.records import Prompt, Response, digest
from llamaduo.service import Request, Service
from llamaduo.stages.asking import ask
from llamaduo.stages.infer import Answers

VERSION = 1


class ServiceAnswers(Answers):
    """Second answers of the service LLM; `missing` prompts got none, `cause` is the first's why."""

    missing: int
    cause: str | None


def request_of(prompt: Prompt, *, max_tokens: int) -> Request:
    """Make the request for a second answer: the prompt as it stands."""
    return Request(id=prompt.id, messages=prompt.messages, max_tokens=max_tokens, purpose="answer")


def answer(
    service: Service,
    prompts: Sequence[Prompt],
    *,
    max_tokens: int,
    system: str = "",
    split: str = "",
) -> Stage[ServiceAnswers]:
    """Define the stage that asks the service LLM each prompt once more."""
    identity: dict[str, Json] = {
        "version": VERSION,
        "service": service.identity,
        "prompts": digest(prompts),
        "max_tokens": max_tokens,
    }

    def run(home: Path) -> ServiceAnswers:
        requests = [request_of(prompt, max_tokens=max_tokens) for prompt in prompts]
        asked = ask(service, requests, home, what=f"answer {label_of(system, split)}")
        with (home / "responses.jsonl").open("w", encoding="utf-8") as out:
            for row in asked.completions:
                response = Response(
                    prompt_id=row.request_id,
                    k=0,
                    text=row.text,
                    prompt_tokens=row.bill.input_tokens,
                    completion_tokens=row.bill.output_tokens,
                    finish=row.finish,
                )
                out.write(response.model_dump_json(exclude_none=True) + "\n")
        missing = len(prompts) - len(asked.completions)
        return ServiceAnswers(
            home=home,
            missing=missing,
            cause=asked.cause,
            bill=asked.bill,
            unfinished=asked.unfinished,
            metrics={
                "responses": len(asked.completions),
                "missing": missing,
                "cut": sum(row.finish == "length" for row in asked.completions),
            },
        )

    return Stage("answer", ServiceAnswers, identity, run, system, split)
