"""`echo "text" | python -m llamaduo.ask task=summarize`: one answer of a task's champion."""

import sys
from typing import Annotated, Any, Literal

from pydantic import Field

from llamaduo import cli, tracking
from llamaduo.base import stdout
from llamaduo.base.errors import DataError
from llamaduo.base.files import Json
from llamaduo.champion import Answerer, RequestError
from llamaduo.config import Config, Count, TaskConfig, TrackingConfig


class Ask(Config):
    """What to ask with; `max_tokens` null leaves it to the champion."""

    task: TaskConfig
    tracking: TrackingConfig
    max_tokens: Count | None
    temperature: Annotated[float, Field(ge=0)]
    format: Literal["text", "json"]


def ask(config: Ask) -> None:
    """Print the champion's answer to the text on standard input."""
    if config.format == "text":
        print(_text_of(_completion(config)))
        return
    with stdout.reserved() as show:
        completion = _completion(config)
        show(
            {
                "answer": _text_of(completion),
                "model": completion["model"],
                "finish_reason": completion["choices"][0]["finish_reason"],
                **completion["usage"],
            }
        )


def _text_of(completion: Any) -> str:
    return str(completion["choices"][0]["message"]["content"])


def _completion(config: Ask) -> Any:
    """Ask the champion what standard input says."""
    try:
        text = sys.stdin.buffer.read().decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise DataError(f"standard input is not UTF-8 at byte {error.start}") from None
    if not text:
        raise DataError('standard input is empty: echo "text" | python -m llamaduo.ask task=…')
    champion = Answerer(tracking.build(config.tracking).champion(f"llamaduo-{config.task.name}"))
    request: dict[str, Json] = {
        "messages": [{"role": "user", "content": text}],
        "temperature": config.temperature,
    }
    if config.max_tokens is not None:
        request["max_tokens"] = config.max_tokens
    try:
        return champion(request)
    except RequestError as error:
        raise DataError(str(error)) from error


def main() -> None:
    """Run the command line."""
    cli.launch("ask", Ask, ask)


if __name__ == "__main__":
    main()
