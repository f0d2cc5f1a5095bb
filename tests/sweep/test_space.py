"""What Hydra's grammar means as a space, and that a value goes back as it came."""

import json
import string

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from llamaduo.base.errors import ConfigError
from llamaduo.sweep.space import Param, parse

READER = OverridesParser.create()
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"))
    | st.sampled_from("'\\\",[]{}:= "),
    min_size=1,
    max_size=12,
)
PLAIN = (
    st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.none()
)
NESTED = st.lists(st.text(string.ascii_lowercase, min_size=1), max_size=3)


def spelled(value):
    if isinstance(value, str):
        return QuotedString(value, Quote.single).with_quotes()
    if isinstance(value, list):
        return "[" + ",".join(map(spelled, value)) + "]"
    return json.dumps(value)


def read(word):
    return READER.parse_override(word).value()


def choices(param: Param) -> tuple[object, ...]:
    assert isinstance(param.distribution, CategoricalDistribution)
    return param.distribution.choices


def test_nothing_is_an_option_like_any_other():
    [param] = parse({"x": "choice(null,5)"}, []).params.values()
    assert [read(param.override(one)) for one in choices(param)] == [None, 5]


@given(st.lists(TEXTS | PLAIN | NESTED, min_size=2, max_size=6, unique_by=lambda v: spelled(v)))
def test_every_option_of_a_choice_comes_back_as_it_was_given(values):
    line = "choice(" + ",".join(map(spelled, values)) + ")"
    [param] = parse({"hparams.x": line}, []).params.values()
    assert len(choices(param)) == len(values)
    for choice, value in zip(choices(param), values, strict=True):
        key, _, _ = (word := param.override(choice)).partition("=")
        assert key == "hparams.x"
        back = read(word)
        assert back == value
        assert type(back) is type(value)
        assert param.native(choice) == value


@given(st.lists(TEXTS | PLAIN, min_size=2, max_size=6, unique_by=lambda v: spelled(v)))
def test_an_option_is_found_again_by_its_plain_value(values):
    line = "choice(" + ",".join(map(spelled, values)) + ")"
    [param] = parse({"x": line}, []).params.values()
    for choice, value in zip(choices(param), values, strict=True):
        found = param.value_of(value)
        assert found == choice or param.native(found) == value


def test_texts_with_commas_and_quotes_are_one_option_each():
    [param] = parse({"x": "choice('a,b','c,d',\"it's\")"}, []).params.values()
    assert choices(param) == ("a,b", "c,d", "it's")
    assert [read(param.override(one)) for one in choices(param)] == ["a,b", "c,d", "it's"]


def test_a_number_and_the_same_digits_as_text_are_two_options():
    [param] = parse({"x": "choice(1,true,'1')"}, []).params.values()
    assert [read(param.override(one)) for one in choices(param)] == [1, True, "1"]


@given(st.integers(-50, 50), st.integers(1, 60), st.integers(1, 9))
def test_a_range_of_whole_numbers_ends_before_its_stop(start, length, step):
    [param] = parse({"x": f"range({start},{start + length},{step})"}, []).params.values()
    values = list(range(start, start + length, step))
    assert param.distribution == IntDistribution(values[0], values[-1], step=step)
    assert [read(param.override(one)) for one in param.corners()] == [values[0], values[-1]][
        : len(set(values))
    ]


@pytest.mark.parametrize(
    ("line", "distribution"),
    [
        ("interval(0,1)", FloatDistribution(0, 1)),
        ("int(interval(1,8))", IntDistribution(1, 8)),
        ("tag(log,interval(1e-5,1e-2))", FloatDistribution(1e-5, 1e-2, log=True)),
        ("tag(log,int(interval(1,64)))", IntDistribution(1, 64, log=True)),
        ("range(0.0,1.0,0.25)", FloatDistribution(0.0, 0.75, step=0.25)),
        ("range(8,0,-2)", IntDistribution(2, 8, step=2)),
    ],
)
def test_ranges_and_intervals(line, distribution):
    [param] = parse({"x": line}, []).params.values()
    assert param.distribution == distribution


@given(st.floats(1e-6, 1e3))
def test_a_number_of_an_interval_comes_back_to_the_last_digit(value):
    [param] = parse({"x": "interval(1e-6,1000)"}, []).params.values()
    assert read(param.override(value)) == value


def test_a_word_pins_a_parameter_and_another_range_replaces_it():
    params = {"hparams.r": "choice(4,8)", "hparams.epochs": "choice(1,2)", "hparams.alpha": None}
    space = parse(params, ["seed=7", "hparams.r=16", "hparams.epochs=1,2,3"])
    assert list(space.params) == ["hparams.epochs"]
    assert choices(space.params["hparams.epochs"]) == (1, 2, 3)
    assert space.overrides({"hparams.epochs": 2}) == [
        "hparams.alpha=null",
        "seed=7",
        "hparams.r=16",
        "hparams.epochs=2",
    ]


def test_what_the_configuration_fixes_gives_way_to_a_word():
    space = parse({"hparams.alpha": None, "x": "choice(1,2)"}, ["hparams.alpha=32"])
    assert space.fixed == {"hparams.alpha": "hparams.alpha=32"}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("choice()", "a choice without options"),
        ("choice(a,b,a)", "a is there twice"),
        ("tag(log,interval(0,1))", "log scale has no 0"),
        ("tag(log,range(0,8))", "log scale has no 0"),
        ("tag(log,range(1,9,2))", "has no step"),
        ("range(3,3)", "an empty range"),
        ("range(1,9,0)", "a step of 0"),
        ("interval(2,1)", "the smaller one first"),
        ("interval(0,inf)", "two finite numbers"),
        ("tag(lin,interval(1,2))", "'lin' is not known"),
        ("choice(a", "cannot be read"),
    ],
)
def test_what_is_no_space_is_refused_by_name(line, says):
    with pytest.raises(ConfigError, match=r"^hparams\.r=") as error:
        parse({"hparams.r": line}, [])
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_space_without_a_parameter_is_refused():
    with pytest.raises(ConfigError, match="nothing varies"):
        parse({"hparams.r": 8}, ["seed=1"])
