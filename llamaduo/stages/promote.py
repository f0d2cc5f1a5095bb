"""promote: what the registry keeps of a qualified model: its adapter, and how to ask it."""

import json
import shutil
from pathlib import Path

from llamaduo.artifact import Artifact, Json, write_atomically
from llamaduo.config import HparamsConfig, LocalConfig
from llamaduo.local import Local
from llamaduo.stage import Stage
from llamaduo.stages.finetune import Adapter

VERSION = 1


class Bundle(Artifact):
    """`bundle/`: `champion.json` and `adapter/`; the base is named by its sha256, not copied."""

    @property
    def path(self) -> Path:
        """The folder that the registry takes."""
        return self.home / "bundle"


def promote(
    local: Local,
    config: LocalConfig,
    hparams: HparamsConfig,
    adapter: Adapter,
    *,
    task: str,
    system: str | None,
    max_new_tokens: int,
    seed: int,
) -> Stage[Bundle]:
    """The stage that packs a champion, with all that a new process needs to answer as it does."""
    champion: dict[str, Json] = {
        "task": task,
        "system": system,
        "max_new_tokens": max_new_tokens,
        "seed": seed,
        "model": f"{task}-{local.name}",
        "local": config.model_dump(mode="json"),
        "hparams": hparams.model_dump(mode="json"),
        "identity": dict(local.identity(hparams)),
    }
    identity: dict[str, Json] = {
        "version": VERSION,
        "adapter": adapter.fingerprint,
        "champion": {k: v for k, v in champion.items() if k not in ("local", "hparams")},
    }

    def run(home: Path) -> Bundle:
        bundle = Bundle(home=home)
        shutil.rmtree(bundle.path, ignore_errors=True)
        shutil.copytree(adapter.path, bundle.path / "adapter")
        text = json.dumps(champion, indent=1, ensure_ascii=False) + "\n"
        write_atomically(bundle.path / "champion.json", text)
        return bundle

    return Stage("promote", Bundle, identity, run)
