"""A ping: one call of one token, to see whether a service answers."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from llamaduo import service
from llamaduo.base.errors import LlamaduoError
from llamaduo.base.format import exact_dollars
from llamaduo.config import ApiServiceConfig
from llamaduo.records import Message
from llamaduo.service.protocol import Completion, Request, ServiceContext

SAMPLE = 2**31  # a number that no stage uses


def ping(config: ApiServiceConfig, context: ServiceContext) -> str:
    """Call the service once; return "ok" with latency and cost, or "no" with the cause.

    Nothing is kept: no ledger, no recording, and no purse counts the cost.
    """
    runtime = config.runtime.model_copy(update={"ledger": False, "attempts": 1})
    config = config.model_copy(update={"runtime": runtime, "record": None})
    message = Message(role="user", content="Say yes.")
    request = Request(id="ping", messages=(message,), max_tokens=1, sample=SAMPLE, purpose="ping")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        try:
            live = service.build(config, replace(context, home=Path(home), purse="ping"))
            (outcome,) = live.complete([request])
        except LlamaduoError as error:
            return f"no: {error}"
    seconds = time.monotonic() - began
    if not isinstance(outcome, Completion):
        return f"no: {outcome.cause}"
    bill = outcome.bill
    cost = "at an unknown price" if bill.usd is None else exact_dollars(bill.usd)
    tokens = f"{bill.input_tokens} + {bill.output_tokens} tokens"
    return f"ok: {outcome.model} in {seconds:.2f} s, {tokens}, {cost}"
