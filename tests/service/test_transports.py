"""Both transports against a server that fails in every way: what each failure comes back as."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.calls import HURRY, KINDS, PATIENCE, VARIABLE, config, request, sent, serving
from support.fails import BY_LITELLM, OUTCOMES, Fails
from support.faulty import FAULTS, INPUT_TOKENS, KEY, OUTPUT_TOKENS, Faulty

from llamaduo.intake.answers import Rejection, Reply


@pytest.fixture(scope="module")
def server() -> Iterator[Faulty]:
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    monkeypatch.chdir(tmp_path)  # where no `.env` is


ENDLESS = {"hang", "slow drip"}


def test_every_fault_has_an_expected_outcome() -> None:
    assert FAULTS.keys() == OUTCOMES.keys()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", OUTCOMES)
def test_a_fault_comes_back_as_what_it_means(
    kind: str, fault: str, server: Faulty, capfd: pytest.CaptureFixture[str]
) -> None:
    server.script = lambda seen: fault
    text = f"hello {kind} {fault}"
    told = config(kind, server.url, patience=HURRY if fault in ENDLESS else PATIENCE)
    expected = OUTCOMES[fault]
    if kind == "litellm":
        expected = BY_LITELLM.get(fault, expected)
    (found,) = sent(told, request(text))
    assert server.count(text) == 1, f"{found!r} a transport never retries by itself"
    assert capfd.readouterr() == ("", "")
    if isinstance(expected, Reply):
        assert isinstance(found, Reply), found
        assert found.text == expected.text.replace("HELLO", text.upper())
        assert (found.model, found.input_tokens, found.output_tokens) == (
            expected.model,
            expected.input_tokens,
            expected.output_tokens,
        )
        assert (found.cached_tokens, found.finish) == (expected.cached_tokens, expected.finish)
        return
    assert isinstance(found, Rejection)
    cause = str(found)
    told_apart = (found.retry, found.rate_limited, found.retry_after, found.fatal)
    assert told_apart == (
        expected.retry,
        expected.rate_limited,
        expected.retry_after,
        expected.fatal,
    ), cause
    assert expected.says in cause
    assert 0 < len(cause) < 600
    assert KEY not in cause
    assert (found.reply is not None) == expected.paid
    if found.reply is not None:
        assert (found.reply.input_tokens, found.reply.output_tokens) == (
            INPUT_TOKENS,
            OUTPUT_TOKENS,
        )


# The same status and headers have to be found again in what each provider's code makes of them.
PROVIDERS: dict[str, dict[str, Any]] = {
    "anthropic/claude-sonnet-5-5": {},
    "azure/deployment": {"extra": {"api_version": "2024-10-21"}},
    "bedrock/anthropic.claude-3-sonnet-20240229-v1:0": {
        "key_env": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION_NAME")
    },
    "gemini/gemini-3.8-flash": {},
    "openrouter/maker/model": {},
}
BY_ALL: tuple[str, ...] = (
    *("429 after", "500", "503", "529", "expired key", "bad request", "speaks of rate limits"),
    *("hang", "half a body", "invalid json", "wrong schema"),
)


@pytest.mark.parametrize("model", PROVIDERS)
def test_a_failure_means_the_same_by_every_provider(
    model: str, server: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA0000000000000000")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "0123456789" * 4)
    monkeypatch.setenv("AWS_REGION_NAME", "us-east-1")
    more = PROVIDERS[model]
    sent(config("litellm", server.url, model=model, **more), request("warm"))
    for fault in BY_ALL:
        server.script = lambda seen: fault  # noqa: B023  # called before the next
        before = len(server.seen)
        patience = HURRY if fault in ENDLESS else PATIENCE
        told = config("litellm", server.url, patience=patience, model=model, **more)
        (found,) = sent(told, request(f"{model} {fault}"))
        expected = OUTCOMES[fault]
        assert isinstance(found, Rejection), (fault, found)
        assert isinstance(expected, Fails)
        told_apart = (found.retry, found.rate_limited, found.retry_after, found.fatal)
        wanted = (expected.retry, expected.rate_limited, expected.retry_after, expected.fatal)
        assert told_apart == wanted, (fault, str(found))
        assert len(server.seen) - before == 1, fault
