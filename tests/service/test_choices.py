"""What conf/service offers: whom it asks, with which key, and what it says of a retired model."""

import datetime

import pytest
from support.experiments import composed

from llamaduo import cli
from llamaduo import service as services
from llamaduo.base.errors import ConfigError
from llamaduo.config import ApiServiceConfig
from llamaduo.service.recorder import Recorder

OPTIONS = sorted(path.stem for path in (cli.CONF / "service").glob("*.yaml"))
KEYS = {
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "gemini": "GEMINI_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "azure": ("AZURE_API_KEY", "AZURE_API_BASE"),
    "bedrock": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION_NAME"),
    "vertex_ai": ("GOOGLE_APPLICATION_CREDENTIALS", "VERTEXAI_PROJECT", "VERTEXAI_LOCATION"),
}
RETIRED = ("gpt_4o_2024_05", "claude_3_sonnet", "claude_3_sonnet_bedrock", "gemini_15_flash")


def chosen(*words: str) -> tuple[ApiServiceConfig, services.ServiceContext]:
    exp = composed(*words)
    assert isinstance(exp.service, ApiServiceConfig)
    return exp.service, services.ServiceContext.of(exp.tracking.home, exp.prices, exp.budget)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_has_its_own_name_and_its_providers_key(option):
    config = composed(f"service={option}").service
    assert config.name == option
    if isinstance(config, ApiServiceConfig) and config.kind == "litellm":
        assert config.key_env == KEYS[config.model.split("/")[0]]
        assert config.api_base is None
        assert config.runtime.limits.concurrency <= 16
    if isinstance(config, ApiServiceConfig):
        rates = config.runtime.limits.model_dump(exclude={"concurrency"})
        assert set(rates.values()) == {None}, "a tier's rates are the user's to say"


def test_what_the_paper_used_is_there_and_marked_as_retired():
    for option in OPTIONS:
        config = composed(f"service={option}").service
        retired = getattr(config, "retired", None)
        assert (retired is not None) == (option in RETIRED)
        if retired is not None:
            assert datetime.date.fromisoformat(retired) < datetime.date.today()


def test_a_retired_model_is_built_with_one_line_of_warning(capfd):
    services.build(*chosen("service=gpt_4o_2024_05"))
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "service=gpt_4o_2024_05: its provider retired openai/gpt-4o-2024-05-13" in said
    services.build(*chosen("service=gpt_4o"))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("option", ["endpoint", "azure", "openrouter"])
def test_what_only_the_user_can_say_is_asked_for(option):
    own = "service.price={input_usd: 1, output_usd: 1, simulated: false}"
    with pytest.raises(ConfigError, match=f"service={option} leaves it to you to set service"):
        services.build(*chosen(f"service={option}", own))


def test_a_service_without_a_price_is_not_built(tmp_path):
    base = "service.api_base=http://127.0.0.1:1/v1"
    with pytest.raises(ConfigError, match="no price is known"):
        services.build(*chosen("service=endpoint", base))


def test_what_is_to_be_recorded_is_recorded(tmp_path):
    built = services.build(*chosen("service=gpt_4o", f"service.record={tmp_path / 'r'}"))
    assert isinstance(built, Recorder)
    plain = services.build(*chosen("service=gpt_4o"))
    assert (built.name, built.price, built.identity) == (plain.name, plain.price, plain.identity)


def test_the_judges_client_is_any_of_them():
    exp = composed("judge=llm", "service@judge.client=claude_opus_5_5")
    assert exp.judge.client == composed("service=claude_opus_5_5").service


@pytest.mark.parametrize(
    "words",
    [
        "+service.extra={api_key: planted}",
        "+service.extra={headers: {Authorization: Bearer 0123456789abc}}",
        "service.api_base=https://me:planted@host.invalid/v1",
    ],
)
def test_no_configuration_holds_a_key(words):
    with pytest.raises(ValueError, match="a secret in") as caught:
        composed("service=gpt_4o", words.replace("+service.extra=", "++service.extra="))
    assert "name the environment variable that holds it in key_env" in str(caught.value)


def test_litellm_knows_the_provider_of_every_model_and_whether_it_takes_a_schema():
    import litellm

    for option in OPTIONS:
        config = composed(f"service={option}").service
        if not isinstance(config, ApiServiceConfig) or config.kind != "litellm":
            continue
        prefix, _, bare = config.model.partition("/")
        if "<" not in bare and config.retired is None:
            assert litellm.get_llm_provider(config.model)[:2] == (bare, prefix), option
            takes = litellm.supports_response_schema(model=config.model)
            assert takes == (config.form == "json_schema"), option
