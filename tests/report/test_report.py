"""What a run says at its end, on a terminal and as a page."""

import re
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.report_facts import (
    COST,
    OUTCOME,
    Reader,
    a_round,
    a_stage,
    a_system,
    an_answer,
    an_example,
    but,
    ended,
    page_of,
    scores,
)

from llamaduo.migration.loop import Stop
from llamaduo.outcome import Outcome, PromptScores, Result, SystemFacts
from llamaduo.records import Bill
from llamaduo.report import charts, terminal
from llamaduo.report import words as report_words
from llamaduo.report.page import write_page
from llamaduo.stats.intervals import Estimate

PAGE = Path("mlruns/reports/summarize-0123abcd/report.html")
ENDINGS = [
    ("qualified", "qualified"),
    ("qualified", "not_confirmed"),
    *product([stop for stop in get_args(Stop) if stop != "qualified"], ["not_qualified"]),
]


def row(text: str, name: str) -> str:
    return next(line for line in text.split("\n") if line.startswith(name))


@pytest.mark.parametrize(("stop", "result"), ENDINGS)
def test_every_ending_says_how_it_went_and_what_is_next(
    stop: Stop, result: Result, tmp_path: Path
) -> None:
    outcome = ended(stop, result)
    text = terminal.table(outcome, PAGE)
    said = {"qualified": "Qualified: ", "not_confirmed": "Not confirmed: "}
    first = text.strip().split("\n")[0]
    assert first.startswith(said.get(result, "Not qualified: "))
    assert stop in row(text, "stop")
    assert len(row(text, "next").split()) > 3
    assert first.split(" (")[0] in page_of(outcome, tmp_path).words
    promoted = "models:/llamaduo-summarize@champion" in text
    assert promoted == (result == "qualified")
    assert ("llamaduo.ask task=summarize" in text) == (result == "qualified")


@pytest.mark.parametrize(("stop", "result"), ENDINGS)
def test_table_fits_a_terminal_whatever_the_figures(stop: Stop, result: Result) -> None:
    longest = [
        SystemFacts(
            role=system.role,
            name=system.name,
            scores=scores(100.0, 0.0, failures=3),
            over_base={"similarity": Estimate(value=-100.0, low=-100.0, high=-100.0)},
            prompts=(),
        )
        for system in OUTCOME.systems
    ]
    outcome = ended(stop, result).model_copy(
        update={
            "systems": tuple(longest),
            "stop_words": "service=recorded wrote nothing: " + "no answer to the request " * 6,
            "rounds": tuple(a_round(n, 50.0 + n, passed=False) for n in range(40)),
        }
    )
    for lines in (terminal.table(each, PAGE).split("\n") for each in (outcome, OUTCOME)):
        assert max(map(len, lines)) <= 100
        assert len(lines) <= 42
    assert len(terminal.table(ended(stop, result), PAGE).split("\n")) <= 35


def test_what_was_missing_is_named_with_where() -> None:
    not_confirmed = terminal.table(ended("qualified", "not_confirmed"), PAGE)
    assert "not on test" in not_confirmed
    assert "similarity on test falls short" in " ".join(not_confirmed.split())
    not_qualified = terminal.table(ended("max_rounds", "not_qualified"), PAGE)
    assert "similarity on dev falls short" in " ".join(not_qualified.split())


def test_a_round_that_met_the_gate_too_early_is_not_said_to_have_missed_it() -> None:
    early = ended("no_service", "not_qualified").model_copy(
        update={"rounds": (a_round(0, 62.0),), "best": 0}
    )
    first = " ".join(terminal.table(early, PAGE).split("\n  ")[0].split())
    assert "met gate demo on dev, but no round did once min_rounds" in first
    assert "was not met" not in first


