"""The one launcher: Hydra composes, pydantic validates, and a message or a result comes out.

Only this file and `llamaduo/sweep/` know Hydra. Exit codes: 0; 2 for an error that the user can
mend; 130 or 143 when interrupted, 141 when nobody reads the output. Any other failure is
llamaduo's own and keeps its traceback.
"""

import difflib
import gc
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
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
#: Calls a job for somebody who waits for its result, and takes its errors.
Caller: TypeAlias = Callable[[Callable[[], object]], object]

_HERE = Path(__file__).parent
CONF = _HERE / "conf" if (_HERE / "conf").is_dir() else _HERE.parent / "conf"


def launch(
    config_name: str,
    schema: type[C],
    command: Callable[[C], object],
    *,
    caller: Callable[[], Caller | None] = lambda: None,
) -> None:
    """Run a command on the configuration that `sys.argv` asks for; exits the process on errors.

    What the command returns is what a sweep sees as the job's value. `caller` is asked in each job
    who waits for it: None where nobody does, so that an error ends the process with its message.
    """
    # Starting up makes a million objects that stay: a tenth of it went to looking among them.
    gc.set_threshold(50_000, 20, 20)
    # Without this Hydra prints a trimmed traceback of its own and exits with 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    stopped: list[Exception] = []
    here = os.getpid()
    redact.watch()

    def job(config: DictConfig) -> object:
        redact.watch()  # a launcher may have brought it to another process
        _redact_saved(config)
        if (call := caller()) is not None:
            return call(lambda: checked(config, schema, command))
        try:
            return checked(config, schema, command)
        except (LlamaduoError, OSError) as error:
            if os.getpid() != here:
                raise  # out of a launcher's process
            # Kept out of Hydra's hands, which would print it its own way.
            stopped.append(error)
            return None

    try:
        _refuse_secrets(sys.argv[1:])
        _refuse_many_documents(sys.argv[1:])
        with signals.clean():
            hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(job)()
            sys.stdout.flush()
        if stopped:
            raise stopped[0]
    except (LlamaduoError, HydraException, OmegaConfBaseException, OSError) as error:
        sys.exit(_told(error, schema))


def _told(error: Exception, schema: type[BaseModel]) -> int:
    """The exit code after an error that the user can mend, which is told; another is raised."""
    if isinstance(error, BrokenPipeError):
        # Who read the output is done with it, as `head` is. Python would flush it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    # Hydra's own may be an OSError as well, as that of an option that a group has not.
    if isinstance(error, HydraException) or not isinstance(error, OSError):
        return _complain(message_of(error, schema))
    if (full := disk.lacking(error)) is not None:
        return _complain(full)
    if error.filename is None:
        raise error
    what = f"{error.filename}: {error.strerror}. Make it writable, or set tracking.home"
    return _complain(what)


def checked(config: DictConfig, schema: type[C], command: Callable[[C], Any]) -> Any:
    """What a command makes of a composed configuration.

    Raises:
        ConfigError: the configuration is not valid.
    """
    try:
        made = validated(config, schema)
    except ValidationError as error:
        raise ConfigError(message_of(error, schema)) from error
    return command(made)


def leave_no_trace() -> None:
    """Have Hydra write nothing in the run to come."""
    silent = ("hydra/job_logging=disabled", "hydra/hydra_logging=disabled")
    sys.argv += ["hydra.run.dir=.", "hydra.output_subdir=null", *silent]


def validated(config: DictConfig, schema: type[C]) -> C:
    """The composed configuration as the frozen model that the code sees."""
    return schema.model_validate(OmegaConf.to_container(config, resolve=True))


def _complain(message: str) -> int:
    progress.clear()
    print(f"llamaduo: {redact.redacted(message)}", file=sys.stderr)
    return 2


def _refuse_secrets(words: list[str]) -> None:
    """Stop before Hydra, and the shell's neighbours, keep what nobody should read."""
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
    """Stop a sweep that is to print JSON: its jobs would print a document each."""
    if {"-m", "--multirun"} & {*words} and any(word.lstrip("+") == "format=json" for word in words):
        raise ConfigError(
            "format=json: a sweep has no single result to print; leave it out, and look at its "
            "runs in MLflow (make ui), or run one setting without -m"
        )


def _redact_saved(config: DictConfig) -> None:
    """Take secrets out of what Hydra saved, such as those of a configuration file."""
    found = HydraConfig.get()
    files: list[Path] = []
    if found.output_subdir is not None:
        files += (Path(found.runtime.output_dir) / found.output_subdir).glob("*.yaml")
    if found.mode is RunMode.MULTIRUN:
        files += Path(found.sweep.dir).glob("multirun.yaml")
    facts = OmegaConf.to_container(config)
    holds = redact.redacted(facts) != facts
    for path in files:
        text = clean = path.read_text(encoding="utf-8")
        if holds:  # reading YAML takes long, and only it tells the name that a value has
            saved = OmegaConf.to_container(OmegaConf.create(text))
            clean = OmegaConf.to_yaml(OmegaConf.create(redact.redacted(saved)))
        if (clean := redact.redacted(clean)) != text:
            write_atomically(path, clean)


def message_of(error: Exception, schema: type[BaseModel]) -> str:
    """An error of the user's as one message: the thing, its value, the next act."""
    if isinstance(error, ValidationError):
        return "\n".join(_invalid(one) for one in error.errors(include_url=False))
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
    """Every dotted key that a configuration of this schema can have."""
    for name, field in schema.model_fields.items():
        yield prefix + name
        for kind in _models(field.annotation):
            yield from keys(kind, f"{prefix}{name}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
