"""What transports send, when they refuse to, and that they can be used again."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.calls import FORM, KINDS, VARIABLE, config, request, sent, serving, transport_of
from support.faulty import KEY, Faulty, Seen, each

from llamaduo.base.errors import ConfigError, ServiceError
from llamaduo.intake.answers import Rejection, Reply


@pytest.fixture(scope="module")
def server() -> Iterator[Faulty]:
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    monkeypatch.chdir(tmp_path)  # where no `.env` is


@pytest.mark.parametrize("kind", KINDS)
class TestBoth:
    def test_it_sends_what_it_was_told_and_no_more(self, kind: str, server: Faulty) -> None:
        server.script = each("ok")
        told = config(
            kind, server.url, temperature=0.25, top_p=0.5, extra={"reasoning_effort": "low"}
        )
        told = told.model_copy(update={"extra": {"stop": ["END"]}})
        text = f"what is sent by {kind}"
        sent(told, request(text, sample=3), request(text, form=FORM))
        plain, formed = (seen for seen in server.seen if seen.text == text)
        body = {key: value for key, value in plain.body.items() if key != "extra_body"}
        assert body == {
            "model": "tiny",
            "messages": [{"role": "user", "content": text}],
            "max_tokens": 64,
            "temperature": 0.25,
            "top_p": 0.5,
            "stop": ["END"],
        }
        assert plain.headers["Authorization"] == f"Bearer {KEY}"
        wanted = {"name": "pair", "schema": FORM.json_schema, "strict": True}
        assert formed.body["response_format"] == {"type": "json_schema", "json_schema": wanted}

    @pytest.mark.parametrize(
        ("form", "expected"), [("json_object", {"type": "json_object"}), ("words", None)]
    )
    def test_the_form_is_asked_for_as_configured(
        self, kind: str, form: str, expected: Any, server: Faulty
    ) -> None:
        server.script = each("ok")
        sent(config(kind, server.url, form=form), request(f"form {kind} {form}", form=FORM))
        assert server.seen[-1].body.get("response_format") == expected

    def test_a_missing_key_is_named_before_any_call(
        self, kind: str, server: Faulty, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv(VARIABLE)
        with pytest.raises(ServiceError, match=f"{VARIABLE} not set"):
            sent(config(kind, server.url), request(f"no key {kind}"))
        assert server.count(f"no key {kind}") == 0

    def test_the_key_may_be_in_a_file_and_does_not_get_into_the_environment(
        self, kind: str, server: Faulty, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        server.script = each("ok")
        monkeypatch.delenv(VARIABLE)
        (tmp_path / ".env").write_text(f'OTHER=x\n{VARIABLE}="sk-from$file"\n', encoding="utf-8")
        sent(config(kind, server.url), request("by file"))
        assert server.seen[-1].headers["Authorization"] == "Bearer sk-from$file"
        assert VARIABLE not in os.environ
        monkeypatch.setenv(VARIABLE, KEY)
        sent(config(kind, server.url), request("by both"))
        assert server.seen[-1].headers["Authorization"] == f"Bearer {KEY}"

    def test_no_key_is_needed_where_none_is_wanted(
        self, kind: str, server: Faulty, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "not-wanted-but-there")
        server.script = each("ok")
        (found,) = sent(config(kind, server.url, key_env=None), request(f"no key for {kind}"))
        assert isinstance(found, Reply)

    def test_a_transport_serves_one_loop_after_another(self, kind: str, server: Faulty) -> None:
        server.script = each("ok")
        told = config(kind, server.url)
        transport = transport_of(told)
        for _ in range(3):

            async def once() -> Reply:
                reply = await transport.send(request("again and again"))
                await transport.close()
                await transport.close()
                return reply

            assert asyncio.run(once()).text == "AGAIN AND AGAIN"

    def test_calls_run_at_the_same_time(self, kind: str, server: Faulty) -> None:
        meeting: list[Seen] = []

        def gather(seen: Seen) -> str:
            meeting.append(seen)
            return "hang"

        server.script = gather

        async def four() -> None:
            transport = transport_of(config(kind, server.url, patience=2.0))
            calls = (transport.send(request(f"at once {n}")) for n in range(4))
            found = await asyncio.gather(*calls, return_exceptions=True)
            await transport.close()
            assert all(isinstance(one, Rejection) and one.retry for one in found)

        asyncio.run(four())
        assert len(meeting) == 4
        assert max(s.time for s in meeting) - min(s.time for s in meeting) < 2

    def test_what_llamaduo_decides_cannot_be_set_beside_it(self, kind: str) -> None:
        for name in ("messages", "stream", "n", "response_format", "api_key"):
            with pytest.raises(ConfigError, match=f"service.extra.{name}"):
                transport_of(config(kind, "http://127.0.0.1:1/v1", extra={name: 1}))

    def test_a_model_of_no_provider_ends_before_any_call(self, kind: str, server: Faulty) -> None:
        told = config(kind, server.url, model="no-such-provider/tiny")
        server.script = each("wrong model")
        if kind == "litellm":
            with pytest.raises(ServiceError, match=r"service\.model=no-such-provider/tiny"):
                sent(told, request("whose model"))
            return
        (found,) = sent(told, request("whose model"))
        assert isinstance(found, Rejection)
        assert found.fatal

    def test_nobody_there_may_be_there_later(self, kind: str) -> None:
        (found,) = sent(config(kind, "http://127.0.0.1:1/v1"), request())
        assert isinstance(found, Rejection)
        assert found.retry
        assert not found.rate_limited
        assert not found.fatal


def test_litellm_without_any_key_says_where_to_name_one(
    server: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (found,) = sent(config("litellm", server.url, key_env=None), request("keyless"))
    assert isinstance(found, Rejection)
    assert found.fatal
    assert "service.key_env" in str(found)
    assert server.count("keyless") == 0


def test_a_parameter_that_the_model_lacks_is_said_and_not_dropped(server: Faulty) -> None:
    told = config("litellm", server.url, model="openai/o3-mini", temperature=0.3)
    (found,) = sent(told, request("lacking"))
    assert isinstance(found, Rejection)
    assert found.fatal
    assert "temperature" in str(found)
    assert "drop_params" not in str(found)
    assert server.count("lacking") == 0


def test_a_proxy_of_the_environment_is_used(server: Faulty, monkeypatch: Any) -> None:
    server.script = each("ok")
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    (found,) = sent(config("endpoint", "http://nobody.invalid/v1"), request("by proxy"))
    assert isinstance(found, Reply)
    assert server.seen[-1].headers["Host"] == "nobody.invalid"


@pytest.mark.parametrize("url", [None, "localhost:8000/v1", "ftp://host/v1", "http://"])
def test_an_endpoint_needs_a_url(url: str | None) -> None:
    with pytest.raises(ConfigError, match=r"service\.api_base"):
        transport_of(config("endpoint", url))


@pytest.mark.parametrize("key", ["two\nlines", "clé-secrète"])
def test_a_key_that_no_header_can_hold_is_refused(
    key: str, monkeypatch: Any, server: Faulty
) -> None:
    monkeypatch.setenv(VARIABLE, key)
    with pytest.raises(ServiceError, match=VARIABLE) as told:
        sent(config("endpoint", server.url), request("odd key"))
    assert key not in str(told.value)