def test_no_service_names_the_config_to_switch_to(tmp_path: Path) -> None:
    outcome = ended("no_service", "not_qualified")
    for text in (terminal.table(outcome, PAGE), page_of(outcome, tmp_path).words):
        said = " ".join(text.split())
        assert "service=<your service>" in said
        assert "only for the shipped data" in said
        assert "no answer to the request for row-1" in said


def test_near_copies_across_the_splits_are_told_wherever_scores_are_read(tmp_path: Path) -> None:
    told = "3 of the 40 prompts of dev and test are near copies of training prompts"
    card = OUTCOME.card.model_copy(update={"near_copies": 3})
    outcome = OUTCOME.model_copy(update={"card": card})
    assert told in " ".join(terminal.table(outcome, PAGE).split())
    assert page_of(outcome, tmp_path).words.count(told) == 2
    assert "near copies" not in terminal.table(OUTCOME, PAGE)


def test_missing_service_scores_read_missing_and_never_zero(tmp_path: Path) -> None:
    gone = SystemFacts(role="service", name="service", scores=None, over_base={}, prompts=())
    others = tuple(s for s in OUTCOME.systems if s.role != "service")
    cost = COST.model_copy(update={"service_usd_per_1000": None, "local_seconds_per_1000": None})
    outcome = but(
        systems=(*others, gone), cost=cost, examples=(an_example(service=an_answer(None)),)
    )
    text = terminal.table(outcome, PAGE)
    line = row(text, "service ")
    assert line.split() == ["service", "missing", "missing", "–", "–"]
    assert "service not known; local not known" in text
    page = write_page(outcome, tmp_path).read_text(encoding="utf-8")
    cells = page.partition('<tr class="service">')[2].partition("</tr>")[0]
    assert cells.count("missing") == 2
    assert not re.search(r"\d", Reader(cells).words)
    assert "service, second answer missing" in Reader(page).words


def test_an_answer_that_was_not_judged_says_why_and_has_no_score(tmp_path: Path) -> None:
    example = an_example(service=an_answer("", reason="the judge gave up"))
    page = page_of(but(examples=(example,)), tmp_path)
    assert "service, second answer no text not judged judge: the judge gave up" in page.words


def test_one_prompt_gives_a_mean_and_no_interval(tmp_path: Path) -> None:
    alone = SystemFacts(
        role="tuned", name="tuned", scores=scores(61.3, None), over_base={}, prompts=()
    )
    outcome = but(systems=(alone, *(s for s in OUTCOME.systems if s.role != "tuned")))
    assert row(terminal.table(outcome, PAGE), "tuned").split() == [
        "tuned", "61.3", "61.3", "61/23", "–",
    ]  # fmt: skip
    assert "None" not in page_of(outcome, tmp_path).words


def test_simulated_money_is_never_shown_as_spent(tmp_path: Path) -> None:
    text = " ".join(terminal.table(OUTCOME, PAGE).split())
    assert "$0 spent, $0.043 simulated" in text
    assert "service $0.54 simulated" in text
    words = page_of(OUTCOME, tmp_path).words
    assert (
        "dollars spent $0 $0 simulated dollars (nominal price; charged to nobody) $0.043" in words
    )
    for said in (text, words.replace("to nobody) $0.043 $0.043", "")):
        for found in re.finditer(r"\$0\.\d+", said):
            assert said[found.end() :].startswith(" simulated"), said[found.start() - 40 :][:80]


def test_real_and_unknown_money(tmp_path: Path) -> None:
    bill = Bill(calls=3, usd=Decimal("12.5"))
    real = COST.model_copy(update={"spent": bill, "embodied": bill, "simulated": False})
    text = terminal.table(but(cost=real), PAGE)
    assert "3 calls, $12.50 spent" in text
    assert "simulated" not in text
    unknown = Bill(calls=3, usd=None)
    cost = real.model_copy(update={"spent": unknown, "embodied": unknown})
    said = row(terminal.table(but(cost=cost), PAGE), "service LLM")
    assert "not known" in said
    assert "$" not in said
    assert "dollars spent not known not known" in page_of(but(cost=cost), tmp_path).words


