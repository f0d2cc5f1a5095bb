"""What the calls to a service LLM cost and how they keep to its limits, against a local server.

    python benchmarks/service.py endpoint|litellm|limited|kills|ledger|all [--rows N] [--times N]

The server runs in a process of its own and takes 50 ms for an answer; where there are two cores it
has one and the client the other. 64 calls are under way at once. Each figure is a line.

endpoint  requests/s and CPU per request of `service=endpoint`, beside raw aiohttp
litellm   the same through litellm, beside litellm alone
limited   a server that takes 100 requests/s and answers others with 429 and Retry-After 1
kills     SIGKILL at a random moment, then the same again: what is paid twice, what is lost
ledger    a ledger of 100,000 answers: opening it, and looking answers up
"""

import argparse
import asyncio
import contextlib
import io
import json
import logging
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from llamaduo.config import ApiServiceConfig, Limits
from llamaduo.records import Bill, Message
from llamaduo.service import Completion, Request, ServiceContext
from llamaduo.service.kept_answers import KeptAnswer
from llamaduo.service.ledger import opened
from llamaduo.service.live import LiveService

AT_ONCE = 64
LATENCY = 0.05  # seconds
RATE = 100  # requests a second that the limited server takes
TEXT = "What the harbour was, and what it became, in a sentence or two of plain words. " * 6
SAID = "It was a place of work, and it became a place to look at. " * 6


# ---------------------------------------------------------------- the server


class Bucket:
    """Takes RATE calls a second, and as many saved up."""

    def __init__(self) -> None:
        self._level, self._at = float(RATE), time.monotonic()

    def takes(self, now: float) -> bool:
        """Whether it takes another call now."""
        self._level = min(float(RATE), self._level + (now - self._at) * RATE)
        self._at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True


class Window:
    """Takes RATE calls in any second."""

    def __init__(self) -> None:
        self._taken: deque[float] = deque()

    def takes(self, now: float) -> bool:
        """Whether it takes another call now."""
        while self._taken and self._taken[0] <= now - 1:
            self._taken.popleft()
        if len(self._taken) >= RATE:
            return False
        self._taken.append(now)
        return True


