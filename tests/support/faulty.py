"""A real HTTP server on loopback that speaks the OpenAI chat format and fails as its script says.

`with Faulty() as server:` serves in a thread until the block ends. `server.url` is the `api_base`,
`server.script` returns the fault for each request, and `server.seen` holds all requests. A script
returns a name of `FAULTS` or a `Fault` of its own.
"""

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal, Self

from aiohttp import web

KEY = "sk-loopback-0123456789abcdef"
INPUT_TOKENS, OUTPUT_TOKENS, CACHED_TOKENS = 11, 7, 3
LARGE = 10 * 2**20  # characters of the largest answer that a reader must accept
TOO_LARGE = 33 * 2**20  # and of one that it must not
ODD = "Grüße, 東京 👩🏽‍🚀  \u2028 end"  # beyond ASCII, beyond 16 bits, joined, and a line separator
TORN = "before \ud83d after"  # half of a pair: JSON can say it, UTF-8 cannot

Body = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """One request: the text of its last message, how often that was asked before, and all of it."""

    text: str
    before: int
    body: Body
    headers: Mapping[str, str]
    time: float  # monotonic seconds


@dataclass(frozen=True)
class Fault:
    """The response of the server to a request, or its lack.

    `wait` is in seconds, before the first byte, or between bytes where the manner is `drip`.
    `body` makes the JSON that is sent; a text is sent as it is.
    """

    status: int = 200
    body: Callable[[Seen], Body | str] = field(default=lambda seen: answer(seen))
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0
    manner: Literal["whole", "hang", "drip", "reset", "half"] = "whole"


def answer(seen: Seen, text: str | None = None, **choice: Any) -> Body:
    """Return a good answer: `text`, or the text of the request in capitals."""
    content = seen.text.upper() if text is None else text
    message = {"role": "assistant", "content": content}
    first = {"index": 0, "message": message, "finish_reason": "stop"} | choice
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": f"{seen.body.get('model')}-2026-01-01",
        "choices": [first],
        "usage": {
            "prompt_tokens": INPUT_TOKENS,
            "completion_tokens": OUTPUT_TOKENS,
            "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
            "prompt_tokens_details": {"cached_tokens": CACHED_TOKENS},
        },
    }