def test_local_dollars_are_asked_for_or_given() -> None:
    assert "local.usd_per_hour" in terminal.table(OUTCOME, PAGE)
    known = but(cost=COST.model_copy(update={"local_usd_per_1000": Decimal("1.75")}))
    assert "local.usd_per_hour" not in terminal.table(known, PAGE)
    assert "$1.75" in terminal.table(known, PAGE)


def test_gate_and_judge_are_named_for_what_they_are(tmp_path: Path) -> None:
    note = "shows the mechanism, not a standard to switch a service off by"
    for said in (terminal.table(OUTCOME, PAGE), page_of(OUTCOME, tmp_path).words):
        assert note in said
        assert "mbedding judge: not an LLM judge" in said
    other = but(gate="relative", judge="gpt_4o 2", judge_is_llm=True)
    for said in (terminal.table(other, PAGE), page_of(other, tmp_path).words):
        assert note not in said
        assert "relative" in said
        assert "not an LLM judge" not in said
        assert "No LLM read" not in said


def test_a_copy_that_does_as_well_as_tuned_is_pointed_out() -> None:
    assert "no lower than tuned" not in terminal.table(OUTCOME, PAGE)
    parrot = a_system("copy", "whole prompt", 64.0)
    text = terminal.table(but(systems=(*OUTCOME.systems[:-1], parrot)), PAGE)
    assert "whole prompt: a plain copy scores no lower than tuned" in text


def test_terminal_and_page_give_the_same_figures(tmp_path: Path) -> None:
    text, words = terminal.table(OUTCOME, PAGE), page_of(OUTCOME, tmp_path).words
    for figure in ("61.3 [57.3, 65.3]", "+21.3 [+17.3, +25.3]", "78.0 [74.0, 82.0]"):
        assert figure in text
        assert figure in words
    assert str(PAGE) in text
    assert "dev similarity 55.0, 62.0" in text


def test_escape_sequences_of_others_do_not_reach_the_terminal() -> None:
    outcome = ended("no_service", "not_qualified").model_copy(
        update={"stop_words": "cause: \x1b[2J\x07gone\nstop          qualified"}
    )
    text = terminal.table(outcome, PAGE)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert len(re.findall(r"^stop ", text, re.M)) == 1


