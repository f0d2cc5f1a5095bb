"""`conf/local`: the local LLMs."""

from decimal import Decimal
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from llamaduo.config.base import Config, Count


class Sampling(Config):
    """How the local LLM answers: K responses to a prompt, sampled at a temperature."""

    k: Count
    temperature: Annotated[float, Field(gt=0)]
    top_p: Annotated[float, Field(gt=0, le=1)]


class LocalRuntime(Config):
    """How the local LLM is run: memory and speed only.

    `batch_tokens` bounds a generation batch: rows × (longest prompt + new tokens).
    """

    batch_tokens: Count


class HfLocalConfig(Config):
    """`local=…` with `kind: hf`: a causal LM that transformers runs.

    `weights` is `auto` (a known package where there is one, else the hub), `hub`, or a path.
    `chat_template` is `tokenizer` for the tokenizer's own, or the name of one that llamaduo has.
    `system_role` says whether the template takes a system message (`native`) or has it put before
    the first user message (`merge`).
    """

    kind: Literal["hf"]
    name: str
    hub_id: str
    revision: str
    weights: str
    chat_template: Literal["tokenizer", "chatml"]
    system_role: Literal["native", "merge"]
    usd_per_hour: Decimal | None
    sampling: Sampling
    runtime: LocalRuntime


class FakeLocalConfig(Config):
    """`local=fake`: learns by remembering, for trying the loop and for tests."""

    kind: Literal["fake"]
    name: str
    usd_per_hour: Decimal | None
    sampling: Sampling


LocalConfig: TypeAlias = Annotated[HfLocalConfig | FakeLocalConfig, Field(discriminator="kind")]
