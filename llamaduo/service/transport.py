"""The transport of one call to a service: its reply, or the rejection that tells why not."""

from dataclasses import dataclass
from typing import Literal, Protocol

from llamaduo.service.protocol import Request


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


class Transport(Protocol):
    """Sends calls to one service; used inside one event loop."""

    async def send(self, request: Request) -> Reply:
        """Make one call, without any retry, and return its reply.

        Raises:
            Rejection: there is no usable answer.
        """

    async def close(self) -> None:
        """Close all connections."""
