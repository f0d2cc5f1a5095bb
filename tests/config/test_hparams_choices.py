"""The settings of an adapter: what they refuse, and when two of them are the same."""

import re

import pytest
from pydantic import ValidationError
from support.experiments import composed

from llamaduo import cli
from llamaduo.base.errors import ConfigError
from llamaduo.config import Experiment


def identity(*words: str) -> object:
    return composed("hparams=qlora", *words).hparams.identity()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["hparams.epochs=2", "hparams.steps=5"], "epochs=2 and steps=5: set one of them"),
        (["hparams.epochs=null"], "epochs=null and steps=null: set one of them"),
        (["hparams.alpha_ratio=2"], "alpha=32 and alpha_ratio=2: set one of them"),
        (["hparams.bias=all"], "bias=all with quantization=nf4: .* use quantization=none"),
        (["hparams.optimizer=adam"], "hparams.optimizer=adam: .*adamw_8bit"),
        (["hparams.loraplus_ratio=0.5"], "hparams.loraplus_ratio=0.5: .*greater than or equal"),
        (["hparams.early_stopping.patience=0"], "hparams.early_stopping.patience=0: "),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(words: list[str], message: str):
    with pytest.raises((ConfigError, ValidationError)) as caught:
        composed("hparams=qlora", *words)
    said = cli.message_of(caught.value, Experiment)
    assert "\n" not in said
    assert re.search(message, said)


def test_two_ways_to_say_one_thing_are_one_identity():
    assert identity("hparams.alpha=null", "hparams.alpha_ratio=2") == identity("hparams.alpha=32")
    assert identity("hparams.alpha=null", "hparams.alpha_ratio=2", "hparams.r=8") == identity(
        "hparams.alpha=16", "hparams.r=8"
    )
    dense = ("hparams.quantization=none", "hparams.double_quantization=false")
    assert identity(*dense) == identity("hparams.quantization=none")
    assert identity("hparams.early_stopping.looks=3") == identity()
    assert identity("hparams.runtime.micro_batch_size=1") == identity()


@pytest.mark.parametrize(
    "word",
    [
        "hparams.double_quantization=false",
        "hparams.alpha=16",
        "hparams.dora=true",
        "hparams.init=pissa",
        "hparams.neftune_alpha=5",
        "hparams.early_stopping.patience=2",
    ],
)
def test_what_changes_an_adapter_changes_its_identity(word: str):
    assert identity(word) != identity()


def test_the_paper_s_adapters_grow_with_the_volume():
    shapes = {
        name: composed(f"hparams={name}").hparams
        for name in ("paper_16k", "paper_32k", "paper_256k", "paper_gemma_2b_256k")
    }
    assert [(h.r, h.scale) for h in shapes.values()] == [(8, 16), (16, 32), (32, 64), (8, 16)]
    assert {h.learning_rate for h in shapes.values()} == {2e-4}
    assert [h.epochs for h in shapes.values()] == [10, 10, 10, 15]
    assert [h.max_length for h in shapes.values()] == [1024, 1024, 1024, 2048]
