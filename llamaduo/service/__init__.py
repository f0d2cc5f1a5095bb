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
    """Return the key that the option leaves to the user, as the user can set it; None: none."""
    for name in ("model", "api_base"):
        value = getattr(config, name)
        if value is not None and ("???" in value or "<" in value):
            example = "" if "???" in value else f" for {value}"
            return f"service.{name}=…{example} ('judge.client.{name}=…' for a judge's client)"
    return None


def build(config: ServiceConfig, context: ServiceContext) -> Service:
    """Return the service LLM that the configuration names.

    Raises:
        ConfigError: the configuration lacks a value, or the price is not known.
    """
    if isinstance(config, ApiServiceConfig):
        from llamaduo.service.live import LiveService

        if (missing := missing_value(config)) is not None:
            raise ConfigError(f"service={config.name} leaves it to you to set {missing}")
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
