"""The transport of one call to a service."""

from typing import Protocol

from llamaduo.intake.answers import Reply
from llamaduo.service.protocol import Request


class Transport(Protocol):
    """Sends calls to one service; used inside one event loop."""

    async def send(self, request: Request) -> Reply:
        """Make one call, without any retry, and return its reply.

        Raises:
            Rejection: there is no usable answer.
        """

    async def close(self) -> None:
        """Close all connections."""