HOSTILE = [
    "<script>alert(1)</script>",
    "</p></section></body><img src=x onerror=alert(1)>",
    "\"'><svg onload=alert(1)>",
    "{{ outcome.run_id }} {% raw %} <!-- &lt;b&gt; &amp;",
    "# title\n\n**bold** [link](javascript:alert(1)) `code`",
    "ħéłłø 漢字 \U0001f999 \u202egnorw ot thgir\u202c \u2028 é",
    "Donaudampfschiff" * 300,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_shown_and_do_nothing(text: str, tmp_path: Path) -> None:
    plain = page_of(OUTCOME, tmp_path)
    everywhere = but(
        stop="budget",
        result="not_qualified",
        rounds=(a_round(0, 5.0), a_round(1, 9.0, passed=False)),
        stop_words=text,
        command=text,
        examples=(
            an_example(
                prompt_id=text,
                prompt=text,
                reference=text,
                base=an_answer(text, 1.0, 2.0, reason=text),
                tuned=an_answer(text, 3.0, 4.0, reason=text),
                service=an_answer(text, reason=text),
            ),
        ),
        stages=(a_stage(text, label=text, other_versions={text: text}),),
        config={"task": {"topic": text}, text: text},
        identities={"local": {text: text}},
        versions={text: text},
        card=OUTCOME.card.model_copy(update={"note": text, "source": text, "system": text}),
        systems=(*OUTCOME.systems[:-1], a_system("copy", text, 44.0)),
    )
    page = page_of(everywhere, tmp_path)
    shown = [found for found in page.texts if text in found]
    assert len(shown) >= 20
    assert not set(page.tags) - set(plain.tags) - {"pre"}
    assert {name for name, _ in page.attributes} <= {name for name, _ in plain.attributes}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_any_answer_comes_back_from_the_page_as_it_was(text: str, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("report")
    example = an_example(tuned=an_answer(text, 1.0, 2.0))
    page = write_page(but(examples=(example,)), folder).read_bytes().decode()
    assert text in Reader(page).texts


def test_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    page = page_of(OUTCOME, tmp_path)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not {"src", "srcset", "data", "xlink:href"} & {name for name, _ in page.attributes}
    assert all(value.startswith("#") for name, value in page.attributes if name == "href")
    assert not any("//" in value for _, value in page.attributes)
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert "url(" not in page.words
    assert "@import" not in page.words


def test_json_beside_the_page_is_the_outcome(tmp_path: Path) -> None:
    outcome = but(examples=(an_example(prompt=HOSTILE[0]), an_example(tuned=an_answer(HOSTILE[5]))))
    page = write_page(outcome, tmp_path / "new" / "folder")
    assert page == tmp_path / "new" / "folder" / "summarize-0123abcd" / "report.html"
    stored = page.with_name("outcome.json").read_text(encoding="utf-8")
    assert Outcome.model_validate_json(stored) == outcome
    assert len(list(page.parent.iterdir())) == 2


@pytest.mark.parametrize("name", ["../../up", "a/b", "/abs", "x" * 400, "v1.5 of it"])
def test_a_name_cannot_lead_out_of_the_folder(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    page = write_page(but(name=name), folder)
    assert page.parent.parent == folder
    assert page.exists()
    assert page.with_name("outcome.json").exists()


def test_round_without_scores_leaves_a_gap_not_a_zero(tmp_path: Path) -> None:
    failed = a_round(1, 0.0).model_copy(update={"scores": None, "losses": ()})
    outcome = but(rounds=(OUTCOME.rounds[0], failed, a_round(2, 62.0)), best=2)
    chart = charts.by_round(outcome, "similarity")
    assert chart is not None
    assert len(chart.lines[0].marks) == 2
    assert len(chart.x) == 3
    assert "dev similarity 55.0, –, 62.0" in terminal.table(outcome, PAGE)
    assert "1 80 7,000 missing missing" in page_of(outcome, tmp_path).words


def test_losses_that_are_no_numbers_or_not_there(tmp_path: Path) -> None:
    diverged = a_round(0, 5.0).model_copy(update={"losses": ((1, 3.0), (2, float("nan")))})
    chart = charts.losses(but(rounds=(diverged,), best=0))
    assert chart is not None
    assert len(chart.lines[0].marks) == 1
    silent = a_round(0, 5.0).model_copy(update={"losses": ()})
    outcome = but(rounds=(silent,), best=0)
    assert charts.losses(outcome) is None
    assert "No training loss was recorded" in page_of(outcome, tmp_path).words


def test_reproduction_gives_seed_run_and_command(tmp_path: Path) -> None:
    words = page_of(OUTCOME, tmp_path).words
    assert "Seed 42" in words
    assert "0123abcd4567" in words
    command = "python -m llamaduo +experiment=summarize seed=42"
    assert command in page_of(but(command=command), tmp_path).words


def test_examples_run_from_the_largest_gain_and_from_the_largest_loss(tmp_path: Path) -> None:
    gains = (30.0, 20.0, 10.0, -1.0, -5.0, -9.0)
    shown = tuple(an_example(prompt=f"prompt {gain}", gain=gain) for gain in gains)
    words = page_of(but(examples=shown), tmp_path).words
    at = [words.index(f"prompt {gain}") for gain in (30.0, 20.0, 10.0, -9.0, -5.0, -1.0)]
    assert at == sorted(at)
    assert at[2] < words.index("Biggest losses") < at[3]
    assert words.index("Biggest gains") < at[0]
    assert "-9.0" in words
    assert "+30.0" in words


@pytest.mark.parametrize(
    ("gains", "titles"),
    [
        ((9.0, 8.0, 3.0, 2.0), ["Biggest gains", "Smallest gains"]),
        ((9.0, 8.0, 3.0, -2.0), ["Biggest gains", "Biggest losses and smallest gains"]),
        ((-1.0, -2.0, -3.0), ["Smallest losses", "Biggest losses"]),
        ((4.0,), ["Biggest gains"]),
        ((), []),
    ],
)
def test_examples_are_called_what_they_are(gains: tuple[float, ...], titles: list[str]) -> None:
    shown = tuple(an_example(gain=gain) for gain in gains)
    halves = report_words.best_and_worst(but(examples=shown))
    assert [title for title, _ in halves] == titles
    assert sorted(e.gain for _, half in halves for e in half) == sorted(gains)


def test_an_example_has_answers_scores_and_what_the_judge_said(tmp_path: Path) -> None:
    example = an_example(
        base=an_answer("Depot depot.", 40.0, 41.0, reason="repeats itself"),
        tuned=an_answer("Ring the depot.", 61.5, 70.5, reason="noon is missing"),
    )
    page = page_of(but(examples=(example,)), tmp_path)
    assert page.tags.count("details") == 2  # the other one is the configuration
    for text in (
        "Ring the depot before noon.",
        "recorded answer (reference) Ring before noon.",
        "base Depot depot. similarity 40.0 · precision 41.0 judge: repeats itself",
        "tuned Ring the depot. similarity 61.5 · precision 70.5 judge: noon is missing",
        "service, second answer Call before noon. similarity 80.0 · precision 90.0",
    ):
        assert text in page.words


def test_verdict_and_figures_come_first(tmp_path: Path) -> None:
    body = page_of(OUTCOME, tmp_path).words.partition("Scores on test")[0]
    assert "Qualified: smollm2_135m met gate demo on dev (round 1) and on test." in body
    assert "On 20 test prompts the tuned smollm2_135m scores 61.3 in similarity" in body
    assert "untuned it scores 40.0" in body
    assert "asked a second time, scores 78.0" in body
    assert "not an LLM judge" in body


def test_summary_without_the_service_claims_no_figure_for_it() -> None:
    gone = SystemFacts(role="service", name="service", scores=None, over_base={}, prompts=())
    others = tuple(s for s in OUTCOME.systems if s.role != "service")
    text = report_words.summary(but(systems=(*others, gone)))
    assert text.endswith("scores nothing: it gave no second answer that could be judged.")


def test_demo_ratio_says_where_it_comes_from(tmp_path: Path) -> None:
    page = page_of(OUTCOME, tmp_path).words
    assert "demo ratio 70%" in page
    assert "seeds 101, 102 and 103" in page
    assert "seeds 101" not in page_of(but(gate="relative"), tmp_path).words


def test_unknown_cost_is_said_wherever_cost_is(tmp_path: Path) -> None:
    unknown = Bill(calls=3, input_tokens=10, output_tokens=5, usd=None)
    cost = COST.model_copy(
        update={"spent": unknown, "embodied": unknown, "service_usd_per_1000": None}
    )
    rounds = tuple(one.model_copy(update={"bill": unknown}) for one in OUTCOME.rounds)
    stages = (a_stage("answer", bill=unknown),)
    words = page_of(but(cost=cost, rounds=rounds, stages=stages), tmp_path).words
    assert "$" not in words
    assert words.count("3 calls, real cost not known") == 1 + 2 + 1 + 1  # head, rounds, stage, all
    assert "dollars spent not known not known" in words
    assert "service LLM not known" in words


def test_stages_show_tokens_and_which_were_reused(tmp_path: Path) -> None:
    stages = (
        a_stage("finetune", reused=True, tokens={"trained on": 7764}, seconds=70.0),
        a_stage("infer", round=1, label="tuned · dev", tokens={"written": 4303}),
        a_stage("dedup"),
    )
    words = page_of(but(stages=stages), tmp_path).words
    assert "finetune 1 min 10 s 7,764 trained on – reused 2026-01-02 03:04 f1f1finetune" in words
    assert (
        "infer round 1 · tuned · dev 9.0 s 4,303 written – made 2026-01-02 03:04 f1f1infer" in words
    )
    assert "dedup 9.0 s – – made 2026-01-02 03:04 f1f1dedup" in words
    assert "14,000 trained on" in words  # both rounds together


def test_other_versions_of_reused_stages_are_reported_once_each(tmp_path: Path) -> None:
    other = {"torch": "2.12.0", "trl": "1.0"}
    stages = tuple(a_stage(n, reused=True, other_versions=other) for n in ("infer", "infer", "a"))
    words = page_of(but(stages=stages), tmp_path).words
    assert "Made with torch 2.12.0, now 2.13.0: infer, a." in words
    assert "Made with trl 1.0, now not installed: infer, a." in words
    assert "Made with" not in page_of(OUTCOME, tmp_path).words


def test_configuration_versions_and_hashes_are_there(tmp_path: Path) -> None:
    page = page_of(OUTCOME, tmp_path)
    lines = "".join(page.texts).splitlines()
    assert {"seed=42", "gate.ratio=0.7", "task.topic=<short> texts"} <= set(lines)
    for text in ("python 3.11.9, torch 2.13.0", "local.weights.sha256 beef01", "sha256 c0ffee"):
        assert text in page.words


def test_every_link_leads_to_a_section_and_every_chart_has_words(tmp_path: Path) -> None:
    page = page_of(OUTCOME, tmp_path)
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = [value for name, value in page.attributes if name == "href"]
    assert links
    assert {link.removeprefix("#") for link in links} <= set(ids)
    labels = [value.split() for name, value in page.attributes if name == "aria-labelledby"]
    assert len(labels) == 2 + 1 + 2 + 2
    assert {one for pair in labels for one in pair} <= set(ids)
    assert page.tags.count("desc") == len(labels)
    assert "round 0: 55.0 [51.0, 59.0]; round 1: 62.0 [58.0, 66.0]; the service's" in page.words


def test_every_table_scrolls_in_a_box_of_its_own(tmp_path: Path) -> None:
    page = write_page(OUTCOME, tmp_path).read_text(encoding="utf-8")
    for before in page.split("<table>")[:-1]:
        assert before.rstrip().splitlines()[-1].startswith('<div class="scroll"')


def test_no_answer_judged_leaves_no_chart_and_no_examples(tmp_path: Path) -> None:
    bare = tuple(
        s.model_copy(update={"scores": None, "prompts": (), "over_base": {}})
        for s in OUTCOME.systems
    )
    rounds = tuple(one.model_copy(update={"scores": None, "losses": ()}) for one in OUTCOME.rounds)
    outcome = but(systems=bare, rounds=rounds, examples=(), yardstick=None, stages=())
    page = page_of(outcome, tmp_path)
    assert "figure" not in page.tags
    assert "There are no examples to show" in page.words
    assert "scores nothing that could be judged" in page.words


def test_spread_tells_prompts_from_sampling() -> None:
    system = a_system("tuned", "tuned", 60.0).model_copy(
        update={
            "prompts": (
                PromptScores(prompt_id="a", similarity=(40.0, 40.0), precision=(1.0,)),
                PromptScores(prompt_id="b", similarity=(60.0, 60.0), precision=(1.0,)),
            )
        }
    )
    assert report_words.spread(system, "similarity") == ("14.1", "0.0")
    assert report_words.spread(system, "precision") == ("0.0", "–")
    alone = system.model_copy(update={"prompts": system.prompts[:1]})
    assert report_words.spread(alone, "similarity") == ("–", "0.0")
