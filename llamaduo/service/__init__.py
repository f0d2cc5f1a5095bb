"""The service LLM: asked within limits and budget, answered from the ledger, never paid twice."""

import sys

from llamaduo.base.errors import ConfigError
from llamaduo.config import ApiServiceConfig, FakeServiceConfig, ServiceConfig
from llamaduo.service.protocol import Completion, Failure, Form, Request, Service, ServiceContext

__all__ = [
    "Completion",
    "Failure",
    "Form",
    "Request",
    "Service",
    "ServiceContext",
    "build",
    "missing_value",
]


def missing_value(config: ApiServiceConfig) -> str | None:
    """What the chosen option leaves to the user to say, with the next act; None: nothing."""
    for name in ("model", "api_base"):
        value = getattr(config, name)
        if value is not None and ("???" in value or "<" in value):
            form = "" if "???" in value else f" for {value}"
            return f"service.{name}=…{form} ('judge.client.{name}=…' for a judge's client)"
    return None


def build(config: ServiceConfig, context: ServiceContext) -> Service:
    """The service LLM that the configuration names.

    Raises:
        ConfigError: the configuration lacks a value, or nobody knows the price.
    """
    if isinstance(config, ApiServiceConfig):
        from llamaduo.service.live import LiveService

        if (gap := missing_value(config)) is not None:
            raise ConfigError(f"service={config.name} leaves it to you to set {gap}")
        if config.retired is not None:
            words = f"its provider retired {config.model} ({config.retired}); new calls may fail"
            print(f"llamaduo: service={config.name}: {words}", file=sys.stderr, flush=True)
        live = LiveService.of(config, context)
        if config.record is None:
            return live
        from llamaduo.service.recorder import Recorder

        return Recorder(live, config.record)
    if isinstance(config, FakeServiceConfig):
        from llamaduo.service.fake import FakeService

        return FakeService(config)
    from llamaduo.service.recorded import RecordedService

    return RecordedService(config)
