"""A stand-in for an LLM behind an API: an OpenAI-compatible server on loopback.

It answers as `service=fake` does, counts words as tokens, and can misbehave in the ways of LLMs.
`Wire` is the smallest service that calls it.
"""

import asyncio
import http.client
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Self
from urllib.parse import urlsplit

from aiohttp import web

from llamaduo.records import Bill, Message, Price
from llamaduo.service import Completion, Failure, Request
from llamaduo.service.fake import reply_to

PRICE = Price(input_usd=Decimal(1), output_usd=Decimal(2), simulated=False)


def _with(**changes: Any) -> Callable[[str], str]:
    def change(text: str) -> str:
        reply = json.loads(text)
        return json.dumps({k: v for k, v in {**reply, **changes}.items() if v is not ...})

    return change


#: How a well-formed JSON reply is spoilt, by name; `cut` also ends with the token limit.
MISCHIEF: dict[str, Callable[[str], str]] = {
    "fence": lambda text: f"```json\n{text}\n```",
    "prose": lambda text: f"Gladly! {{Here}} it is:\n\n{text}\n\nShall I go on {{or not}}?",
    "of_100": lambda text: json.dumps(
        {k: v if k == "reason" else f"{v}/100" for k, v in json.loads(text).items()}
    ),
    "texts": lambda text: json.dumps({k: str(v) for k, v in json.loads(text).items()}),
    "half": lambda text: json.dumps(
        {k: v if k == "reason" else v + 0.5 * (v < 100) for k, v in json.loads(text).items()}
    ),
    "emoji": _with(reason="Größer 🙂 \ud83d\ude00"),
    "cut": lambda text: text[: len(text) * 2 // 3],
    "above": _with(similarity=110),
    "below": _with(precision=-1),
    "nan": _with(similarity=float("nan")),
    "infinite": _with(similarity=float("inf")),
    "lacking": _with(precision=...),
    "null": _with(precision=None),
    "true": _with(precision=True),
    "of_10": _with(similarity="8/10"),
    "list": _with(similarity=[80]),
    "words": lambda text: "I would rather not give numbers.",
    "empty": lambda text: "",
    "other": lambda text: json.dumps({"verdict": "good"}),
    "two": lambda text: text + "\n" + _with(similarity=1, precision=2)(text),
    "broken": lambda text: text.replace('": ', '" ', 1),
}


class Standin:
    """The server, up within its `with` block; `url` is its API base, `calls` what it was sent.

    `mischief` names what it does to JSON replies: to each first one, and where it is `stubborn`
    also to those that it was asked to repair. `latency` is in seconds.
    """

    def __init__(
        self, *, mischief: str | None = None, stubborn: bool = False, latency: float = 0.0
    ) -> None:
        self.mischief, self.stubborn, self.latency = mischief, stubborn, latency
        self.calls: list[dict[str, Any]] = []
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._runner = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> web.AppRunner:
        app = web.Application(client_max_size=1 << 28)
        app.router.add_post("/v1/chat/completions", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        return runner

    async def _answer(self, http_request: web.Request) -> web.Response:
        body = await http_request.json()
        self.calls.append(body)
        await asyncio.sleep(self.latency)
        text, finish = self.says(body)
        read = sum(len(message["content"].split()) for message in body["messages"])
        written = len(text.split())
        message = {"role": "assistant", "content": text}
        return web.json_response(
            {
                "id": f"chatcmpl-{len(self.calls)}",
                "object": "chat.completion",
                "created": 0,
                "model": f"{body['model']}-standin",
                "choices": [{"index": 0, "message": message, "finish_reason": finish}],
                "usage": {
                    "prompt_tokens": read,
                    "completion_tokens": written,
                    "total_tokens": read + written,
                },
            }
        )

    def says(self, body: dict[str, Any]) -> tuple[str, str]:
        """Return the text of the reply to a request, and its finish reason."""
        messages = tuple(Message.model_validate(message) for message in body["messages"])
        request = Request(id="?", messages=messages, max_tokens=body.get("max_tokens") or 1)
        text = reply_to(request)
        repairs = any(message.role == "assistant" for message in messages)
        if self.mischief is None or text[:1] != "{" or (repairs and not self.stubborn):
            return text, "stop"
        return MISCHIEF[self.mischief](text), "length" if self.mischief == "cut" else "stop"


class Wire:
    """A service over one connection, without retries, limits or ledger."""

    name = "standin"
    price = PRICE
    replays = False
    identity = {"kind": "standin"}  # noqa: RUF012

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion | Failure]:
        line = http.client.HTTPConnection(self._url.hostname or "", self._url.port, timeout=30)
        try:
            for request in requests:
                yield self._send(line, request)
        finally:
            line.close()

    def _send(self, line: http.client.HTTPConnection, request: Request) -> Completion:
        body = {
            "model": "m",
            "messages": [message.model_dump() for message in request.messages],
            "max_tokens": request.max_tokens,
        }
        headers = {"Content-Type": "application/json"}
        line.request("POST", f"{self._url.path}/chat/completions", json.dumps(body), headers)
        reply = json.loads(line.getresponse().read())
        usage, (choice,) = reply["usage"], reply["choices"]
        return Completion(
            request_id=request.id,
            text=choice["message"]["content"],
            model=reply["model"],
            bill=Bill.call(usage["prompt_tokens"], usage["completion_tokens"], PRICE),
            finish=choice["finish_reason"],
        )
