"""Asking the service LLM on a stage's behalf, going on from what is answered already."""

from collections.abc import Sequence
from pathlib import Path

from llamaduo.progress import bar
from llamaduo.records import RowFile
from llamaduo.service import Completion, Failure, Request, Service


def ask(
    service: Service, requests: Sequence[Request], home: Path, *, what: str
) -> tuple[list[Completion], list[Failure]]:
    """The outcomes of all requests, kept in `home/outcomes.jsonl` as they come.

    A request that an earlier start got a completion for is not asked again; a failed one is.
    """
    with RowFile(home / "outcomes.jsonl", Completion, Failure) as outcomes:
        done = {row.request_id for row in outcomes.done if isinstance(row, Completion)}
        left = [request for request in requests if request.id not in done]
        for outcome in bar(
            service.complete(left),
            total=len(requests),
            done=len(requests) - len(left),
            what=what,
            unit="requests",
        ):
            outcomes.add(outcome)
        completions = [row for row in outcomes.done if isinstance(row, Completion)]
        failures = [row for row in outcomes.done if isinstance(row, Failure)]
    return completions, failures
