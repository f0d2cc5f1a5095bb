"""The one launcher: Hydra composes, pydantic validates, and a message or a result comes out.

Only this file and `llamaduo/sweep/` know Hydra. Exit codes: 0; 2 for an error that the user can
mend; 130 or 143 when interrupted, 141 when nobody reads the output. Any other failure is a fault
of llamaduo's and keeps its traceback.
"""

import difflib
import gc
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, get_args

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError

from llamaduo.base import disk, progress, redact, signals
from llamaduo.base.errors import ConfigError, LlamaduoError
from llamaduo.base.files import write_atomically

C = TypeVar("C", bound=BaseModel)
#: Words with which Hydra writes nothing.
NO_TRACE = (
    "hydra.run.dir=.",
    "hydra.output_subdir=null",
    "hydra/job_logging=disabled",
    "hydra/hydra_logging=disabled",
)
#: Calls a job for a sweep that waits for its result and handles its errors.
Caller: TypeAlias = Callable[[Callable[[], object]], object]

_HERE = Path(__file__).parent
CONF = _HERE / "conf" if (_HERE / "conf").is_dir() else _HERE.parent / "conf"


def launch(
    config_name: str,
    schema: type[C],
    command: Callable[[C], object],
    *,
    words: Sequence[str] | None = None,
    caller: Callable[[], Caller | None] = lambda: None,
) -> None:
    """Run a command on the configuration that the command line asks for; exit on errors.

    `words` are those of the command line; None: as they were typed. The value of the command is
    the job's value for a sweep. Each job asks `caller` for the sweep that waits for it; where that
    is None, an error ends the process with its message.
    """
    # Starting up makes a million objects that stay; collecting among them took a tenth of it.
    gc.set_threshold(50_000, 20, 20)
    # Without this Hydra prints a trimmed traceback of its own and exits with 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    stopped: list[Exception] = []
    here = os.getpid()
    redact.watch()

    def job(config: DictConfig) -> object:
        redact.watch()  # a launcher may run the job in another process
        _redact_saved(config)
        if (call := caller()) is not None:
            return call(lambda: checked(config, schema, command))
        try:
            return checked(config, schema, command)
        except (LlamaduoError, OSError) as error:
            if os.getpid() != here:
                raise  # out of a launcher's process
            # Kept from Hydra, which would print it its own way.
            stopped.append(error)
            return None

    start = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(job)
    with _command_line(sys.argv[1:] if words is None else words):
        try:
            _refuse_secrets(sys.argv[1:])
            _refuse_many_documents(sys.argv[1:])
            with signals.handled():
                start()
                sys.stdout.flush()
            if stopped:
                raise stopped[0]
        except (LlamaduoError, HydraException, OmegaConfBaseException, OSError) as error:
            sys.exit(_report(error, schema))


@contextmanager
def _command_line(words: Sequence[str]) -> Iterator[None]:
    """Put these words in place of those that were typed; Hydra takes them from `sys.argv` alone."""
    typed = sys.argv[1:]
    sys.argv[1:] = words
    try:
        yield
    finally:
        sys.argv[1:] = typed


def quoted(words: Iterable[str], key: str) -> list[str]:
    """Return words with quotes around each name in `key=name` and `key=[name,…]`.

    Without them Hydra would read an id such as 4e107733 as a number, and as infinity at that.
    """
    return [_quoted(word) if word.startswith(f"{key}=") else word for word in words]


def _quoted(word: str) -> str:
    key, _, value = word.partition("=")
    parts = re.fullmatch(r"(\[?)([^\[\]'\"]+)(\]?)", value)
    if parts is None or value == "null":
        return word
    names = ",".join(f"'{name.strip()}'" for name in parts[2].split(",") if name.strip())
    return f"{key}={parts[1]}{names}{parts[3]}"


def _report(error: Exception, schema: type[BaseModel]) -> int:
    """Print an error that the user can mend and return the exit code; raise any other."""
    if isinstance(error, BrokenPipeError):
        # The reader of the output has ended, as `head` does. Python would flush it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    # Hydra's own may be an OSError as well, such as that of an option that a group does not have.
    if isinstance(error, HydraException) or not isinstance(error, OSError):
        return _complain(message_of(error, schema))
    if (full := disk.full_message(error)) is not None:
        return _complain(full)
    if error.filename is None:
        raise error
    return _complain(f"{error.filename}: {error.strerror}. Make it writable, or set tracking.home")


def checked(config: DictConfig, schema: type[C], command: Callable[[C], Any]) -> Any:
    """Run a command on a composed configuration and return its value.

    Raises:
        ConfigError: the configuration is not valid.
    """
    try:
        valid = validated(config, schema)
    except ValidationError as error:
        raise ConfigError(message_of(error, schema)) from error
    return command(valid)


