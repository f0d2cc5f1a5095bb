"""synthesize: the service LLM writes more pairs in the manner of a training pair."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from llamaduo.artifact import Artifact, Json
from llamaduo.config import SynthesisConfig
from llamaduo.cost import Bill
from llamaduo.records import Message, Pair, Prompt, Record, read_jsonl, write_jsonl
from llamaduo.service import Request, Service
from llamaduo.stage import Stage
from llamaduo.stages import digest
from llamaduo.stages.ask import ask
from llamaduo.tracking import Run

VERSION = 1
PROMPT = Template(
    """\
You help to build training data for one task: $topic.

Below is one example of the task, an instruction and the response to it.

<instruction>
$instruction
</instruction>
<response>
$response
</response>

Write $count new pairs of the same kind. Each has a subject, names and facts of its own, but the
form, the style and about the length of the example; its response is right and complete for its
instruction and uses nothing that is not in it.

Answer with one JSON object and nothing else:
{"contents": [{"instruction": "...", "response": "..."}]}"""
)


class Refused(Record):
    """A synthesised text that is no pair, with the seed that it was asked for, and the reason."""

    seed_id: str
    reason: str


class Synthesis(Artifact):
    """New pairs in `pairs.jsonl`, unusable ones in `refused.jsonl`.

    `unanswered` requests got no completion; `cause` says why the first of them did not.
    """

    requests: int
    unanswered: int
    cause: str | None

    def pairs(self) -> list[Pair]:
        """The new pairs, by seed."""
        return read_jsonl(self.home / "pairs.jsonl", Pair)

    def publish(self, run: Run) -> None:
        """Log the new pairs as a table."""
        rows = [
            Written(seed_id=p.seed_id or "", instruction=p.prompt.user, response=p.response)
            for p in self.pairs()
        ]
        run.table("pairs.json", rows)


class Written(Record):
    """A new pair as the tracker's table shows it."""

    seed_id: str
    instruction: str
    response: str


def request_of(seed_pair: Pair, *, topic: str, pairs: int, max_tokens: int, sample: int) -> Request:
    """The request for more pairs like one training pair."""
    text = PROMPT.substitute(
        topic=topic,
        instruction=seed_pair.prompt.user,
        response=seed_pair.response,
        count=pairs,
    )
    return Request(
        id=seed_pair.id,
        messages=(Message(role="user", content=text),),
        max_tokens=max_tokens,
        sample=sample,
    )


def synthesize(
    service: Service,
    train: Sequence[Pair],
    *,
    topic: str,
    config: SynthesisConfig,
    max_tokens: int,
    round: int,
    seed: int,
) -> Stage[Synthesis]:
    """The stage that has more pairs written for one round, from seeds in train alone."""
    seeds = list(train)
    if config.seeds is not None and config.seeds < len(seeds):
        seeds = random.Random(f"{seed} {round}").sample(seeds, config.seeds)
    # Round r asks for sample r − 1, so that every round gets texts of its own.
    requests = [
        request_of(
            p, topic=topic, pairs=config.pairs_per_seed, max_tokens=max_tokens, sample=round - 1
        )
        for p in seeds
    ]
    identity: dict[str, Json] = {
        "version": VERSION,
        "service": service.identity,
        "requests": digest(requests),
        "seeds": digest(seeds),  # a system message is not in the request, and is in the new pairs
    }

    def run(home: Path) -> Synthesis:
        completions, failures = ask(service, requests, home, what="synthesize")
        texts = {row.request_id: row.text for row in completions}
        pairs, refused = _read(seeds, texts, round)
        write_jsonl(home / "pairs.jsonl", pairs)
        write_jsonl(home / "refused.jsonl", refused)
        unanswered = len(requests) - len(completions)
        return Synthesis(
            home=home,
            requests=len(requests),
            unanswered=unanswered,
            cause=failures[0].cause if failures and unanswered else None,
            bill=Bill.total(row.bill for row in completions),
            metrics={"pairs": len(pairs), "refused": len(refused), "unanswered": unanswered},
        )

    return Stage("synthesize", Synthesis, identity, run)


def _read(
    seeds: Sequence[Pair], texts: Mapping[str, str], round: int
) -> tuple[list[Pair], list[Refused]]:
    pairs: list[Pair] = []
    refused: list[Refused] = []
    for seed_pair in seeds:
        if seed_pair.id not in texts:
            continue
        try:
            contents = parse(texts[seed_pair.id])
        except ValueError as error:
            refused.append(Refused(seed_id=seed_pair.id, reason=str(error)))
            continue
        for number, (instruction, response) in enumerate(contents):
            if not instruction.strip() or not response.strip():
                refused.append(Refused(seed_id=seed_pair.id, reason="an empty text"))
                continue
            pairs.append(
                _like(seed_pair, f"{seed_pair.id}-r{round}-{number}", instruction, response)
            )
    return pairs, refused


def _like(seed_pair: Pair, pair_id: str, instruction: str, response: str) -> Pair:
    # Only the last user message is new: a system message is part of the task, not of the example.
    turns = seed_pair.prompt.messages
    last = max(i for i, turn in enumerate(turns) if turn.role == "user")
    system = tuple(turn for turn in turns[:last] if turn.role == "system")
    messages = (*system, Message(role="user", content=instruction))
    prompt = Prompt(id=pair_id, messages=messages)
    return Pair(prompt=prompt, response=response, origin="synthesis", seed_id=seed_pair.id)


def parse(text: str) -> list[tuple[str, str]]:
    """The (instruction, response) pairs of a synthesis reply.

    The reply is one JSON object, with or without a code fence or words around it.

    Raises:
        ValueError: there is no such object, or it is not of the form that was asked for.
    """
    start = text.find("{")
    if start < 0:
        raise ValueError("no JSON object in the reply")
    try:
        reply: Any = json.JSONDecoder().raw_decode(text[start:])[0]
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at {error.pos}") from None
    except RecursionError:
        raise ValueError("JSON nested without end") from None
    contents = reply.get("contents") if isinstance(reply, dict) else None
    if not isinstance(contents, list) or not contents:
        raise ValueError("no list of contents in the reply")
    found = []
    for entry in contents:
        texts = (entry.get("instruction"), entry.get("response")) if isinstance(entry, dict) else ()
        if len(texts) != 2 or not all(isinstance(value, str) for value in texts):
            raise ValueError("a pair without instruction and response texts")
        for value in texts:
            str(value).encode()  # half a surrogate pair, which JSON can spell, is a ValueError
        found.append((str(texts[0]), str(texts[1])))
    return found
