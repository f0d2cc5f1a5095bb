"""Several judges at once: rows of each, anchors of each, and what they say together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.experiments import composed, pair

from llamaduo.base.errors import JudgeError
from llamaduo.gate.sequential import Rule, looks
from llamaduo.judge import Item, build
from llamaduo.judge.panel import PanelJudge, members
from llamaduo.lab import Lab
from llamaduo.records import JudgeFailure, Response, Verdict
from llamaduo.service import ServiceContext
from llamaduo.stages.collect import read_pairs, source_of
from llamaduo.stages.judge import anchor, assess
from llamaduo.stats.scores import by_prompt
from llamaduo.tracking import MemoryTracker

LIGHT = ("judge=panel", "judge@judge.members.embedding=fake")
EXP = composed("+experiment=summarize", *LIGHT)
CONTEXT = ServiceContext.of(EXP.tracking.home, EXP.prices, EXP.budget)
SHIPPED = read_pairs(source_of(EXP.task).read_bytes(), EXP.task)[0][:24]
PAIRS = [pair(i) for i in range(3)]
RESPONSES = [
    Response(prompt_id=p.id, k=k, text=f"{p.response} {k}") for p in PAIRS for k in range(2)
]


class Scores:
    """A judge that gives every response of a prompt what a function of prompt, k and m says."""

    def __init__(self, name, gives, repeats=1):
        self.name, self.version, self.repeats, self._gives = name, "1", repeats, gives
        self.identity = {"kind": name}
        self.asked = []

    def assess(self, items):
        for item in items:
            for m in range(self.repeats) if item.wanted is None else item.wanted:
                key = item.prompt.id, item.response.k, m
                self.asked.append(key)
                given = self._gives(*key)
                facts = {"prompt_id": key[0], "k": key[1], "m": m, "judge": self.name}
                facts["version"] = "1"
                if given is None:
                    yield JudgeFailure(**facts, cause="down", final=False)
                else:
                    yield Verdict(**facts, similarity=given, precision=given, reason="so")


def run(home, judge, **more):
    stage = assess(judge, PAIRS, RESPONSES, confidence=0.95, seed=1, system="x", **more)
    with MemoryTracker().open("e", "r", {}) as tracked:
        return Lab(home, tracked, lambda line: None).run(stage)


def test_the_configured_panel_has_its_members_under_their_names():
    judge = build(EXP.judge, CONTEXT)
    assert [member.name for member in members(judge)] == ["embedding", "overlap"]
    assert list(EXP.judge.scorers()) == ["embedding", "overlap"]
    items = [
        Item(prompt=p.prompt, reference=p.response, response=r)
        for p, r in zip(PAIRS, RESPONSES[::2], strict=True)
    ]
    rows = list(judge.assess(items))
    assert sorted({row.judge for row in rows}) == ["embedding", "overlap"]
    assert len(rows) == 6


def test_an_llm_joins_with_a_client_of_its_own():
    more = ("+judge@judge.members.strict=llm", "service@judge.members.strict.client=fake")
    exp = composed("+experiment=summarize", *LIGHT, *more, "judge.members.strict.repeats=3")
    assert list(exp.judge.clients()) == ["judge.members.strict.client"]
    judge = build(exp.judge, CONTEXT)
    assert {member.name: member.repeats for member in members(judge)}["strict"] == 3
    assert judge.repeats == 5


def test_a_panel_of_one_is_refused():
    with pytest.raises(Exception, match="members"):
        composed("judge=panel", "~judge@judge.members.overlap")


def test_each_member_ranks_the_anchors_or_is_refused_by_name(tmp_path):
    judge = build(EXP.judge, CONTEXT)
    blind = Scores("blind", lambda *key: 50.0)
    with MemoryTracker().open("e", "r", {}) as tracked:
        lab = Lab(tmp_path, tracked, lambda line: None)
        for member in members(judge):
            assert lab.run(anchor(member, SHIPPED)).table.judge == member.name
        with pytest.raises(JudgeError, match=r"judge=blind .* gold \(50\.0\) is not above"):
            lab.run(anchor(members(PanelJudge("panel", [*members(judge), blind]))[-1], SHIPPED))


def test_members_weigh_the_same_however_often_they_repeat(tmp_path):
    once, often = Scores("once", lambda *key: 40.0), Scores("often", lambda p, k, m: 70.0 + m, 3)
    judged = run(tmp_path, PanelJudge("panel", [once, often]))
    assert len(judged.rows()) == 6 * 4
    assert judged.scores.similarity.mean.value == pytest.approx((40 + 71) / 2)


def test_a_response_counts_where_every_member_gave_a_verdict(tmp_path):
    """Else a strict member's failure would be worth points."""
    strict = Scores("strict", lambda p, k, m: None if p == "p0" else 20.0)
    judged = run(tmp_path, PanelJudge("panel", [Scores("mild", lambda *key: 80.0), strict]))
    assert set(by_prompt(judged.rows(), "similarity")) == {"p1", "p2"}
    assert judged.scores.similarity.mean.value == pytest.approx(50)
    assert (judged.scores.unjudged, judged.unfinished) == (2, 2)


