"""Pack what the registry keeps of a qualified model: its adapter, and how to ask it.

Its stage is called `promote`, as its folders are.
"""

import shutil
from pathlib import Path

from llamaduo.base.files import Json
from llamaduo.champion import Bundle
from llamaduo.config import HfLocalConfig, HparamsConfig, LocalConfig
from llamaduo.lab import Artifact, Stage
from llamaduo.local import Local
from llamaduo.records.identity import left_out
from llamaduo.stages.finetune import Adapter

VERSION = 1


class PackedBundle(Artifact):
    """A champion's bundle in `bundle/`; the base is named by its sha256, not copied."""

    @property
    def path(self) -> Path:
        """The folder that the registry takes."""
        return self.home / "bundle"


def pack(
    local: Local,
    config: LocalConfig,
    hparams: HparamsConfig,
    adapter: Adapter,
    *,
    task: str,
    system: str | None,
    max_new_tokens: int,
    seed: int,
) -> Stage[PackedBundle]:
    """Define the stage that packs a champion, with all that a new process needs to answer."""
    if isinstance(config, HfLocalConfig) and config.weights not in ("auto", "hub"):
        # The champion is asked from other folders than this one.
        there = str(Path(config.weights).expanduser().resolve())
        config = config.model_copy(update={"weights": there})
    bundle = Bundle(
        task=task,
        system=system,
        max_new_tokens=max_new_tokens,
        seed=seed,
        local=config,
        hparams=hparams,
        model=f"{task}-{local.name}",
        identity=dict(local.identity(hparams)),
    )
    identity: dict[str, Json] = {
        "version": VERSION,
        "adapter": adapter.fingerprint,
        "bundle": bundle.model_dump(
            mode="json",
            exclude={
                **left_out(bundle),
                "local": {"runtime": True, **left_out(bundle.local)},
                "hparams": {"runtime": True, **left_out(bundle.hparams)},
            },
        ),
    }

    def run(home: Path) -> PackedBundle:
        packed = PackedBundle(home=home)
        shutil.rmtree(packed.path, ignore_errors=True)
        shutil.copytree(adapter.path, packed.path / "adapter")
        bundle.save(packed.path)
        return packed

    return Stage("promote", PackedBundle, identity, run)
