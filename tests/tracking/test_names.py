"""Names by which the runs of a task are told apart."""

import pytest
from support.experiments import composed

from llamaduo.tracking.names import run_name

START = "python -m llamaduo +experiment=summarize"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ((), "summarize · smollm2_135m · seed 42"),
        (("seed=7", "local=gemma_2b"), "summarize · gemma_2b · seed 7"),
        (
            ("hparams.r=8", "gate=relative", "tracking.home=elsewhere"),
            "summarize · smollm2_135m · hparams.r=8 gate=relative · seed 42",
        ),
        (("name=mine",), "mine · summarize · smollm2_135m · seed 42"),
        (("tracking.run_name=just this",), "just this"),
    ],
)
def test_a_name_has_what_differs(words: tuple[str, ...], name: str):
    exp = composed("+experiment=summarize", *words)
    quoted = [f"'{word}'" if " " in word else word for word in words]
    assert run_name(exp, " ".join([START, *quoted])) == name


def test_a_long_name_is_cut():
    exp = composed("+experiment=summarize")
    name = run_name(exp, f"{START} service.model={'m' * 300}")
    assert len(name) == 200
    assert name.endswith("…")
