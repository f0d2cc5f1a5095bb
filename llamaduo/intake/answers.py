"""What an answer is: its text, how it ended, and its usage; or why there is none.

A service sends it, and a log has kept it, in the same form: that of an OpenAI chat completion.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llamaduo.base.text import encodable

LARGEST = 32 * 2**20  # bytes of the longest answer that is read
TOO_LARGE = f"an answer of more than {LARGEST // 2**20} MiB"


@dataclass(frozen=True)
class Reply:
    """The answer of a service. Tokens are None where it did not count them.

    `input_tokens` include the `cached_tokens`, for which some providers charge less.
    """

    text: str
    model: str
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int = 0
    finish: Literal["stop", "length"] = "stop"


class Rejection(Exception):
    """A call without a usable answer.

    `retry`: the same call may succeed later. `rate_limited`: a rate limit rejected it.
    `retry_after`: the seconds that the service asks to wait. `fatal`: no call to this service can
    succeed (a wrong key, an unknown model), so none is worth making. `reply` is an answer that the
    service charged for nevertheless, such as a refusal. `maybe_charged`: it may have charged for
    the call without saying so. The message is the cause, without secrets.
    """

    def __init__(
        self,
        cause: str,
        *,
        retry: bool = False,
        rate_limited: bool = False,
        retry_after: float | None = None,
        fatal: bool = False,
        reply: Reply | None = None,
        maybe_charged: bool = False,
    ) -> None:
        super().__init__(cause)
        self.retry = retry
        self.rate_limited = rate_limited
        self.retry_after = retry_after
        self.fatal = fatal
        self.reply = reply
        self.maybe_charged = maybe_charged


def reply(answer: Any, model: str) -> Reply:
    """Return the first choice of an answer; `model` is the one that was asked for.

    Raises:
        Rejection: it has no text, or a refusal in its place.
    """
    choice = _choice(answer)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise Rejection("an answer without a message")
    content = message.get("content")
    finish = choice.get("finish_reason")
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    # Every prompt has tokens: 0 means that the service did not send its usage.
    counted = _count(usage, "prompt_tokens") or None
    text = _text(content)
    if len(text) > LARGEST:
        raise Rejection(TOO_LARGE)
    result = Reply(
        text=encodable(text),
        model=answer.get("model") or model,
        input_tokens=counted,
        output_tokens=_count(usage, "completion_tokens") if counted else None,
        cached_tokens=_count(usage.get("prompt_tokens_details"), "cached_tokens") or 0,
        finish="length" if finish == "length" else "stop",
    )
    if message.get("refusal"):
        raise Rejection(f"refused: {_text(message['refusal'])[:200]}", reply=result)
    if finish == "content_filter":
        raise Rejection("stopped by the service's content filter", reply=result)
    if content is None and finish != "length":
        raise Rejection(f"an answer without text, finish_reason {finish!r}", reply=result)
    return result


def _choice(answer: Any) -> dict[str, Any]:
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, Sequence) or isinstance(choices, str):
        raise Rejection("not an answer in the OpenAI chat format: no choices")
    if not choices:
        raise Rejection("an answer with no choices", retry=True)
    if not isinstance(choices[0], dict):
        raise Rejection("not an answer in the OpenAI chat format: a choice that is not an object")
    return choices[0]


def _text(content: Any) -> str:
    """Return the text of a message's content, which some services send in parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part.get("text") for part in content if isinstance(part, dict)]
    return "".join(part for part in parts if isinstance(part, str))


def _count(usage: Any, name: str) -> int | None:
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and count >= 0 else None