def test_what_failed_for_a_while_is_asked_again_of_that_member_alone(tmp_path):
    mild = Scores("mild", lambda *key: 80.0)
    run(tmp_path, PanelJudge("panel", [mild, Scores("late", lambda *key: None)]))
    assert len(mild.asked) == 6
    late = Scores("late", lambda *key: 20.0)
    judged = run(tmp_path, PanelJudge("panel", [mild, late]))
    assert (len(mild.asked), len(late.asked)) == (6, 6)
    assert judged.scores.similarity.mean.value == pytest.approx(50)


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=2, max_size=3, unique=True), st.data())
def test_the_order_of_rows_changes_nothing(names, data):
    rows = [
        Verdict(
            prompt_id=f"p{i}", k=0, m=m, similarity=s, precision=s, reason="", judge=n, version="1"
        )
        for n in names
        for i in range(2)
        for m, s in enumerate(data.draw(st.lists(st.integers(0, 100), min_size=1, max_size=3)))
    ]
    turned = data.draw(st.permutations(rows))
    one, two = by_prompt(rows, "similarity"), by_prompt(turned, "similarity")
    assert one.keys() == two.keys()
    for prompt, scores in one.items():
        assert two[prompt] == pytest.approx(scores)


def rule(judges, *, level):
    own = [
        Verdict(
            prompt_id=p.id, k=0, similarity=level, precision=level, reason="", judge=n, version="1"
        )
        for p in PAIRS
        for n in judges
    ]
    gate = composed("gate=relative").gate
    repeats = {name: 10 if name == "llm" else 1 for name in judges}
    return Rule(gate, own, {"llm": looks(10)}, repeats, 0.05, 1)


def wobbles(p, k, m):
    return 50.0 + int(p[1]) + 3 * (m % 2) + k


def test_repeats_end_when_the_decision_is_settled_and_are_counted(tmp_path):
    judge = Scores("llm", wobbles, 10)
    judged = run(tmp_path, judge, rule=rule(["llm"], level=95.0))
    assert sorted({m for _, _, m in judge.asked}) == [0, 1]
    assert judged.left_out == judged.metrics["repeats_left_out"] == 6 * 8
    assert judged.metrics["repeats_of_all"] == 60


def test_without_a_rule_every_response_has_all_repeats(tmp_path):
    judge = Scores("llm", wobbles, 10)
    judged = run(tmp_path, judge)
    assert len(judge.asked) == len(judged.rows()) == 60
    assert judged.left_out == 0
    assert "repeats_left_out" not in judged.metrics


def test_a_start_that_was_stopped_comes_to_the_same_end(tmp_path):
    against = rule(["llm"], level=54.0)
    whole = run(tmp_path / "whole", Scores("llm", wobbles, 10), rule=against)

    class Stopped(Exception):
        pass

    def until(stop):
        asked = []

        def gives(p, k, m):
            asked.append(m)
            if len(asked) > stop:
                raise Stopped
            return wobbles(p, k, m)

        return gives

    for stop in (5, 9):
        with pytest.raises(Stopped):
            run(tmp_path / "part", Scores("llm", until(stop), 10), rule=against)
    part = run(tmp_path / "part", Scores("llm", wobbles, 10), rule=against)
    assert part.rows() == whole.rows()
    assert part.metrics == whole.metrics
    assert whole.left_out < 48, "it was near enough to the gate to go on"


def test_in_a_panel_only_the_llm_stops_early(tmp_path):
    llm, rules = Scores("llm", wobbles, 10), Scores("rules", lambda p, k, m: 40.0)
    judged = run(
        tmp_path, PanelJudge("panel", [llm, rules]), rule=rule(["llm", "rules"], level=95.0)
    )
    assert (len(llm.asked), len(rules.asked)) == (12, 6)
    assert judged.left_out == 48
