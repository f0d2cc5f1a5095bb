"""A panel: several judges on the same responses, each with rows under its own name.

`llamaduo.stats.table` combines the rows: it averages a member's repeats first, then the members
with equal weight, for the responses that every member gave a verdict on. No member is corrected for
its leniency: a relative gate divides it out, and an absolute gate means the judges as they are.
"""

from collections.abc import Iterator, Mapping, Sequence

from llamaduo.base.files import Json
from llamaduo.judge.protocol import Item, Judge
from llamaduo.records import Judgement


class PanelJudge:
    """Judges with different names, asked one after the other."""

    def __init__(self, name: str, members: Sequence[Judge]) -> None:
        self.name = name
        self.members = tuple(members)
        self.version = ", ".join(f"{member.name} {member.version}" for member in members)

    @property
    def repeats(self) -> int:
        """Number of rows on each response: the repeats of all members together."""
        return sum(member.repeats for member in self.members)

    @property
    def identity(self) -> Mapping[str, Json]:
        """The identity of each member, by name."""
        return {
            "kind": "panel",
            "members": {member.name: dict(member.identity) for member in self.members},
        }

    def assess(self, items: Sequence[Item]) -> Iterator[Judgement]:
        """Yield the rows of every member, one member after the other.

        A member is asked for the `wanted` repeats below its own M.
        """
        for member in self.members:
            yield from member.assess([_for(item, member) for item in items])


def _for(item: Item, member: Judge) -> Item:
    if item.wanted is None:
        return item
    wanted = tuple(m for m in item.wanted if m < member.repeats)
    return item.model_copy(update={"wanted": wanted})


def members(judge: Judge) -> tuple[Judge, ...]:
    """Return a panel's members, or a judge that is no panel alone."""
    return judge.members if isinstance(judge, PanelJudge) else (judge,)
