"""Every choice that conf/ offers composes and is valid, alone and in every experiment."""

from itertools import chain
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from support.experiments import composed

from llamaduo import cli

GROUPS = (
    "task",
    "service",
    "local",
    "judge",
    "hparams",
    "synthesis",
    "gate",
    "yardsticks",
    "workload",
    "hardware",
    "tracking",
)


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (cli.CONF / group).glob("*.yaml"))


CHOICES = list(chain.from_iterable([(g, o) for o in options(g)] for g in GROUPS))


@pytest.mark.parametrize("experiment", options("experiment"))
@pytest.mark.parametrize(("group", "option"), CHOICES)
def test_every_option_composes_with_every_experiment(experiment, group, option):
    exp = composed(f"+experiment={experiment}", f"{group}={option}")
    chosen = getattr(exp, group)
    assert chosen == getattr(composed(f"{group}={option}"), group)


@pytest.mark.parametrize("experiment", options("experiment"))
@pytest.mark.parametrize("client", options("service"))
def test_the_judge_can_ask_every_service(experiment, client):
    """Also another one than the migration's own, with values of its own."""
    words = ("judge=llm", f"service@judge.client={client}", "judge.client.max_tokens=77")
    exp = composed(f"+experiment={experiment}", "service=fake", *words)
    assert exp.judge.client.name == client
    assert exp.judge.client.max_tokens == 77
    assert exp.service == composed("service=fake").service
    assert exp.judge.repeats == composed("judge=llm").judge.repeats == 10


@pytest.mark.parametrize(
    "name", ["gemma_2b", "gemma_7b", "mistral_7b", "llama3_8b", "llama32_1b", "smollm2_135m"]
)
def test_promised_local_models_are_there(name):
    local = composed(f"local={name}").local
    assert local.kind == "hf"
    assert "/" in local.hub_id
    assert local.name == name


FILES = sorted([*cli.CONF.rglob("*.yaml"), *(cli.CONF / "sweeps").glob("*.yaml")])


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_file_opens_with_what_it_is_and_how_to_use_it(path: Path):
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = next(line for line in lines if not line.startswith("# @package"))
    assert comment.startswith("# ")
    stem = path.stem
    commands = {name: f"llamaduo.{name}" for name in ("ask", "cost", "doctor", "report")}
    commands["config"] = "python -m llamaduo"
    used = commands.get(stem, f"={stem}")
    assert used in comment


def test_an_option_and_a_value_inside_it_both_win_over_the_experiment():
    exp = composed("+experiment=summarize", "gate=paper_absolute", "hparams.epochs=7", "seed=3")
    assert exp.gate.kind == "absolute"
    assert exp.hparams.epochs == 7
    assert exp.seed == 3


@pytest.mark.parametrize("sweep", options("sweeps"))
@pytest.mark.parametrize("experiment", options("experiment"))
def test_every_sweep_composes_with_every_experiment_and_sets_no_key_of_a_group(experiment, sweep):
    """What it varies it varies as `hydra.sweeper.params`, so that a word can pin it."""
    plain = composed(f"+experiment={experiment}")
    assert composed(f"+experiment={experiment}", f"+sweeps={sweep}") == plain


@pytest.mark.parametrize("launcher", ["basic", "joblib", "slurm"])
def test_every_launcher_composes_with_a_sweep(launcher):
    words = ["+experiment=summarize", "+sweeps=qlora", f"hydra/launcher={launcher}"]
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        made = compose("config", overrides=words, return_hydra_config=True).hydra
    if launcher == "slurm":
        assert made.launcher._target_.endswith("SlurmLauncher")
        assert OmegaConf.to_container(made.launcher)["timeout_min"] == 240
    assert made.sweeper.n_jobs == 1


def test_no_yaml_instantiates_code():
    assert not [p for p in cli.CONF.rglob("*.yaml") if "_target_" in p.read_text(encoding="utf-8")]
