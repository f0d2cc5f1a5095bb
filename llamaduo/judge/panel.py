"""Several judges at once: a row of each, and what they say together.

Each member's verdict is a row of its own under the member's name. `scores.by_prompt` puts them
together: a member's repeats are averaged first, then the members with equal weight, for the
responses that every member gave a verdict on. No member is corrected for its leniency: a relative
gate divides it out, and an absolute one means the judges as they are.
"""

from collections.abc import Iterator, Mapping, Sequence

from llamaduo.base.files import Json
from llamaduo.judge.protocol import Item, Judge
from llamaduo.records import Judgement


class PanelJudge:
    """Judges with names of their own, asked one after the other."""

    def __init__(self, name: str, members: Sequence[Judge]) -> None:
        self.name = name
        self.members = tuple(members)
        self.version = ", ".join(f"{member.name} {member.version}" for member in members)

    @property
    def repeats(self) -> int:
        """Rows on each response: the repeats of all members together."""
        return sum(member.repeats for member in self.members)

    @property
    def identity(self) -> Mapping[str, Json]:
        """What decides the verdicts of each member, by name."""
        return {
            "kind": "panel",
            "members": {member.name: dict(member.identity) for member in self.members},
        }

    def assess(self, items: Sequence[Item]) -> Iterator[Judgement]:
        """The rows of every member, one member after the other.

        `wanted` repeats are asked of the members that have so many.
        """
        for member in self.members:
            yield from member.assess([_for(item, member) for item in items])


def _for(item: Item, member: Judge) -> Item:
    if item.wanted is None:
        return item
    wanted = tuple(m for m in item.wanted if m < member.repeats)
    return item.model_copy(update={"wanted": wanted})


def members(judge: Judge) -> tuple[Judge, ...]:
    """The judges that a judge consists of: a panel's members, else itself alone."""
    return judge.members if isinstance(judge, PanelJudge) else (judge,)
