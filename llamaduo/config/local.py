"""`conf/local`: the local LLMs."""

from decimal import Decimal
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from llamaduo.config.base import Config, Count


class Sampling(Config):
    """Sampling of the local LLM's answers.

    Attributes:
        k: the responses to each prompt.
        temperature: the temperature; lower is closer to greedy.
        top_p: the probability mass to sample from.
    """

    k: Count
    temperature: Annotated[float, Field(gt=0)]
    top_p: Annotated[float, Field(gt=0, le=1)]


class LocalRuntime(Config):
    """Settings of running the local LLM that change memory and speed only.

    Attributes:
        batch_tokens: the bound of a generation batch: rows × (longest prompt + new tokens).
    """

    batch_tokens: Count


class HfLocalConfig(Config):
    """`local=…` with `kind: hf`: a causal LM that transformers runs.

    Attributes:
        kind: the kind of local LLM.
        name: the name of this choice.
        hub_id: the model's id on the hub.
        revision: the branch, tag or commit on the hub.
        weights: `auto` (a known package where there is one, else the hub), `hub`, or a path.
        chat_template: `tokenizer` for the tokenizer's own, or the name of one of llamaduo's.
        system_role: `native` where the template takes a system message, `merge` to put it before
            the first user message.
        usd_per_hour: the dollars of an hour of this machine; null: not known.
        sampling: the sampling of answers.
        runtime: settings that change memory and speed only.
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
    """`local=fake`: learns by remembering, for trying the loop and for tests.

    Attributes:
        kind: the kind of local LLM.
        name: the name of this choice.
        usd_per_hour: the dollars of an hour of this machine; null: not known.
        sampling: the sampling of answers.
    """

    kind: Literal["fake"]
    name: str
    usd_per_hour: Decimal | None
    sampling: Sampling


LocalConfig: TypeAlias = Annotated[HfLocalConfig | FakeLocalConfig, Field(discriminator="kind")]