def validated(config: DictConfig, schema: type[C]) -> C:
    """Return a composed configuration as the frozen model that the code sees."""
    return schema.model_validate(OmegaConf.to_container(config, resolve=True))


def _complain(message: str) -> int:
    progress.clear()
    print(f"llamaduo: {redact.redacted(message)}", file=sys.stderr)
    return 2


def _refuse_secrets(words: list[str]) -> None:
    """Refuse secrets among the words, before Hydra saves them.

    Raises:
        ConfigError: a word holds a secret.
    """
    for word in words:
        name, given, value = word.lstrip("+~").partition("=")
        clean = redact.redacted(word)
        if not (given and value and redact.named(name) and "${" not in value) and clean == word:
            continue
        raise ConfigError(
            f"{name if given else clean}: a secret on the command line stays in its history, in "
            "process lists and in saved configurations. Put it into an environment variable or "
            ".env: the key of a service is found there by service.key_env, and any other value may "
            f"name its variable: {name if given else 'key'}='${{oc.env:NAME}}'"
        )


def _refuse_many_documents(words: list[str]) -> None:
    """Refuse a sweep that is to print JSON: its jobs would print a document each."""
    if {"-m", "--multirun"} & {*words} and any(word.lstrip("+") == "format=json" for word in words):
        raise ConfigError(
            "format=json: a sweep has no single result to print; leave it out, and look at its "
            "runs in MLflow (make ui), or run one setting without -m"
        )


def _redact_saved(config: DictConfig) -> None:
    """Take secrets out of the files that Hydra saved, such as those of a configuration file."""
    hydra_config = HydraConfig.get()
    files: list[Path] = []
    if hydra_config.output_subdir is not None:
        folder = Path(hydra_config.runtime.output_dir) / hydra_config.output_subdir
        files += folder.glob("*.yaml")
    if hydra_config.mode is RunMode.MULTIRUN:
        files += Path(hydra_config.sweep.dir).glob("multirun.yaml")
    facts = OmegaConf.to_container(config)
    holds = redact.redacted(facts) != facts
    for path in files:
        text = clean = path.read_text(encoding="utf-8")
        if holds:  # reading YAML takes long, and only it gives the name of a value
            saved = OmegaConf.to_container(OmegaConf.create(text))
            clean = OmegaConf.to_yaml(OmegaConf.create(redact.redacted(saved)))
        if (clean := redact.redacted(clean)) != text:
            write_atomically(path, clean)


def message_of(error: Exception, schema: type[BaseModel]) -> str:
    """Return one message for an error of the user's: the thing, its value, the next act."""
    if isinstance(error, ValidationError):
        return "\n".join(map(_invalid, error.errors(include_url=False)))
    text = str(error)
    if isinstance(error, LlamaduoError):
        return text
    if isinstance(error, OverrideParseException):
        name = error.override.split("=")[0]
        return f"{error.override}: cannot be read; put the value in quotes: \"{name}='…'\""
    if option := re.search(r"Could not find '([^']+)'", text):
        group, _, chosen = option[1].rpartition("/")
        listed = text.partition("Available options in")[2].partition("\nConfig search path")[0]
        known = listed.split("\n\t")[1:]
        choices = ", ".join(line.strip() for line in known)
        return f"{group}={chosen}: no such option. Choose one of: {choices}"
    if key := re.search(r"Could not override '([^']+)'", text):
        given = _given(key[1])
        near = difflib.get_close_matches(key[1], sorted(keys(schema)), n=1)
        hint = f"did you mean {near[0]}?" if near else "--help shows all keys"
        return f"{given}: no such key; {hint}"
    return " ".join(text.split())


def _given(key: str) -> str:
    asked = [word.lstrip("+~") for word in sys.argv[1:]]
    return next((word for word in asked if word.split("=")[0] == key), key)


def _invalid(error: Any) -> str:
    # A discriminated union puts its tag behind the group's name: service.recorded.price.
    path = [str(part) for part in error["loc"]]
    if len(path) > 1 and path[0] in ("service", "local", "judge", "gate", "tracking"):
        del path[1]
    where = ".".join(path) or "configuration"
    if error["type"] == "extra_forbidden":
        return f"{where}={error['input']}: no such key; leave it out or mend its name"
    if error["type"] == "missing":
        return f"{where}: has no value; set {where}=…"
    text = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    value = error["input"]
    given = where if isinstance(value, dict) else f"{where}={value}"
    return f"{given}: {text}"


def keys(schema: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield every dotted key that a configuration of this schema can have."""
    for name, field in schema.model_fields.items():
        yield prefix + name
        for kind in _models(field.annotation):
            yield from keys(kind, f"{prefix}{name}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
