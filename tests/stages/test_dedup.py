import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.experiments import composed, pair

from llamaduo.base.text import rouge_l
from llamaduo.records import Message, Pair, Prompt
from llamaduo.stages.dedup import decontaminate, distinct, near_copies

CONFIG = composed().synthesis.dedup
MINHASH = CONFIG.model_copy(update={"exact_up_to": 0})


def with_text(key: str, text: str, response: str = "short answer") -> Pair:
    prompt = Prompt(id=key, messages=(Message(role="user", content=text),))
    return Pair(prompt=prompt, response=response)


def copy_of(original: Pair, key: str, changed: int) -> Pair:
    words = original.prompt.user.split()
    words[:changed] = [f"other{i}" for i in range(changed)]
    return with_text(key, " ".join(words), original.response)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12), st.randoms())
def test_any_order_keeps_exactly_one_of_each_cluster(made, chance):
    rows = [copy_of(pair(n), f"{i}", changed) for i, (n, changed) in enumerate(made)]
    chance.shuffle(rows)
    kept = distinct([], rows, CONFIG)
    found = sorted(row.prompt.user.split()[-1] for row in kept)
    assert found == sorted({row.prompt.user.split()[-1] for row in rows})


def test_what_is_kept_already_stays_and_its_copies_go():
    pool = [pair(1), pair(2)]
    new = [copy_of(pair(1), "a", 2), pair(3), copy_of(pair(3), "b", 2)]
    assert [row.id for row in distinct(pool, new, CONFIG)] == ["p3"]


def test_a_chain_of_copies_is_one_cluster():
    base = pair(1, words=40)
    far = copy_of(base, "c", 18)
    middle = copy_of(base, "b", 9)
    assert rouge_l(base.prompt.user, far.prompt.user) < 0.7
    assert len(distinct([], [base, far, middle], CONFIG)) == 1


def test_rows_that_share_only_a_short_response_are_no_copies():
    rows = [with_text(str(i), pair(i).prompt.user, "positive") for i in range(5)]
    assert distinct([], rows, CONFIG) == rows


def test_the_same_words_in_another_order_are_no_copy():
    words = pair(1).prompt.user.split()
    rows = [with_text("a", " ".join(words)), with_text("b", " ".join(reversed(words)))]
    assert distinct([], rows, CONFIG) == rows


def test_a_prompt_close_to_a_held_out_one_is_left_out():
    held_out = [pair(i) for i in range(3)]
    new = [copy_of(pair(1), "leak", 3), pair(7), with_text("exact", pair(2).prompt.user, "other")]
    assert [row.id for row in decontaminate(new, held_out, CONFIG)] == ["p7"]


def test_a_copy_in_another_script_is_found():
    text = "Паром опоздал из-за тумана, и Анна вернёт деньги за билеты в понедельник утром"
    assert decontaminate([with_text("b", text + " же")], [with_text("a", text)], CONFIG) == []


@pytest.mark.parametrize(("config", "least"), [(CONFIG, 100), (MINHASH, 98)])
def test_planted_copies_are_found(config, least):
    """Of 100 copies with a tenth of their words changed, MinHash may miss a few, not more."""
    originals = [pair(i) for i in range(100)]
    copies = [copy_of(row, f"c{i}", 4) for i, row in enumerate(originals)]
    texts = [row.prompt.user for row in (*originals, *copies)]
    found = near_copies(texts, config)
    assert len(found) >= least
    assert all(j == i + 100 for i, j in found)