def serve(pipe: Connection, limit: str | None) -> None:
    """The server's process: sends its port, then what was asked of it, each time it is asked."""
    from aiohttp import web

    _on_core(0)
    gate = {None: None, "bucket": Bucket, "window": Window}[limit]
    limiter = gate() if gate is not None else None
    asked: Counter[str] = Counter()
    facts = {"refused": 0, "in_flight": 0}
    usage = {"prompt_tokens": 120, "completion_tokens": 80, "total_tokens": 200}
    message = {"role": "assistant", "content": SAID}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    told: dict[str, Any] = {"id": "1", "object": "chat.completion", "created": 0, "model": "tiny"}
    body = json.dumps(told | {"choices": [choice], "usage": usage}).encode()
    headers = {"Content-Type": "application/json"}

    async def answer(request: web.BaseRequest) -> web.Response:
        sent = await request.read()
        if limiter is not None and not limiter.takes(time.monotonic()):
            facts["refused"] += 1
            return web.Response(status=429, text="{}", headers=headers | {"Retry-After": "1"})
        if b'"row ' in sent:
            asked[json.loads(sent)["messages"][0]["content"]] += 1
        facts["in_flight"] += 1
        await asyncio.sleep(LATENCY)
        facts["in_flight"] -= 1
        return web.Response(body=body, headers=headers)

    async def run() -> None:
        runner = web.ServerRunner(web.Server(answer, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            if pipe.recv() is None:
                done.set()
            else:
                pipe.send((dict(asked), dict(facts)))

        loop.add_reader(pipe.fileno(), tell)
        pipe.send(runner.addresses[0][1])
        await done.wait()
        await runner.cleanup()

    asyncio.run(run())


@dataclass
class Server:
    """The server as its client sees it."""

    url: str
    pipe: Connection

    def facts(self) -> tuple[dict[str, int], dict[str, int]]:
        """How often each text was asked; and calls refused and under way."""
        self.pipe.send("facts")
        found: tuple[dict[str, int], dict[str, int]] = self.pipe.recv()
        return found


@contextmanager
def server(limit: str | None = None) -> Iterator[Server]:
    """A server, up within the block."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, limit), daemon=True)
    process.start()
    try:
        yield Server(f"http://127.0.0.1:{here.recv()}/v1", here)
    finally:
        here.send(None)
        process.join(10)
        if process.is_alive():
            process.terminate()


def _on_core(number: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})


# ---------------------------------------------------------------- the client


def service(
    url: str,
    home: Path,
    *,
    kind: str = "endpoint",
    ledger: bool = True,
    per_second: float | None = None,
) -> LiveService:
    """A service as a user would configure it."""
    known: dict[str, float | None] = dict.fromkeys(Limits.model_fields)
    known |= {"concurrency": AT_ONCE, "requests_per_second": per_second}
    config = {
        "kind": kind,
        "name": "local",
        "model": "tiny" if kind == "endpoint" else "openai/tiny",
        "api_base": url,
        "key_env": None if kind == "endpoint" else "BENCHMARK_CREDENTIAL",
        "max_tokens": 100,
        "temperature": None,
        "top_p": None,
        "form": "words",
        "extra": {},
        "price": {"input_usd": "1", "output_usd": "2", "simulated": False},
        "retired": None,
        "record": None,
        "runtime": {"limits": known, "timeout": 60.0, "attempts": 6, "ledger": ledger},
    }
    context = ServiceContext(home, {}, "benchmark", Decimal(1000))
    return LiveService.of(ApiServiceConfig.model_validate(config), context)


def requests(count: int) -> list[Request]:
    """Requests of some hundred words."""
    return [
        Request(
            id=f"row {i}",
            messages=(Message(role="user", content=f"row {i}. {TEXT}"),),
            max_tokens=100,
        )
        for i in range(count)
    ]


@contextmanager
def home() -> Iterator[Path]:
    """A folder for a ledger, beside the temporary files that a user would have."""
    with tempfile.TemporaryDirectory(prefix="llamaduo-benchmark-") as folder:
        yield Path(folder)


def measured(what: str, count: int, work: Callable[[], object]) -> float:
    """Do the work and print its figures; gives requests per second."""
    cpu, start = time.process_time(), time.perf_counter()
    work()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    figures = f"{count / seconds:6.0f} requests/s  {cpu / count * 1e3:.2f} ms CPU per request"
    print(f"{what:<34}{figures}", flush=True)
    return count / seconds


def answered(live: LiveService, asked: list[Request]) -> None:
    """Ask, and see that each row has an answer."""
    outcomes = list(live.complete(asked))
    assert len(outcomes) == len(asked)
    assert all(isinstance(outcome, Completion) for outcome in outcomes)


def bodies(count: int) -> list[dict[str, Any]]:
    """The same requests, as a client without llamaduo sends them."""
    return [
        {
            "messages": [{"role": "user", "content": request.messages[0].content}],
            "max_tokens": request.max_tokens,
        }
        for request in requests(count)
    ]


async def at_once(one: Callable[[dict[str, Any]], Awaitable[object]], count: int) -> None:
    """Send all, AT_ONCE under way."""
    left = iter(bodies(count))

    async def worker() -> None:
        for body in left:
            await one(body)

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))


# ---------------------------------------------------------------- what is measured


def endpoint(rows: int, times: int) -> None:
    """`service=endpoint` with the ledger on and off, beside raw aiohttp."""
    import aiohttp

    async def raw(url: str) -> None:
        connector = aiohttp.TCPConnector(limit=AT_ONCE)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def one(body: dict[str, Any]) -> None:
                told = {"model": "tiny"} | body
                async with session.post(f"{url}/chat/completions", json=told) as answer:
                    await answer.json()

            await at_once(one, rows)

    with server() as up:
        for _ in range(times):
            measured("raw aiohttp", rows, lambda: asyncio.run(raw(up.url)))
            for ledger in (True, False):
                with home() as folder:
                    live = service(up.url, folder, ledger=ledger)
                    asked = requests(rows)
                    what = f"service=endpoint, ledger {'on' if ledger else 'off'}"
                    measured(what, rows, lambda live=live, asked=asked: answered(live, asked))  # type: ignore[misc]


def litellm(rows: int, times: int) -> None:
    """Through litellm, beside litellm alone."""
    import litellm as bare

    os.environ["BENCHMARK_CREDENTIAL"] = "unused-0"
    bare.suppress_debug_info = True
    logging.getLogger("LiteLLM").setLevel(logging.ERROR)

    async def alone(url: str) -> None:
        async def one(body: dict[str, Any]) -> None:
            await bare.acompletion(
                model="openai/tiny", api_base=url, api_key="unused-0", max_retries=0, **body
            )

        await at_once(one, rows)

    with server() as up:
        asyncio.run(alone(up.url))  # it imports much at its first calls
        for _ in range(times):
            before = measured("litellm alone", rows, lambda: asyncio.run(alone(up.url)))
            with home() as folder:
                live = service(up.url, folder, kind="litellm")
                asked = requests(rows)
                ours = measured(
                    "through litellm, ledger on",
                    rows,
                    lambda live=live, asked=asked: answered(live, asked),  # type: ignore[misc]
                )
            print(f"{'ratio':<34}{ours / before:6.2f}", flush=True)


def limited(rows: int, times: int) -> None:
    """A server with a limit, which is configured or has to be found."""
    for _ in range(times):
        for kind in ("bucket", "window"):
            for known in (True, False):
                with server(kind) as up, home() as folder:
                    live = service(up.url, folder, per_second=RATE if known else None)
                    start = time.perf_counter()
                    outcomes = list(live.complete(requests(rows)))
                    seconds = time.perf_counter() - start
                    _, facts = up.facts()
                lost = rows - sum(isinstance(outcome, Completion) for outcome in outcomes)
                share = facts["refused"] / live.counts.sent
                print(
                    f"{kind + ', limit ' + ('configured' if known else 'unknown'):<34}"
                    f"{seconds:6.2f} s for {rows} rows  {facts['refused']} calls rejected "
                    f"({share:.1%})  {lost} rows lost",
                    flush=True,
                )


def kills(rows: int, times: int) -> None:
    """A process that is killed at a random moment, and the same command again."""
    chance, worst = random.Random(), 0
    for number in range(times):
        with server() as up, home() as folder:
            command = [sys.executable, __file__, "client", up.url, str(folder), "--rows", str(rows)]
            process = subprocess.Popen(command)
            after = chance.randrange(1, rows * 9 // 10)
            while sum(up.facts()[0].values()) < after and process.poll() is None:
                time.sleep(0.002)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            asked, facts = up.facts()
            in_flight, sent = facts["in_flight"], sum(asked.values())
            live = service(up.url, folder)
            with contextlib.redirect_stdout(io.StringIO()):
                outcomes = list(live.complete(requests(rows)))
            asked, _ = up.facts()
        present = sum(isinstance(outcome, Completion) for outcome in outcomes)
        twice = sum(count - 1 for count in asked.values())
        worst = max(worst, twice - live.counts.expired)
        print(
            f"kill {number + 1:>2} after {sent:>4} calls: {live.counts.expired:>2} expired "
            f"(server: {in_flight} in flight), {twice:>2} paid twice, {present}/{rows} rows",
            flush=True,
        )
    print(f"{'paid twice beyond those under way':<34}{worst:6d}" if worst > 0 else "never more")


def ledger(rows: int, times: int) -> None:
    """A large ledger: opening it, and looking answers up."""
    bill = Bill(calls=1, input_tokens=120, output_tokens=80, usd=Decimal("0.00028"))
    keys = [f"{i * 7919 % rows:016x}-{i:016x}" for i in range(rows)]
    with home() as folder:
        with opened(folder) as (made, _):
            for start in range(0, rows, 5000):
                with made.transaction() as transaction:
                    some = keys[start : start + 5000]
                    transaction.keep(
                        [(k, KeptAnswer(SAID, None, "tiny", "stop", bill)) for k in some]
                    )
        size = (folder / "ledger.db").stat().st_size / 2**20
        for _ in range(times):
            random.shuffle(keys)
            start_at = time.perf_counter()
            with opened(folder) as (made, owner), owner.held(lambda dead: None):
                made.look_up(keys[:1])
                opening = time.perf_counter() - start_at
                some = keys[:20_000]
                start_at = time.perf_counter()
                found = made.look_up(some)
                seconds = time.perf_counter() - start_at
                assert len(found) == len(some)
            print(
                f"{f'ledger of {rows:,} answers, {size:.0f} MiB':<34}"
                f"opens in {opening:.3f} s  {len(some) / seconds:,.0f} look-ups/s",
                flush=True,
            )


WORK: dict[str, tuple[Callable[[int, int], None], int, int]] = {
    "endpoint": (endpoint, 4000, 3),
    "litellm": (litellm, 1000, 2),
    "limited": (limited, 1000, 1),
    "kills": (kills, 500, 20),
    "ledger": (ledger, 100_000, 3),
}


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=[*WORK, "all", "client"])
    parser.add_argument("place", nargs="*", help="of the client that is killed")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--times", type=int)
    told = parser.parse_args()
    _on_core(1)
    if told.what == "client":
        answered(service(told.place[0], Path(told.place[1])), requests(told.rows))
        return
    for name in WORK if told.what == "all" else [told.what]:
        work, rows, times = WORK[name]
        work(told.rows or rows, told.times or times)


if __name__ == "__main__":
    main()
