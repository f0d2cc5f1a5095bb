"""Read a study's space in Hydra's override grammar; give Optuna's distributions and overrides."""

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

#: Stands for a value that is not in a distribution.
ABSENT = object()

# Texts that Hydra reads as themselves without quotes, except READ_OTHERWISE.
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
READ_OTHERWISE = ("null", "true", "false", "nan", "inf")


@dataclass(frozen=True)
class Param:
    """A dimension of the space: its key on the command line, and the distribution of its values.

    Of a choice, `texts` has each option as it is written in an override, in the order of the
    distribution's choices, and `natives` has its plain value.
    """

    key: str
    distribution: BaseDistribution
    texts: tuple[str, ...] = ()
    natives: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        """The key without the `+` signs, which say how it is set."""
        return self.key.lstrip("+")

    def override(self, value: Any) -> str:
        """Return the override from which Hydra reads this value of the distribution."""
        if isinstance(self.distribution, CategoricalDistribution):
            index = int(self.distribution.to_internal_repr(value))
            return f"{self.key}={self.texts[index]}"
        return f"{self.key}={value!r}"

    def native(self, value: Any) -> Any:
        """Return the plain value that a value of the distribution stands for."""
        if isinstance(self.distribution, CategoricalDistribution):
            return self.natives[int(self.distribution.to_internal_repr(value))]
        return value

    def value_of(self, native: Any) -> Any:
        """Return the value of the distribution for a plain value, or `ABSENT`."""
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
        """List all options of a choice, or the two ends of a range."""
        values = self.distribution
        if isinstance(values, CategoricalDistribution):
            return list(values.choices)
        assert isinstance(values, IntDistribution | FloatDistribution)
        return [values.low] if values.single() else [values.low, values.high]


@dataclass(frozen=True)
class Space:
    """The dimensions (`params`), and the overrides that all trials share (`fixed`), by name."""

    params: Mapping[str, Param]
    fixed: Mapping[str, str]
    distributions: dict[str, BaseDistribution] = field(init=False)

    def __post_init__(self) -> None:
        """Collect the distributions, which Optuna asks for."""
        distributions = {name: param.distribution for name, param in self.params.items()}
        object.__setattr__(self, "distributions", distributions)

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        """Return all overrides of one trial: the shared ones, then its own."""
        return [*self.fixed.values(), *self.own_overrides(values)]

    def own_overrides(self, values: Mapping[str, Any]) -> list[str]:
        """Return the overrides by which one trial differs from others."""
        return [
            param.override(values[name]) for name, param in self.params.items() if name in values
        ]

    def start(self) -> dict[str, Any]:
        """Return the values of some valid trial."""
        return {name: param.corners()[0] for name, param in self.params.items()}

    def described(self) -> dict[str, str]:
        """Return each dimension as JSON, to be compared with that of a stored study."""
        return {
            name: distribution_to_json(distribution)
            for name, distribution in self.distributions.items()
        }


def parse(
    params: Mapping[str, Any], arguments: Sequence[str], loader: ConfigLoader | None = None
) -> Space:
    """Read the space from a sweep's `params` and from the command line, which has precedence.

    A command-line argument that gives a parameter one value takes it out of the space.

    Raises:
        ConfigError: there is nothing to vary, or a range or choice is not valid.
    """
    parser = OverridesParser.create(config_loader=loader)
    entries: dict[str, Param | str] = {}
    for name, text in params.items():
        entries[name.lstrip("+")] = _entry(_parsed(parser, name, text))
    for argument in arguments:
        override = parser.parse_overrides([argument])[0]
        entries.pop(_name(override), None)  # a later argument also has a later place
        entries[_name(override)] = _entry(override)
    space = Space(
        {name: entry for name, entry in entries.items() if isinstance(entry, Param)},
        {name: entry for name, entry in entries.items() if isinstance(entry, str)},
    )
    if not space.params:
        raise ConfigError(
            "hydra.sweeper.params: nothing varies; give a space such as "
            "'hydra.sweeper.params.hparams\\.r=\"choice(8,16)\"', or several values such as "
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
            # Hydra accepts null among options only without the word `choice`.
            return _parsed(parser, name, options[1])
        if text.replace(" ", "") in ("choice()", "[]"):
            raise _unusable(name, text, "a choice without options; give it some") from error
        cause = " ".join(str(error).split()).partition(" See https")[0]
        raise _unusable(name, text, f"cannot be read ({cause})") from error


def _nested(value: Any) -> bool:
    return isinstance(value, list | dict)


def _name(override: Override) -> str:
    return override.get_key_element().lstrip("+~")


def _unusable(name: str, text: str, problem: str) -> ConfigError:
    return ConfigError(f"{name}={text}: {problem}")


def _entry(override: Override) -> Param | str:
    """Return a dimension, or the override of a single value as it was written."""
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
    natives = [Override._convert_value(option) for option in override.sweep_iterator()]
    texts = [_text(native) for native in natives]
    name, line = _name(override), override.get_value_string()
    if not texts:
        raise _unusable(name, line, "a choice without options; give it some")
    labels: list[Any] = [
        text if _nested(native) else native for text, native in zip(texts, natives, strict=True)
    ]
    if _repeated(labels):  # 1 and true are equal for Optuna, and '[a]' and [a] as text
        labels = list(texts)
    if label := _repeated(labels):
        raise _unusable(name, line, f"{label} is there twice; name each option once")
    return Param(
        override.get_key_element(), CategoricalDistribution(labels), tuple(texts), tuple(natives)
    )


def _text(native: Any) -> str:
    """Write a plain value so that Hydra reads it back; Hydra forgets which texts had quotes."""
    if isinstance(native, str):
        if PLAIN.fullmatch(native) and native.lower() not in READ_OTHERWISE:
            return native
        return QuotedString(native, Quote.single).with_quotes()
    if isinstance(native, list):
        return "[" + ",".join(map(_text, native)) + "]"
    if isinstance(native, dict):
        return "{" + ",".join(f"{_text(k)}:{_text(v)}" for k, v in native.items()) + "}"
    return {"None": "null", "True": "true", "False": "false"}.get(text := repr(native), text)


def _repeated(labels: Sequence[Any]) -> str | None:
    """Return the first label that equals an earlier one, as text; None where all differ."""
    for index, label in enumerate(labels):
        if any(label == other for other in labels[:index]):
            return str(label)
    return None


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def _range(override: Override, sweep: RangeSweep) -> BaseDistribution:
    line = override.get_value_string()
    name = _name(override)
    try:
        steps = sweep.range()
        values = list(steps) if isinstance(steps, range) else list(_bounded(steps))
    except (HydraException, ValueError) as error:
        raise _unusable(
            name, line, "a step of 0, or more than 100,000 values; use another step"
        ) from error
    if not values:
        raise _unusable(name, line, "an empty range; put its end after its start")
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
        raise _unusable(name, line, "an interval needs two finite numbers, the smaller one first")
    log = _log(override, sweep, low)
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _log(override: Override, sweep: RangeSweep | IntervalSweep, low: float) -> bool:
    """Tell if a log scale is chosen; refuse one that does not start above 0."""
    name, line = _name(override), override.get_value_string()
    unknown = sweep.tags - {"log"}
    if unknown:
        raise _unusable(name, line, f"tag {min(unknown)!r} is not known; the only tag is log")
    if "log" in sweep.tags and low <= 0:
        raise _unusable(name, line, "a log scale has no 0 and nothing below it; start above 0")
    return "log" in sweep.tags
