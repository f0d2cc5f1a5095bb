"""Installs into the environment that runs it: by uv, or by pip where uv will not do.

    .venv/bin/python .ci/install.py -c constraints.txt [--torch-index URL] -e '.[dev]'

uv takes half of pip's time but does not read pip's settings. So they are read here (`pip config
list`: files and PIP_ variables) and handed on. If uv cannot be had, fails, or has no counterpart
for a setting, one line says so and pip installs.

torch comes first and alone: it may have an index of its own, and what is installed later finds it
there instead of choosing another build of it.
"""

import argparse
import ast
import importlib.util
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
# No bytecode: pip would compile 24,000 files, a minute, of which a run imports a fraction. uv does
# not unless told to.
BY_PIP = [*PIP, "install", "--quiet", "--no-compile"]
BY_UV = [sys.executable, "-m", "uv", "--quiet", "pip", "install", "--python", sys.executable]

#: pip's settings, and the variables by which uv is told the same.
VARIABLES: Mapping[str, Sequence[str]] = {
    "index-url": ["UV_DEFAULT_INDEX"],
    "extra-index-url": ["UV_EXTRA_INDEX_URL"],
    "find-links": ["UV_FIND_LINKS"],
    "trusted-host": ["UV_INSECURE_HOST"],
    "cert": ["SSL_CERT_FILE"],
    "client-cert": ["SSL_CLIENT_CERT"],
    "proxy": ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"],
    "timeout": ["UV_HTTP_TIMEOUT"],
    "default-timeout": ["UV_HTTP_TIMEOUT"],
    "retries": ["UV_HTTP_RETRIES"],
}
#: pip's settings that do not touch what is installed. Where pip keeps its downloads is no place
#: for uv's.
IDLE = {
    "cache-dir",
    "compile",
    "config-file",
    "disable-pip-version-check",
    "no-color",
    "no-compile",
    "no-input",
    "no-python-version-warning",
    "no-warn-conflicts",
    "no-warn-script-location",
    "progress-bar",
    "quiet",
    "require-virtualenv",
    "root-user-action",
    "verbose",
}
TRUE = ("y", "yes", "t", "true", "on", "1")


class NotByUvError(Exception):
    """Why uv will not do."""


def run(command: Sequence[str], trouble: str, env: Mapping[str, str] | None = None) -> str:
    """Return what a command prints; nothing of it is shown.

    Raises:
        NotByUvError: it failed; `trouble`, and the first of what it said.
    """
    done = subprocess.run(command, env=env, capture_output=True, text=True, errors="replace")
    if done.returncode:
        said = textwrap.shorten(done.stderr, 400, placeholder=" …")
        raise NotByUvError(f"{trouble} ({said})")
    return done.stdout


def settings_of_pip() -> dict[str, str]:
    """Read what pip would heed at an install: variables before files, [install] before [global]."""
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in run([*PIP, "config", "list"], "pip cannot tell its settings").splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.partition(".")
        if section in found:
            found[section][key] = str(ast.literal_eval(value))
    return found["global"] | found["install"] | found[":env:"]


def for_uv(settings: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """List the variables and flags that tell uv what pip's settings tell pip.

    Addresses go by variables: they may hold passwords, and anyone can read a command line.

    Raises:
        NotByUvError: one of them has no counterpart; it is named, its value is not.
    """
    # As pip does: the best version of all indexes, not the first index that knows the name.
    env, flags = {"UV_INDEX_STRATEGY": "unsafe-best-match"}, list[str]()
    for name, value in settings.items():
        if name in VARIABLES:
            text = ("," if name == "find-links" else " ").join(value.split())
            env |= dict.fromkeys(VARIABLES[name], text)
        elif name == "constraint":
            flags += [word for path in value.split() for word in ("-c", path)]
        elif name == "no-index":
            flags += ["--no-index"] if value.lower() in TRUE else []
        elif name == "no-cache-dir":  # to pip, any value means it
            flags += ["--no-cache"]
        elif name not in IDLE:
            raise NotByUvError(f"uv has no counterpart of pip's setting {name}")
    return env, flags


def by_uv(lock: str, torch_index: str, wanted: Sequence[str]) -> None:
    """Install torch, then what is wanted.

    Raises:
        NotByUvError: uv will not do.
    """
    env, flags = for_uv(settings_of_pip())
    run([*BY_PIP, "-c", lock, "uv"], "uv cannot be had")
    command, env = [*BY_UV, *flags, "-c", lock], {**os.environ, **env}
    of_torch = {"UV_DEFAULT_INDEX": torch_index} if torch_index else {}
    run([*command, "torch"], "uv failed", env | of_torch)
    run([*command, *wanted], "uv failed", env)


def by_pip(lock: str, torch_index: str, wanted: Sequence[str]) -> int:
    """Install torch, then what is wanted; pip itself says what is wrong, if something is."""
    command = [*BY_PIP, "-c", lock]
    of_torch = ["--index-url", torch_index] if torch_index else []
    return subprocess.call([*command, *of_torch, "torch"]) or subprocess.call([*command, *wanted])


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-c", dest="lock", metavar="LOCK", required=True)
    parser.add_argument("--torch-index", metavar="URL", default="")
    args, wanted = parser.parse_known_args()
    pip = importlib.util.find_spec("pip") is not None
    # An environment that uv made has none.
    if not pip and subprocess.call([sys.executable, "-m", "ensurepip"], stdout=subprocess.DEVNULL):
        print(f"{sys.prefix} has no pip: remove it, and try again", file=sys.stderr)
        return 2
    try:
        by_uv(args.lock, args.torch_index, wanted)
    except NotByUvError as why:
        print(f"pip installs, which takes longer: {why}", file=sys.stderr, flush=True)
        return by_pip(args.lock, args.torch_index, wanted)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
