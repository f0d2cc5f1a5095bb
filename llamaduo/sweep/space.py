"""The space of a study: Hydra's override grammar in, Optuna's distributions and overrides out."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    FloatRange,
    IntervalSweep,
    Override,
    Quote,
    QuotedString,
    RangeSweep,
)
from hydra.errors import HydraException
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from llamaduo.base.errors import ConfigError

#: What stands for a value that a distribution has not.
ABSENT = object()

# Words that mean themselves without quotes, but for a few.
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
READ_OTHERWISE = ("null", "true", "false", "nan", "inf")


@dataclass(frozen=True)
class Param:
    """One dimension: the key on the command line, and what may stand behind it.

    Of a choice, `texts` has each option as it is written in an override, in the order of the
    distribution's choices, and `natives` its plain value.
    """

    key: str
    distribution: BaseDistribution
    texts: tuple[str, ...] = ()
    natives: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        """The key without the signs that say how it is set."""
        return self.key.lstrip("+")

    def word(self, value: Any) -> str:
        """The override that sets a value of the distribution; Hydra reads that value from it."""
        if isinstance(self.distribution, CategoricalDistribution):
            index = int(self.distribution.to_internal_repr(value))
            return f"{self.key}={self.texts[index]}"
        return f"{self.key}={value!r}"

    def native(self, value: Any) -> Any:
        """The plain value that a value of the distribution stands for."""
        if isinstance(self.distribution, CategoricalDistribution):
            return self.natives[int(self.distribution.to_internal_repr(value))]
        return value

    def given(self, native: Any) -> Any:
        """The value of the distribution that a plain value stands for, or `ABSENT`."""
        if isinstance(self.distribution, CategoricalDistribution):
            for choice, known in zip(self.distribution.choices, self.natives, strict=True):
                if _same(known, native):
                    return choice
            return ABSENT
        if isinstance(native, bool) or not isinstance(native, int | float):
            return ABSENT
        internal = self.distribution.to_internal_repr(native)
        if not self.distribution._contains(internal):
            return ABSENT
        return self.distribution.to_external_repr(internal)

    def corners(self) -> list[Any]:
        """Every choice of a few, and of a range the two ends."""
        found = self.distribution
        if isinstance(found, CategoricalDistribution):
            return list(found.choices)
        assert isinstance(found, IntDistribution | FloatDistribution)
        return [found.low] if found.single() else [found.low, found.high]


@dataclass(frozen=True)
class Space:
    """The dimensions, and the overrides that all trials share, by name."""

    params: Mapping[str, Param]
    fixed: Mapping[str, str]
    distributions: dict[str, BaseDistribution] = field(init=False)

    def __post_init__(self) -> None:
        """Collect what Optuna asks for."""
        found = {name: param.distribution for name, param in self.params.items()}
        object.__setattr__(self, "distributions", found)

    def words(self, values: Mapping[str, Any]) -> list[str]:
        """The overrides of one trial."""
        own = [param.word(values[name]) for name, param in self.params.items() if name in values]
        return [*self.fixed.values(), *own]

    def start(self) -> dict[str, Any]:
        """The values of some trial."""
        return {name: param.corners()[0] for name, param in self.params.items()}

    def described(self) -> dict[str, str]:
        """Each dimension as text, to be compared with that of a stored study."""
        return {name: distribution_to_json(one) for name, one in self.distributions.items()}


def parse(
    params: Mapping[str, Any], arguments: Sequence[str], loader: ConfigLoader | None = None
) -> Space:
    """The space of a sweep's `params` and of the words on the command line, which go first.

    A word that gives a parameter one value takes it out of the space.

    Raises:
        ConfigError: there is nothing to vary, or a range or choice that cannot be used.
    """
    parser = OverridesParser.create(config_loader=loader)
    found: dict[str, Param | str] = {}
    for name, text in params.items():
        found[name.lstrip("+")] = _entry(_parsed(parser, name, text))
    for word in arguments:
        override = parser.parse_overrides([word])[0]
        found.pop(_name(override), None)  # a later word also stands later
        found[_name(override)] = _entry(override)
    space = Space(
        {name: one for name, one in found.items() if isinstance(one, Param)},
        {name: one for name, one in found.items() if isinstance(one, str)},
    )
    if not space.params:
        raise ConfigError(
            "hydra.sweeper.params: nothing varies; give a space such as "
            "'hydra.sweeper.params.hparams\\.r=\"choice(8,16)\"', or a word such as "
            "hparams.r=8,16"
        )
    return space


def _parsed(parser: OverridesParser, name: str, value: Any) -> Override:
    if value is None or isinstance(value, bool):
        text = {None: "null", True: "true", False: "false"}[value]
    else:
        text = Override._get_value_element_as_str(value) if _nested(value) else str(value)
    try:
        return parser.parse_overrides([f"{name}={text}"])[0]
    except HydraException as error:
        options = re.fullmatch(r"\s*choice\((.*)\)\s*", text, re.S)
        if options and "NoneType" in str(error):
            # Hydra takes null among options only without the word.
            return _parsed(parser, name, options[1])
        if text.replace(" ", "") in ("choice()", "[]"):
            raise _unusable(name, text, "a choice of nothing; give it options") from error
        why = " ".join(str(error).split()).partition(" See https")[0]
        raise _unusable(name, text, f"cannot be read ({why})") from error


def _nested(value: Any) -> bool:
    return isinstance(value, list | dict)


def _name(override: Override) -> str:
    return override.get_key_element().lstrip("+~")


def _unusable(name: str, text: str, why: str) -> ConfigError:
    return ConfigError(f"{name}={text}: {why}")


def _entry(override: Override) -> Param | str:
    """A dimension, or the override of a single value as it is to be passed on."""
    if not override.is_sweep_override():
        assert override.input_line is not None
        return override.input_line
    if override.is_choice_sweep():
        return _choice(override)
    sweep = override.value()
    if isinstance(sweep, RangeSweep):
        return Param(override.get_key_element(), _range(override, sweep))
    assert isinstance(sweep, IntervalSweep)
    return Param(override.get_key_element(), _interval(override, sweep))


def _choice(override: Override) -> Param:
    natives = [Override._convert_value(one) for one in override.sweep_iterator()]
    texts = [_text(native) for native in natives]
    name, line = _name(override), override.get_value_string()
    if not texts:
        raise _unusable(name, line, "a choice of nothing; give it options")
    labels: list[Any] = [
        text if _nested(native) else native for text, native in zip(texts, natives, strict=True)
    ]
    if _alike(labels):  # as 1 and true are for Optuna, and '[a]' and [a] as text
        labels = list(texts)
    if double := _alike(labels):
        raise _unusable(name, line, f"{double} is there twice; name each option once")
    return Param(
        override.get_key_element(), CategoricalDistribution(labels), tuple(texts), tuple(natives)
    )


def _text(native: Any) -> str:
    """A plain value as Hydra reads it back: Hydra itself forgets which texts were quoted."""
    if isinstance(native, str):
        if PLAIN.fullmatch(native) and native.lower() not in READ_OTHERWISE:
            return native
        return QuotedString(native, Quote.single).with_quotes()
    if isinstance(native, list):
        return "[" + ",".join(map(_text, native)) + "]"
    if isinstance(native, dict):
        return "{" + ",".join(f"{_text(k)}:{_text(v)}" for k, v in native.items()) + "}"
    return {"None": "null", "True": "true", "False": "false"}.get(text := repr(native), text)


def _alike(labels: Sequence[Any]) -> str | None:
    """A label that equals an earlier one."""
    for index, label in enumerate(labels):
        if any(label == other for other in labels[:index]):
            return str(label)
    return None


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def _range(override: Override, sweep: RangeSweep) -> BaseDistribution:
    line = override.get_value_string()
    name = _name(override)
    try:
        steps = sweep.range()
        values = list(steps) if isinstance(steps, range) else list(_bounded(steps))
    except (HydraException, ValueError) as error:
        raise _unusable(name, line, "a step of 0 goes nowhere; give another") from error
    if not values:
        raise _unusable(name, line, "an empty range; its end lies beyond its start")
    low, high, step = min(values), max(values), abs(sweep.step)
    log = _log(override, sweep, low)
    if log and not (isinstance(low, int) and step == 1):
        raise _unusable(name, line, "a range in log scale has no step; use interval(…)")
    if isinstance(steps, range):
        return IntDistribution(int(low), int(high), log=log, step=1 if log else int(step))
    return FloatDistribution(float(low), float(high), step=float(step))


def _bounded(steps: FloatRange) -> Iterable[float]:
    for count, value in enumerate(steps):
        if count > 100_000:
            raise HydraException("endless")
        yield value


def _interval(override: Override, sweep: IntervalSweep) -> BaseDistribution:
    low, high = sweep.start, sweep.end
    name, line = _name(override), override.get_value_string()
    assert low is not None
    assert high is not None
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise _unusable(name, line, "an interval goes from a number to one that is not smaller")
    log = _log(override, sweep, low)
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _log(override: Override, sweep: RangeSweep | IntervalSweep, low: float) -> bool:
    """Whether a log scale is asked for, which begins above 0."""
    name, line = _name(override), override.get_value_string()
    unknown = sweep.tags - {"log"}
    if unknown:
        raise _unusable(name, line, f"tag {min(unknown)!r} is not known; the one there is: log")
    if "log" in sweep.tags and low <= 0:
        raise _unusable(name, line, "a log scale has no 0 and nothing below; begin above 0")
    return "log" in sweep.tags
