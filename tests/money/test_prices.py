"""What a service charges: known and said where from, or an error before the first call."""

import json
from decimal import Decimal
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.experiments import composed

from llamaduo import cli
from llamaduo.base.errors import ConfigError
from llamaduo.config import ApiServiceConfig
from llamaduo.money import prices
from llamaduo.money.prices import line_name, price_of, quote
from llamaduo.records import Bill, Price

OPTIONS = sorted(path.stem for path in (cli.CONF / "service").glob("*.yaml"))
HOSTED = ("anthropic", "openai", "gemini", "bedrock", "vertex_ai")


def asked(*words: str):
    exp = composed(*words)
    assert isinstance(exp.service, ApiServiceConfig)
    return exp.service, exp.prices


@pytest.fixture
def a_map(monkeypatch):
    """A map of the form of litellm's, in which each trap occurs."""
    text = """{
        "odd-1": {"litellm_provider": "acme", "input_cost_per_token": 1.1e-06,
                  "output_cost_per_token": 2.75e-06, "cache_read_input_token_cost": 1e-07},
        "acme/odd-2": {"litellm_provider": "acme", "input_cost_per_token": 3e-08,
                       "output_cost_per_token": 0.00012},
        "free": {"litellm_provider": "acme", "input_cost_per_token": 0.0,
                 "output_cost_per_token": 0},
        "half": {"litellm_provider": "acme", "input_cost_per_token": 1e-06},
        "picture": {"litellm_provider": "acme", "output_cost_per_image": 0.04}
    }"""
    found = json.loads(text, parse_float=Decimal)
    monkeypatch.setattr(prices, "_litellm_map", lambda: found)


def test_the_users_own_price_wins_over_the_book_and_the_map():
    own = "service.price={input_usd: 7, output_usd: 8, simulated: false}"
    found = price_of(*asked("service=gpt_4o", own))
    assert (found.input_usd, found.output_usd) == (7, 8)


def test_the_book_wins_over_the_map():
    config, book = asked("service=gpt_4o")
    dearer = book["openai_gpt_4o"].model_copy(update={"input_usd": Decimal(99)})
    assert price_of(config, {**book, "openai_gpt_4o": dearer}).input_usd == 99
    assert price_of(config, {}).input_usd == Decimal("2.5")


def test_another_model_of_the_same_option_is_not_billed_at_the_options_price():
    assert price_of(*asked("service=gpt_4o")).output_usd == 10
    assert price_of(*asked("service=gpt_4o", "service.model=openai/gpt-5.6")).output_usd == 20


def test_a_line_may_be_named():
    words = ("service=azure", "service.model=azure/my-deployment")
    assert price_of(*asked(*words, "service.price=openai_gpt_4o")).output_usd == 10
    with pytest.raises(ConfigError, match=r"service.price=gpt_9: no price is known.*openai_gpt_4o"):
        price_of(*asked(*words, "service.price=gpt_9"))


@pytest.mark.parametrize(
    ("model", "figures"),
    [
        ("odd-1", ("1.1", "2.75", "0.1")),
        ("acme/odd-1", ("1.1", "2.75", "0.1")),
        ("acme/odd-2", ("0.03", "120", None)),
    ],
)
def test_the_map_is_read_to_the_last_digit(a_map, model, figures):
    config, _ = asked("service=openrouter", f"service.model={model}")
    found = price_of(config, {})
    told = (found.input_usd, found.output_usd, found.cached_input_usd)
    assert told == tuple(None if figure is None else Decimal(figure) for figure in figures)
    assert not found.simulated


@pytest.mark.parametrize(
    "model",
    ["unheard-of", "acme/unheard-of", "other/odd-1", "free", "acme/half", "picture", "acme/"],
)
def test_a_price_that_nobody_says_is_an_error_with_the_line_to_add(a_map, model):
    config, _ = asked("service=openrouter", f"service.model={model}")
    with pytest.raises(ConfigError) as caught:
        price_of(config, {})
    said = str(caught.value)
    assert f"(model {model}): no price is known" in said
    assert "'service.price={input_usd: IN, output_usd: OUT, simulated: false}'" in said
    assert f"{line_name(model)}: {{input_usd: IN" in said
    assert "\n" not in said