def error(message: str, kind: str | None = None, code: str | int | None = None) -> Body:
    """Return an error in the form of the OpenAI API."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def says(text: str, **choice: Any) -> Callable[[Seen], Body]:
    """Make a body with this answer."""
    return lambda seen: answer(seen, text, **choice)


def fails(message: str, kind: str | None = None, code: str | int | None = None) -> Any:
    """Make a body with this error."""
    return lambda seen: error(message, kind, code)


def without(*keys: str) -> Callable[[Seen], Body]:
    """Make a good answer that lacks these keys."""
    return lambda seen: {key: value for key, value in answer(seen).items() if key not in keys}


def _refusal(seen: Seen) -> Body:
    message = {"role": "assistant", "content": None, "refusal": "I will not write that."}
    return answer(seen, message=message)


def _refuses_key(seen: Seen) -> Body:
    sent = seen.headers.get("Authorization", "").removeprefix("Bearer ")
    return error(f"Incorrect API key provided: {sent}.", "invalid_request_error", "invalid_api_key")


def skewed(after: float, skew: float) -> dict[str, str]:
    """Return headers that ask to wait `after` s by date, from a clock that is `skew` s off."""
    now = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=skew)
    then = now + timedelta(seconds=after)
    return {
        "Date": format_datetime(now, usegmt=True),
        "Retry-After": format_datetime(then, usegmt=True),
    }


_BUSY = fails("Rate limit reached for requests", "requests", "rate_limit_exceeded")
_QUOTA = fails("You exceeded your current quota.", "insufficient_quota", "insufficient_quota")
_SCHEMA = fails("Invalid schema for response_format 'pairs'.", "invalid_request_error", None)
_FILTERED = fails("The prompt was filtered.", "invalid_request_error", "content_filter")
_LONG = fails("This model's maximum context length is 9 tokens.", "invalid_request_error", None)
_EMPTY_PURSE = fails("Your credit balance is too low.", "invalid_request_error", None)

FAULTS: dict[str, Fault] = {
    "ok": Fault(),
    "429": Fault(429, _BUSY),
    "429 after": Fault(429, _BUSY, {"Retry-After": "1"}),
    "429 after ms": Fault(429, _BUSY, {"Retry-After": "9", "retry-after-ms": "1500"}),
    "429 date": Fault(429, _BUSY, skewed(2, 0)),
    "429 skewed date": Fault(429, _BUSY, skewed(2, -86_400)),
    "429 nonsense": Fault(429, _BUSY, {"Retry-After": "soon"}),
    "429 quota": Fault(429, _QUOTA),
    "408": Fault(408, fails("Request timed out")),
    "409": Fault(409, fails("Conflict")),
    "425": Fault(425, fails("Too early")),
    "500": Fault(500, fails("The server had an error", "server_error")),
    "502": Fault(502, lambda _: "<html><body>Bad gateway</body></html>"),
    "503": Fault(503, fails("Overloaded, try later"), {"Retry-After": "1"}),
    "529": Fault(529, fails("Overloaded", "overloaded_error")),
    "hang": Fault(manner="hang"),
    "slow drip": Fault(manner="drip", wait=0.05),
    "reset": Fault(manner="reset"),
    "half a body": Fault(manner="half"),
    "invalid json": Fault(body=lambda seen: json.dumps(answer(seen))[:-9]),
    "wrong schema": Fault(body=lambda _: {"result": "fine"}),
    "no object": Fault(body=lambda _: "[1, 2]"),
    "empty choices": Fault(body=lambda seen: answer(seen) | {"choices": []}),
    "no text": Fault(body=lambda s: answer(s, message={"role": "assistant", "content": None})),
    "error in a 200": Fault(body=fails("Provider returned error", code=502)),
    "refusal": Fault(body=_refusal),
    "length": Fault(body=says("cut sh", finish_reason="length")),
    "content filter": Fault(body=says("", finish_reason="content_filter")),
    "filtered prompt": Fault(400, _FILTERED),
    "wrong model": Fault(404, fails("The model does not exist", code="model_not_found")),
    "wrong path": Fault(404, lambda _: "404 page not found"),
    "expired key": Fault(401, _refuses_key),
    "forbidden": Fault(403, fails("Your project may not use this model")),
    "flagged": Fault(403, fails("Your input was flagged", code=403)),
    "no money": Fault(402, fails("Insufficient credits", code=402)),
    "low balance": Fault(400, _EMPTY_PURSE),
    "bad request": Fault(400, _SCHEMA),
    "too long": Fault(400, _LONG),
    "speaks of rate limits": Fault(400, fails("Unknown field 'rate_limit': 429", code="bad")),
    "unprocessable": Fault(422, fails("Input should be a valid string")),
    "moved": Fault(307, lambda _: "", {"Location": "http://127.0.0.1:1/v1/chat/completions"}),
    "10 MB": Fault(body=says("x" * LARGE)),
    "33 MB": Fault(body=says("x" * TOO_LARGE)),
    "unicode": Fault(body=says(ODD)),
    "torn unicode": Fault(body=says(TORN)),
    "no usage": Fault(body=without("usage")),
}


class Faulty:
    """The server; see the module.

    `script` is called with each request and returns a fault or its name, and runs in the server's
    thread. `each("429", "ok")` makes one that goes by how often the same text was asked.
    """

    def __init__(self, script: Callable[[Seen], Fault | str] = lambda seen: "ok") -> None:
        self.script = script
        self.seen: list[Seen] = []
        self.url = ""
        self._asked: dict[str, int] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._closing = asyncio.Event()
        self._runner: web.ServerRunner | None = None

    def __enter__(self) -> Self:
        """Serve on a free port."""
        self._thread.start()
        self._call(self._open())
        return self

    def __exit__(self, *exc: object) -> None:
        """Drop every connection and stop."""
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def count(self, text: str) -> int:
        """Return how often this text was asked."""
        return self._asked.get(text, 0)

    def _call(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _open(self) -> None:
        self._runner = web.ServerRunner(
            web.Server(self._serve), handle_signals=False, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def _close(self) -> None:
        self._closing.set()
        assert self._runner is not None
        await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        raw = await request.read()
        body = json.loads(raw) if raw else {}
        text = _last_text(body.get("messages") or body.get("contents"))
        before = self._asked.get(text, 0)
        self._asked[text] = before + 1
        seen = Seen(text, before, body, dict(request.headers), time.monotonic())
        self.seen.append(seen)
        fault = self.script(seen)
        fault = FAULTS[fault] if isinstance(fault, str) else fault
        return await self._act(fault, seen, request)

    async def _act(self, fault: Fault, seen: Seen, request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        if fault.manner == "hang":
            await self._closing.wait()
        if fault.manner == "reset":
            connection: socket.socket = request.transport.get_extra_info("socket")
            # Closed without lingering, the connection ends with a reset.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.transport.abort()
        if fault.manner == "drip":
            return await self._drip(fault, seen, request)
        if fault.wait:
            await asyncio.sleep(fault.wait)
        content = fault.body(seen)
        text = content if isinstance(content, str) else json.dumps(content)
        if fault.manner == "half":
            return await _half(text, request)
        kind = "application/json" if text[:1] in {"{", "["} else "text/html"
        return web.Response(
            status=fault.status, text=text, headers=fault.headers, content_type=kind
        )

    async def _drip(self, fault: Fault, seen: Seen, request: web.BaseRequest) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Type": "application/json"})
        await reply.prepare(request)
        for byte in json.dumps(fault.body(seen)).encode():
            if (
                self._closing.is_set()
                or request.transport is None
                or request.transport.is_closing()
            ):
                break
            await reply.write(bytes([byte]))
            await asyncio.sleep(fault.wait)
        return reply


def _last_text(content: Any) -> str:
    """Return the last text of a conversation; each provider nests it differently."""
    while not isinstance(content, str):
        if isinstance(content, dict):
            content = content.get("content") or content.get("parts") or content.get("text")
        elif content:
            content = content[-1]
        else:
            return ""
    return content


async def _half(text: str, request: web.BaseRequest) -> web.StreamResponse:
    whole = text.encode()
    kind = {"Content-Type": "application/json", "Content-Length": str(len(whole))}
    reply = web.StreamResponse(headers=kind)
    await reply.prepare(request)
    await reply.write(whole[: len(whole) // 2])
    assert request.transport is not None
    request.transport.close()
    return reply


def each(*faults: Fault | str) -> Callable[[Seen], Fault | str]:
    """Make a script of these in turn, for each text separately; the last one repeats."""
    return lambda seen: faults[min(seen.before, len(faults) - 1)]
