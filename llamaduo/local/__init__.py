"""The local LLM on this machine; `build` makes the one that the configuration names."""

from llamaduo.config import (
    FakeLocalConfig,
    LocalConfig,
)
from llamaduo.local.protocol import Local, Training
from llamaduo.local.trial import Trial

__all__ = ["Local", "Training", "Trial", "build"]


def build(config: LocalConfig) -> Local:
    """Return the local LLM of the configuration; its weights are loaded when first needed."""
    if isinstance(config, FakeLocalConfig):
        from llamaduo.local.fake import FakeLocal

        return FakeLocal(config)
    from llamaduo.local.hf import HfLocal

    return HfLocal(config)