def test_the_line_that_the_error_proposes_mends_it():
    words = ["service=endpoint", "service.api_base=http://127.0.0.1:1/v1", "service.model=my/m-1.5"]
    with pytest.raises(ConfigError) as caught:
        price_of(*asked(*words))
    said = str(caught.value).replace("IN", "0.5").replace("OUT", "2").replace("WHERE", "mine")
    word = said.partition("Set '")[2].partition("'")[0]
    assert price_of(*asked(*words, word)).output_usd == 2
    line = said.rpartition("book.yaml: ")[2]
    name, _, facts = line.partition(": ")
    assert price_of(*asked(*words, f"+prices.{name}={facts}")).output_usd == 2


def test_an_endpoint_is_not_priced_by_what_its_model_costs_elsewhere():
    with pytest.raises(ConfigError, match="0 and 0 for a machine of your own"):
        price_of(*asked("service=endpoint", "service.model=gpt-4o"))


def test_a_machine_of_ones_own_costs_nothing_where_that_is_said():
    found = price_of(*asked("service=ollama"))
    assert found.of(10**6, 10**6) == 0
    assert not found.simulated


@pytest.mark.parametrize("option", OPTIONS)
def test_every_hosted_model_of_conf_is_in_the_book_with_its_source(option):
    exp = composed(f"service={option}")
    config = exp.service
    if not isinstance(config, ApiServiceConfig) or config.model.split("/")[0] not in HOSTED:
        return
    found = quote(config, exp.prices)
    assert found.source.startswith(f"price book, {line_name(config.model)}, 20")
    assert found.price.input_usd > 0
    assert not found.price.simulated


def test_the_book_says_what_its_source_says():
    """Where the litellm that a line names is the one that is installed, their figures agree."""
    version = f"litellm {metadata.version('litellm')}"
    exp = composed()
    mapped = prices._litellm_map()
    checked = 0
    for name, line in exp.prices.items():
        if version not in line.source:
            continue
        facts = mapped[line.source.rpartition(", ")[2]]
        checked += 1
        assert line.input_usd == facts["input_cost_per_token"] * 10**6, name
        assert line.output_usd == facts["output_cost_per_token"] * 10**6, name
        if line.cached_input_usd is not None:
            assert line.cached_input_usd == facts["cache_read_input_token_cost"] * 10**6, name
    assert checked == 0 or checked >= 10


def test_the_papers_price_of_gpt_4o():
    exp = composed("service=gpt_4o_2024_05")
    light = price_of(exp.service, exp.prices).of(10_000_000, 1_000_000)
    assert light == 65  # dollars a day, the paper's Table 2


def test_litellm_is_read_and_not_imported(monkeypatch):
    import subprocess
    import sys

    script = (
        "import sys\nfrom llamaduo.money import prices\n"
        "print(len(prices._litellm_map()) > 1000, 'litellm' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["True", "False"]


USD = st.decimals(min_value=0, max_value=1000, places=4)
TOKENS = st.integers(min_value=0, max_value=10**7)


@given(USD, USD, USD, TOKENS, TOKENS, TOKENS)
def test_cached_tokens_are_charged_at_their_own_price(fresh, cached, out, a, b, c):
    price = Price(input_usd=fresh, output_usd=out, cached_input_usd=cached, simulated=False)
    both = price.of(a + b, c, cached_tokens=b)
    assert both * 10**6 == a * fresh + b * cached + c * out
    plain = price.model_copy(update={"cached_input_usd": None})
    assert plain.of(a + b, c, cached_tokens=b) == plain.of(a + b, c)
    assert Bill.call(a + b, c, price, cached_tokens=b).usd == both


def test_no_name_of_a_line_has_a_dot():
    text = Path(cli.CONF / "prices" / "book.yaml").read_text(encoding="utf-8")
    names = [line.split(":")[0] for line in text.splitlines() if not line.startswith("#")]
    assert all(name == line_name(name) for name in names)
