"""The local LLM on this machine, and which one is built."""

from llamaduo.config import (
    FakeLocalConfig,
    LocalConfig,
)
from llamaduo.local.protocol import Local, Training
from llamaduo.local.trial import Trial

__all__ = ["Local", "Training", "Trial", "build"]


def build(config: LocalConfig) -> Local:
    """The local LLM that the configuration names; weights are looked for when first needed."""
    if isinstance(config, FakeLocalConfig):
        from llamaduo.local.fake import FakeLocal

        return FakeLocal(config)
    from llamaduo.local.hf import HfLocal

    return HfLocal(config)
