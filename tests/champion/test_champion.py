import logging
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llamaduo.base.errors import RegistryError
from llamaduo.champion import Answerer, RequestError
from llamaduo.local.fake import VERSION
from llamaduo.testing.bundle import ask, bundle, text_of

TEXT = " ".join(f"w{i}" for i in range(40))


@pytest.fixture
def champion(tmp_path: Path) -> Answerer:
    return Answerer(bundle(tmp_path / "bundle", words=30))


def test_an_answer_has_the_openai_chat_form(champion):
    completion = champion(ask("a b c d", max_tokens=2))
    assert completion.pop("id").startswith("chatcmpl-")
    assert completion.pop("created") > 1_600_000_000
    assert completion == {
        "object": "chat.completion",
        "model": "summarize-fake",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "a b"},
                "finish_reason": "length",
            }
        ],
        "usage": {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6},
    }


def test_ids_differ_between_answers(champion):
    assert champion(ask("a"))["id"] != champion(ask("a"))["id"]


def test_greedy_unless_a_temperature_is_asked_for(champion):
    assert text_of(champion(ask(TEXT))) == " ".join(TEXT.split()[:30])
    assert "erm" in text_of(champion(ask(TEXT, temperature=0.4)))


def test_a_sampled_answer_is_the_same_until_the_seed_changes(champion):
    first = text_of(champion(ask(TEXT, temperature=1)))
    assert text_of(champion(ask(TEXT, temperature=1))) == first
    assert text_of(champion(ask(TEXT, temperature=1, seed=7))) == first  # the bundle's own
    assert text_of(champion(ask(TEXT, temperature=1, seed=8))) != first


def test_the_length_is_the_bundles_unless_asked_for(tmp_path):
    champion = Answerer(bundle(tmp_path / "b", words=30, max_new_tokens=3))
    assert text_of(champion(ask("a b c d e"))) == "a b c"
    assert text_of(champion(ask("a b c d e", max_tokens=1))) == "a"
    assert text_of(champion(ask("a b c d e", max_completion_tokens=4))) == "a b c d"


def test_the_system_message_of_training_is_put_before_a_request_that_brings_none(tmp_path):
    """The fake's stumbles depend on the whole prompt, so they show which one it was given."""

    def answer(home: str, system: str | None, *messages: tuple[str, str]) -> str:
        champion = Answerer(bundle(tmp_path / home, words=30, system=system))
        turns = [{"role": role, "content": content} for role, content in messages]
        return text_of(champion({"messages": turns, "temperature": 1}))

    user = ("user", TEXT)
    trained = answer("a", "Be brief.", user)
    assert trained == answer("b", "Be brief.", ("system", "Be brief."), user)
    assert trained == answer("c", None, ("system", "Be brief."), user)
    assert trained != answer("d", "Be brief.", ("system", "Be long."), user)
    assert trained != answer("e", None, user)


@given(
    requests=st.lists(
        st.builds(
            ask,
            st.sampled_from(["a b c d", "e f g", TEXT]),
            max_tokens=st.sampled_from([1, 3, None]),
            temperature=st.sampled_from([None, 0, 0.7]),
            top_p=st.sampled_from([None, 0.9]),
            seed=st.sampled_from([None, 1]),
        ),
        max_size=8,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_many_requests_get_the_answers_that_each_gets_alone(champion, requests):
    together = [text_of(completion) for completion in champion.answer(requests)]
    assert together == [text_of(champion(request)) for request in requests]


@pytest.mark.parametrize(
    ("request_", "fault"),
    [
        ({}, "messages: Field required"),
        ({"messages": []}, "messages: the last one is missing"),
        ({"messages": [{"role": "bot", "content": "a"}]}, "messages.0.role: .*'user'"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "the last one is assistant"),
        (ask("a", max_tokens=0), "max_tokens: .*greater than or equal to 1"),
        (ask("a", temperature=-1), "temperature: "),
        (ask("a", top_p=0), "top_p: "),
        (ask("a", n=2), "n=2"),
        (ask("a", stream=True), "stream=true"),
        (ask("a", stop=["."]), "stop="),
        ("hello", "dictionary"),
    ],
)
def test_a_request_that_cannot_be_answered_is_told_why(champion, request_, fault):
    with pytest.raises(RequestError, match=fault) as error:
        champion(request_)
    assert "\n" not in str(error.value)


def test_fields_that_change_nothing_are_ignored(champion):
    assert text_of(champion(ask("a b", model="gpt-4o", user="me", n=1, stream=False))) == "a b"


def test_other_base_weights_are_refused(tmp_path):
    made_for = {"kind": "fake", "name": "fake", "version": 1, "weights": {"sha256": "abc"}}
    with pytest.raises(RegistryError, match=r"weights\.sha256 abc, here they have None.*restore"):
        Answerer(bundle(tmp_path / "b", identity=made_for))


def test_other_conditions_are_told_and_answered_under(tmp_path, caplog):
    judged = {"kind": "fake", "name": "fake", "version": 0}
    with caplog.at_level(logging.WARNING, logger="llamaduo"):
        champion = Answerer(bundle(tmp_path / "b", identity=judged))
    assert f"version 0 -> {VERSION}" in caplog.text
    assert text_of(champion(ask("a"))) == "a"


@pytest.mark.parametrize("content", [None, "{}", "no JSON"])
def test_a_folder_without_a_readable_bundle_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "champion.json").write_text(content)
    with pytest.raises(RegistryError, match=rf"{tmp_path}: no champion.*promote the model again"):
        Answerer(tmp_path)
