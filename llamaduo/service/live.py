"""A service LLM behind an API, asked within limits and budget.

Requests that were answered before are answered by the request ledger; the `Dispatcher` makes calls
for the others.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from decimal import Decimal
from typing import Self

from llamaduo.base.errors import ConfigError, LabError
from llamaduo.base.files import Json, fingerprint
from llamaduo.base.liveness import ProcessLock
from llamaduo.base.progress import say
from llamaduo.base.redact import redacted
from llamaduo.config import ApiServiceConfig
from llamaduo.records import Price
from llamaduo.service.call_results import Call, CallCounts, CallPolicy
from llamaduo.service.dispatcher import Dispatcher
from llamaduo.service.ledger import AT_ONCE, Ledger, in_memory, opened
from llamaduo.service.protocol import Completion, Failure, Request, ServiceContext
from llamaduo.service.rate_limits import Size
from llamaduo.service.transport import Transport

# Tokens that a chat format may add, for each message and for a whole request.
PER_MESSAGE = 16
PER_REQUEST = 64


class LiveService:
    """A service that charges for its answers and has rate limits.

    `connect` makes the transport of the calls, once for each `complete`. `counts` is about the
    calls of all of them.
    """

    replays = False

    def __init__(
        self,
        config: ApiServiceConfig,
        context: ServiceContext,
        connect: Callable[[], Transport],
        price: Price | None,
    ) -> None:
        self.name = config.name
        self.price = price
        self.counts = CallCounts()
        self._config = config
        self._context = context
        self._connect = connect
        address: dict[str, Json] = {
            "kind": config.kind,
            "model": config.model,
            "api_base": config.api_base,
            "key_env": json.dumps(config.key_env),
        }
        self._policy = CallPolicy(
            name=config.name,
            service=fingerprint("service", address),
            limits=config.runtime.limits,
            attempts=config.runtime.attempts,
            price=price,
            purse=context.purse,
            cap=context.cap,
            keeps=config.runtime.ledger,
        )

    @classmethod
    def of(cls, config: ApiServiceConfig, context: ServiceContext) -> Self:
        """Return the service of a configuration.

        Raises:
            ConfigError: its price is not known.
        """
        from llamaduo.money.prices import price_of

        return cls(config, context, lambda: _transport(config), price_of(config, context.prices))

    @property
    def identity(self) -> Mapping[str, Json]:
        """All that decides an answer besides the request: model, address and parameters."""
        config = self._config
        return {
            "kind": config.kind,
            "model": config.model,
            "api_base": redacted(config.api_base, {}),
            "temperature": config.temperature,
            "top_p": config.top_p,
            "form": config.form,
            "extra": config.extra,
        }

    def complete(self, requests: Sequence[Request]) -> Iterator[Completion | Failure]:
        """Yield outcomes, see `Service.complete`. A request with a kept answer is not sent again.

        Calls proceed only while the next outcome is waited for. So read one iterator to its end, or
        close it, before the same thread starts another: until then it holds its places in the
        limit, and its requests.

        Raises:
            ConfigError: the budget has a cap, and the price is not known.
            ServiceError: no call to the service can succeed.
            BudgetReached: the next call might exceed the cap.
            LabError: the ledger cannot be used.
        """
        if not requests:
            return
        if self._context.cap is not None and self.price is None:
            raise ConfigError(
                f"budget.usd={self._context.cap}: the price of service={self.name} is not known; "
                "set service.price={input_usd: …, output_usd: …, simulated: false}, or "
                "budget.usd=null"
            )
        with ExitStack() as stack:
            ledger, owner = self._ledger(stack)
            calls: list[Call] = []
            for portion in _portions(self._calls(requests)):
                answers = (
                    ledger.look_up([call.key for call in portion]) if self._policy.keeps else {}
                )
                for call in portion:
                    if call.key not in answers:
                        calls.append(call)
                        continue
                    self.counts.kept += len(call.requests)
                    for request in call.requests:
                        yield answers[call.key].outcome(request.id, kept=True)
            if calls:
                yield from self._dispatch(calls, ledger, owner)

    def _dispatch(
        self, calls: Sequence[Call], ledger: Ledger, owner: ProcessLock | None
    ) -> Iterator[Completion | Failure]:
        with ExitStack() as stack:
            if owner is not None:
                stack.enter_context(owner.held(lambda dead: self._expire(ledger, dead)))
                owner.opened()

            def reap() -> None:
                if owner is not None:
                    with owner.held(lambda dead: self._expire(ledger, dead)):
                        pass

            dispatcher = Dispatcher(self._policy, ledger, self._connect, self.counts, reap)
            try:
                yield from dispatcher.outcomes(calls)
            except LabError:
                # This error is the one to report; the next start expires what stays in flight.
                with suppress(LabError):
                    dispatcher.close()
                raise
            except BaseException:
                dispatcher.close()
                if owner is not None:
                    owner.closed()
                raise
            dispatcher.close()
            if owner is not None:
                owner.closed()

    def _ledger(self, stack: ExitStack) -> tuple[Ledger, ProcessLock | None]:
        # A cap holds for all processes, so they count in one ledger.
        if self._policy.keeps or self._context.cap is not None:
            return stack.enter_context(opened(self._context.home))
        return in_memory(), None

    def _expire(self, ledger: Ledger, dead: str) -> None:
        expired = ledger.expire(dead)
        self.counts.expired += expired
        if expired:
            calls = "1 call was" if expired == 1 else f"{expired} calls were"
            say(f"  ledger: {calls} in flight when a run died, and may be paid for again")

    def _calls(self, requests: Iterable[Request]) -> list[Call]:
        """Return one call for each distinct request, in the order of the first of each."""
        identity = fingerprint("service", dict(self.identity))
        extra = len(json.dumps(self._config.extra)) if self._config.extra else 0
        price = self.price if self.price is not None and not self.price.simulated else None
        calls: dict[str, Call] = {}
        for request in requests:
            key = f"{identity}-{request.key}"
            if key in calls:
                calls[key].requests.append(request)
                continue
            read = sum(len(message.content.encode()) for message in request.messages) + extra
            if request.form is not None:
                read += len(json.dumps(request.form.json_schema))
            most = read + PER_MESSAGE * len(request.messages) + PER_REQUEST
            calls[key] = Call(
                key=key,
                requests=[request],
                size=Size(read, request.max_tokens),
                # A token is at least one byte.
                worst=Decimal(0) if price is None else price.of(most, request.max_tokens),
            )
        return list(calls.values())


def _portions(calls: Sequence[Call]) -> Iterator[Sequence[Call]]:
    for start in range(0, len(calls), AT_ONCE):
        yield calls[start : start + AT_ONCE]


def _transport(config: ApiServiceConfig) -> Transport:
    if config.kind == "endpoint":
        from llamaduo.service.http import HttpTransport

        return HttpTransport(config)
    from llamaduo.service.litellm import LitellmTransport

    return LitellmTransport(config)
