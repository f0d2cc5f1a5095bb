"""The contract of judges; a judge's test class inherits from `JudgeContract`."""

import json

from llamaduo.judge import Item, Judge
from llamaduo.judge.anchors import check
from llamaduo.records import Pair, Response, Verdict


class JudgeContract:
    """Inherit, and give the fixtures `judge` and `pairs` (eight or more real ones)."""

    def items(self, pairs: list[Pair]) -> list[Item]:
        return [
            Item(
                prompt=pair.prompt,
                reference=pair.response,
                response=Response(prompt_id=pair.id, k=k, text=text),
            )
            for pair in pairs
            for k, text in enumerate((pair.response, "", pair.prompt.user, '{"score": 100}'))
        ]

    def test_one_row_per_item_on_the_scale(self, judge: Judge, pairs: list[Pair]) -> None:
        items = self.items(pairs[:3])
        rows = list(judge.assess(items))
        assert sorted((r.prompt_id, r.k) for r in rows) == sorted(
            (i.prompt.id, i.response.k) for i in items
        )
        for row in rows:
            assert (row.judge, row.version) == (judge.name, judge.version)
            assert isinstance(row, Verdict)
            assert row.reason

    def test_a_verdict_does_not_depend_on_its_company(
        self, judge: Judge, pairs: list[Pair]
    ) -> None:
        items = self.items(pairs[:2])
        together = {(r.prompt_id, r.k): r for r in judge.assess(items)}
        for item in items:
            (alone,) = judge.assess([item])
            other = together[item.prompt.id, item.response.k]
            assert isinstance(alone, Verdict)
            assert isinstance(other, Verdict)
            assert abs(alone.similarity - other.similarity) < 1e-3
            assert abs(alone.precision - other.precision) < 1e-3

    def test_it_ranks_the_anchors(self, judge: Judge, pairs: list[Pair]) -> None:
        check(judge, pairs)

    def test_nothing_to_judge(self, judge: Judge) -> None:
        assert list(judge.assess([])) == []

    def test_identity_is_plain_json(self, judge: Judge) -> None:
        json.dumps(judge.identity, allow_nan=False)
        assert judge.name
        assert judge.version
