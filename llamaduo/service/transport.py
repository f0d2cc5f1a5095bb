"""How one call reaches a service: what a transport promises, and how it says that a call failed."""

from dataclasses import dataclass
from typing import Literal, Protocol

from llamaduo.service.protocol import Request


@dataclass(frozen=True)
class Reply:
    """What a service answered. Tokens are None where it did not count them.

    `input_tokens` include the `cached_tokens`, which some providers charge less for.
    """

    text: str
    model: str
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int = 0
    finish: Literal["stop", "length"] = "stop"


class Rejection(Exception):
    """A call that got no usable answer.

    `again`: the same call may succeed later. `limited`: the service says that it is asked too much.
    `after`: seconds that it wants to be left alone for. `fatal`: no call to this service can
    succeed (a wrong key, an unknown model), so that none is worth making. `reply` is what it
    charged for nevertheless, such as a refusal; `unsure` says that it may have charged, and did not
    tell. The message is the cause, without secrets.
    """

    def __init__(
        self,
        cause: str,
        *,
        again: bool = False,
        limited: bool = False,
        after: float | None = None,
        fatal: bool = False,
        reply: Reply | None = None,
        unsure: bool = False,
    ) -> None:
        super().__init__(cause)
        self.again = again
        self.limited = limited
        self.after = after
        self.fatal = fatal
        self.reply = reply
        self.unsure = unsure


class Transport(Protocol):
    """Sends calls to one service; used inside one event loop."""

    async def send(self, request: Request) -> Reply:
        """The answer to one call, without any retry.

        Raises:
            Rejection: there is none.
        """

    async def close(self) -> None:
        """Let go of connections."""
