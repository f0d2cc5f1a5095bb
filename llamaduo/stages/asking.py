"""Asking the service LLM on a stage's behalf, going on from what is answered already."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llamaduo.base.progress import bar
from llamaduo.records import Bill, Record, RowFile
from llamaduo.service import Completion, Failure, Request, Service
from llamaduo.service.structured import Parsed, ask_for

Read = Callable[[Request, Completion], Any]


@dataclass(frozen=True)
class Asked:
    """The last outcome of each request; `bill` is what all of them took.

    `unfinished` requests failed for a cause that may pass, so a later start asks them again.
    """

    completions: tuple[Completion, ...]
    failures: tuple[Failure, ...]
    bill: Bill

    @property
    def unfinished(self) -> int:
        """The number of failures that are not final."""
        return sum(not row.final for row in self.failures)

    @property
    def cause(self) -> str | None:
        """The cause of the first failure."""
        return self.failures[0].cause if self.failures else None


def ask(
    service: Service,
    requests: Sequence[Request],
    home: Path,
    *,
    what: str,
    read: Read | None = None,
) -> Asked:
    """Ask all requests, and keep the outcomes in `home/outcomes.jsonl` as they come.

    With `read`, each reply must be one that it can read (see `structured.ask_for`). A request that
    an earlier start got a completion or a final failure for is not asked again.

    Raises:
        ServiceError: as `Service.complete` does; what came before is kept.
    """
    with RowFile(home / "outcomes.jsonl", Completion, Failure) as outcomes:
        before = _last(outcomes.done)
        done = {id for id, row in before.items() if isinstance(row, Completion) or row.final}
        left = [request for request in requests if request.id not in done]
        for outcome in bar(
            _outcomes(service, left, read),
            total=len(requests),
            done=len(requests) - len(left),
            what=what,
            unit="requests",
        ):
            outcomes.add(outcome)
        last = _last(outcomes.done)
    old = before if accounted(home) else {}
    bills = (row.bill.kept() if row is old.get(id) else row.bill for id, row in last.items())
    return Asked(
        completions=tuple(row for row in last.values() if isinstance(row, Completion)),
        failures=tuple(row for row in last.values() if isinstance(row, Failure)),
        bill=Bill.total(bills),
    )


def accounted(home: Path) -> bool:
    """Return whether the rows in a folder were paid for, and reported, by a start that finished."""
    return (home / "artifact.json").exists()


def _outcomes(
    service: Service, requests: Sequence[Request], read: Read | None
) -> Iterator[Completion | Failure]:
    if read is None:
        yield from service.complete(requests)
        return
    for outcome in ask_for(service, requests, read):
        yield outcome.completion if isinstance(outcome, Parsed) else outcome


def _last(rows: Sequence[Record]) -> dict[str, Completion | Failure]:
    """Keep the last outcome of each request: one that failed may have been asked again."""
    return {row.request_id: row for row in rows if isinstance(row, Completion | Failure)}
