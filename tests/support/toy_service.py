"""A service of a few lines on this machine, in the OpenAI chat format."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, dict[str, Any]]


def reply(text: str, *, read: int = 100, written: int = 10) -> Reply:
    """Return an answer of so many tokens."""
    return 200, {
        "model": "toy-1",
        "choices": [{"message": {"content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": read, "completion_tokens": written},
    }


class ToyService:
    """Answers each call by `answer`; keeps the calls in `asked` and their keys in `shown`."""

    def __init__(self, address: str) -> None:
        self.base = address
        self.asked: list[dict[str, Any]] = []
        self.shown: list[str | None] = []
        self.answer: Callable[[dict[str, Any]], Reply] = pairs

    def words(self, price: str = "{input_usd: 1000, output_usd: 2000, simulated: false}"):
        """Return the words that choose it on the command line."""
        return ["service=endpoint", f"service.api_base={self.base}", f"service.price={price}"]


def pairs(asked: dict[str, Any]) -> Reply:
    """Return a pair made from the question; it also serves as an answer."""
    words = asked["messages"][-1]["content"].split()
    entry = {"instruction": " ".join(words[-60::2]), "response": " ".join(words[-60:-30])}
    return reply(json.dumps({"contents": [entry]}))


@contextmanager
def serving() -> Iterator[ToyService]:
    """Serve on a free port of the loopback address until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            toy.asked.append(asked)
            toy.shown.append(self.headers["Authorization"])
            code, answer = toy.answer(asked)
            body = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        toy = ToyService(f"http://127.0.0.1:{running.server_address[1]}/v1")
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield toy
        running.shutdown()
        thread.join(10)
