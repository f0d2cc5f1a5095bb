"""Every setting of `hparams` on a model of toy size: it trains, loads and is sampled as trained."""

import gc
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.towns import PAIRS, config, hparams

from llamaduo.base.errors import ConfigError, TrialPruned
from llamaduo.champion import Answerer
from llamaduo.config import HparamsConfig
from llamaduo.local import Training, precision
from llamaduo.local.hf import HfLocal
from llamaduo.local.sampling import Answer, Rules, decode, uniforms
from llamaduo.records import Pair
from llamaduo.stages.finetune import Adapter
from llamaduo.stages.pack import pack

pytestmark = pytest.mark.network  # the tokenizer comes from the package index, once

TRAIN, DEV = PAIRS[:8], PAIRS[8:]
#: Looks at dev at the end only, so that what was trained can be held against what is sampled.
ONCE = {"patience": 1, "looks": 1, "min_gain": 0.0, "pairs": None}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> HfLocal:
    """Two layers of random weights, with biases, under SmolLM2's tokenizer."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer = HfLocal(config()).chat.tokenizer
    folder = tmp_path_factory.mktemp("toy")
    torch.manual_seed(0)
    shape = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.1,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = Qwen2ForCausalLM(shape)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    gc.freeze()  # what was imported for it
    return HfLocal(config(weights=str(folder), hub_id="org/toy"))


def settings(**changes: Any) -> HparamsConfig:
    usual = {"learning_rate": 0.02, "epochs": 3, "early_stopping": ONCE}
    return hparams(**{**usual, **changes})


@pytest.fixture(scope="module")
def trained(
    toy: HfLocal, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[Training, Path]]:
    """Return a training with changed settings, run once for all tests, and its folder."""
    trainings: dict[str, tuple[Training, Path]] = {}

    def train(**changes: Any) -> tuple[Training, Path]:
        key = json.dumps(changes, sort_keys=True)
        if key not in trainings:
            out = tmp_path_factory.mktemp("out")
            trainings[key] = (toy.train(TRAIN, settings(**changes), seed=1, out=out, dev=DEV), out)
        return trainings[key]

    return train


@pytest.fixture(scope="module")
def untuned(toy: HfLocal) -> Callable[[HparamsConfig], float]:
    """Return the loss of the base as `hparams` have it sampled."""
    known: dict[tuple[str, bool], float] = {}

    def loss(chosen: HparamsConfig) -> float:
        key = (chosen.quantization, chosen.doubly_quantized)
        if key not in known:
            known[key] = loss_as_sampled(toy, chosen, None)
        return known[key]

    return loss


def loss_of(model: Any, toy: HfLocal, pairs: list[Pair]) -> float:
    """Mean cross-entropy per answer token, by transformers' own loss, row by row."""
    total, count = 0.0, 0
    with torch.no_grad():
        for row in map(toy.chat.row, pairs):
            learnt = len(row.tokens) - row.prompt
            ids, labels = torch.tensor([row.tokens]), torch.tensor([row.labels])
            total += model(input_ids=ids, labels=labels).loss.item() * learnt
            count += learnt
    return total / count


def loss_as_sampled(toy: HfLocal, chosen: HparamsConfig, adapter: Path | None) -> float:
    model = precision.load_for_sampling(
        toy.weights.path, chosen.quantization, adapter, chosen.double_quantization
    )
    return loss_of(model, toy, DEV)


#: Each value of each setting at least once; what does not touch one another, together.
SETTINGS: dict[str, dict[str, Any]] = {
    "nf4 without double quantisation": {"double_quantization": False},
    "fp4": {"quantization": "fp4"},
    "int8": {"quantization": "int8"},
    "none": {"quantization": "none"},
    "targets, alpha_ratio": {
        "target_modules": ["q_proj", "v_proj"],
        "alpha": None,
        "alpha_ratio": 4,
    },
    "bias all": {"quantization": "none", "bias": "all"},
    "bias lora_only": {"quantization": "none", "bias": "lora_only", "target_modules": ["q_proj"]},
    "dora": {"dora": True},
    "dora none": {"dora": True, "quantization": "none"},
    "rslora, cosine_with_min_lr": {"rslora": True, "scheduler": "cosine_with_min_lr"},
    "loraplus": {"loraplus_ratio": 8},
    "pissa rslora adafactor": {
        "init": "pissa",
        "rslora": True,
        "optimizer": "adafactor",
        "weight_decay": 0.1,
    },
    "olora int8": {"init": "olora", "quantization": "int8"},
    "olora dora loraplus": {"init": "olora", "dora": True, "loraplus_ratio": 4},
    "adamw_8bit loraplus": {"optimizer": "adamw_8bit", "loraplus_ratio": 4},
    "adamw_8bit, linear": {"optimizer": "adamw_8bit", "scheduler": "linear"},
    "adafactor, inverse_sqrt": {
        "optimizer": "adafactor",
        "scheduler": "inverse_sqrt",
        "warmup_ratio": 0.3,
    },
    "lion, constant": {
        "optimizer": "lion",
        "learning_rate": 0.005,
        "scheduler": "constant",
        "warmup_ratio": 0.3,
    },
    "sgd, warmup_stable_decay": {
        "optimizer": "sgd",
        "learning_rate": 1.0,
        "scheduler": "warmup_stable_decay",
    },
    "neftune, steps": {"neftune_alpha": 5, "epochs": None, "steps": 5},
    "dropout, decay": {"dropout": 0.2, "weight_decay": 0.3},
}


#: One of each kind; the others are slow, all together.
QUICK = ("nf4 without double quantisation", "none", "dora", "pissa rslora adafactor", "olora int8")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(changes, id=name, marks=[] if name in QUICK else [pytest.mark.slow])
        for name, changes in SETTINGS.items()
    ],
)
def test_what_was_trained_is_what_is_sampled(
    toy: HfLocal,
    trained: Callable[..., tuple[Training, Path]],
    untuned: Callable[[HparamsConfig], float],
    changes: dict[str, Any],
):
    """On the base as it always was: the adapter brings all that was learnt, and nothing else."""
    training, out = trained(**changes)
    chosen = settings(**changes)
    ((step, seen),) = training.dev_losses
    assert step == training.kept == training.losses[-1][0] == (chosen.steps or 6)
    before = untuned(chosen)
    after = loss_as_sampled(toy, chosen, out / "adapter")
    assert after < before - 0.5
    # Trained in bfloat16, sampled in float32.
    assert after == pytest.approx(seen, abs=0.02 * (before - after) + 0.01)
    plain = trained()[0]
    assert training.losses != plain.losses or training.dev_losses != plain.dev_losses
    (response,) = toy.generate(
        [(DEV[0].prompt, 0)],
        chosen,
        adapter=out / "adapter",
        temperature=0.7,
        top_p=1.0,
        max_new_tokens=4,
        seed=1,
        scratch=None,
    )
    assert response.completion_tokens


def test_a_warm_up_is_kept_by_every_schedule(toy: HfLocal, tmp_path: Path):
    from llamaduo.local import sft

    rows = sft.rows_of(TRAIN, toy.chat, 256)
    for scheduler in ("constant", "cosine", "inverse_sqrt", "warmup_stable_decay"):
        chosen = settings(scheduler=scheduler, warmup_ratio=0.5)
        base = precision.load_for_training(toy.weights.path, "none")
        trainer = sft.trainer_of(base, toy.chat, rows, chosen, seed=1, folder=tmp_path)
        trainer.create_optimizer_and_scheduler(6)
        rates = []
        for _ in range(6):
            rates.append(trainer.lr_scheduler.get_last_lr()[0])
            trainer.optimizer.step()
            trainer.lr_scheduler.step()
        assert rates[:4] == pytest.approx([0, 0.02 / 3, 0.04 / 3, 0.02])


@pytest.mark.parametrize("quantization", ["nf4", "int8", "none"])
@pytest.mark.parametrize("init", ["pissa", "olora"])
def test_a_start_from_the_base_weights_leaves_the_model_as_it_is(
    toy: HfLocal, tmp_path: Path, quantization: str, init: str
):
    from peft.utils.integrations import dequantize_module_weight

    from llamaduo.local import adapter, sft

    rows = sft.rows_of(TRAIN, toy.chat, 256)
    chosen = settings(init=init, quantization=quantization, alpha=24)

    def prepared() -> Any:
        base = precision.load_for_training(toy.weights.path, quantization)
        return sft.trainer_of(base, toy.chat, rows, chosen, seed=1, folder=tmp_path).model

    model, again = prepared(), prepared()
    untouched = loss_of(precision.load_for_training(toy.weights.path, quantization), toy, DEV)
    assert loss_of(model.eval(), toy, DEV) == pytest.approx(untouched, rel=2e-3)
    for layer, twin in zip(adapter._layers(model), adapter._layers(again), strict=True):
        a, b = (parameter.data for parameter in adapter._pair(layer))
        assert torch.equal(a, adapter._pair(twin)[0])
        weight = dequantize_module_weight(layer.get_base_layer()).float()
        first = layer.scaling["default"] * b[:, :8] @ a[:8]
        assert layer.scaling["default"] == 3
        if init == "pissa":  # the best approximation that eight ranks allow
            least = torch.linalg.svdvals(weight)[8:].square().sum().sqrt()
            assert (weight - first).norm() == pytest.approx(least.item(), rel=1e-3)
        else:  # the first columns, since R is triangular
            assert torch.allclose(first[:, :8] / 3, weight[:, :8], atol=1e-4)


def test_a_start_is_not_moved_by_any_optimiser(
    toy: HfLocal, trained: Callable[..., tuple[Training, Path]], tmp_path: Path
):
    from llamaduo.local import adapter, sft

    changes = SETTINGS["pissa rslora adafactor"]
    _, out = trained(**changes)
    adapter_file = load_file(out / "adapter/adapter_model.safetensors")
    rows = sft.rows_of(TRAIN, toy.chat, 256)
    base = precision.load_for_training(toy.weights.path, "nf4")
    fresh = sft.trainer_of(base, toy.chat, rows, settings(**changes), seed=1, folder=tmp_path).model
    for name, parameter in fresh.named_parameters():
        if "lora_A" in name:
            kept = adapter_file[name.replace(".default", "")]
            assert torch.equal(kept[8:], parameter.data[8:])
            assert not torch.allclose(kept[:8], parameter.data[:8], atol=1e-3)
    assert list(adapter._layers(fresh))


def test_an_unmerged_dora_adapter_says_the_same_in_our_own_decoding(
    toy: HfLocal, trained: Callable[..., tuple[Training, Path]]
):
    """On a GPU adapters are not merged into the base."""
    from peft import PeftModel

    changes = SETTINGS["dora none"]
    _, out = trained(**changes)
    base = precision.load_for_training(toy.weights.path, "none").float()
    with precision.settled_libraries():
        unmerged = PeftModel.from_pretrained(base, str(out / "adapter")).eval()
    merged = precision.load_for_sampling(toy.weights.path, "none", out / "adapter")
    prompts = [toy.chat.prompt_tokens(pair.prompt) for pair in PAIRS[:3]]
    rules = Rules(0.0, 1.0, 12, toy.chat.stops(None), toy.chat.end, 2)
    sampled = []
    for model in (unmerged, merged):
        answers = [Answer(i, uniforms(1, str(i), 0, 12)) for i in range(3)]
        list(decode(model, prompts, answers, rules))
        sampled.append([answer.tokens for answer in answers])
    assert sampled[0] == sampled[1]
    assert sampled[0] != [[]] * 3


@pytest.mark.parametrize("changes", [{"init": "pissa", "dora": True}, {"quantization": "int8"}])
def test_a_champion_of_any_setting_answers_as_it_did_in_training(
    toy: HfLocal, tmp_path: Path, changes: dict[str, Any]
):
    chosen = settings(**changes)
    (tmp_path / "stage").mkdir()
    training = toy.train(TRAIN, chosen, seed=1, out=tmp_path / "stage", dev=DEV)
    adapter = Adapter(home=tmp_path / "stage", training=training, rows=len(TRAIN))
    stage = pack(
        toy, toy._config, chosen, adapter, task="towns", system=None, max_new_tokens=8, seed=1
    )
    (tmp_path / "packed").mkdir()
    champion = Answerer(stage.run(tmp_path / "packed").path)
    prompt = TRAIN[0].prompt
    (wanted,) = toy.generate(
        [(prompt, 0)],
        chosen,
        adapter=adapter.path,
        temperature=0,
        top_p=1.0,
        max_new_tokens=8,
        seed=1,
        scratch=None,
    )
    messages = [message.model_dump() for message in prompt.messages]
    answer: Any = champion({"messages": messages})
    assert answer["choices"][0]["message"]["content"] == wanted.text


@pytest.mark.skipif(precision.device_class() == "cuda", reason="says what a CPU cannot do")
@pytest.mark.parametrize(
    ("optimizer", "instead"), [("paged_adamw", "adamw"), ("paged_adamw_8bit", "adamw_8bit")]
)
def test_what_needs_a_gpu_is_refused_before_anything_is_done(
    toy: HfLocal, tmp_path: Path, optimizer: str, instead: str
):
    words = rf"optimizer={optimizer}: paging needs CUDA.*; use hparams.optimizer={instead}$"
    for act in (
        lambda chosen: toy.identity(chosen),
        lambda chosen: toy.train(TRAIN, chosen, seed=1, out=tmp_path),
    ):
        with pytest.raises(ConfigError, match=words):
            act(settings(optimizer=optimizer))


@pytest.mark.skipif(precision.device_class() == "cuda", reason="says what a CPU cannot do")
def test_dora_on_eight_bits_is_refused_where_it_would_break(toy: HfLocal):
    with pytest.raises(ConfigError, match=r"dora=true with .*int8: that needs CUDA.*=nf4$"):
        toy.identity(settings(dora=True, quantization="int8"))


def test_biases_that_a_model_lacks_are_refused(tmp_path: Path):
    chosen = settings(quantization="none", bias="all")
    with pytest.raises(ConfigError, match=r"bias=all: there are no biases.*bias=none"):
        HfLocal(config()).train(TRAIN, chosen, seed=1, out=tmp_path, dev=DEV)


class Told:
    """A trial that keeps what it is told, and ends at a step if it is to."""

    number = 0

    def __init__(self, end: int | None = None) -> None:
        self.end, self.values = end, dict[int, float]()

    def report(self, value: float, step: int) -> None:
        self.values[step] = value
        if step == self.end:
            raise TrialPruned


class _Killed(Exception):
    pass


def kill_at(step: int) -> Any:
    from transformers import TrainerCallback

    class Kill(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == step:
                raise _Killed

    return Kill()


#: Falls on dev at first, and rises from then on.
OVERFITS = {
    "learning_rate": 0.05,
    "scheduler": "constant",
    "epochs": 20,
    "early_stopping": {"patience": 2, "looks": 20, "min_gain": 0.0, "pairs": 3},
}


@pytest.mark.parametrize("init", ["zero", "pissa"])
def test_early_stopping_keeps_the_best_and_survives_a_kill(toy: HfLocal, tmp_path: Path, init: str):
    from llamaduo.local import sft

    chosen = settings(**OVERFITS, init=init)

    def train(name: str, *callbacks: Any) -> Training:
        out = tmp_path / name
        out.mkdir(exist_ok=True)
        return sft.train(
            lambda: precision.load_for_training(toy.weights.path, "nf4"),
            toy.chat,
            TRAIN,
            chosen,
            seed=1,
            out=out,
            base="org/toy",
            dev=DEV,
            callbacks=callbacks,
        )

    whole = train("whole")
    looks = dict(whole.dev_losses)
    last = whole.losses[-1][0]
    assert last < 40
    assert list(looks) == list(range(2, last + 1, 2))
    assert whole.kept == min(looks, key=lambda step: looks[step]) == last - 4
    kept = loss_of(
        precision.load_for_sampling(toy.weights.path, "nf4", tmp_path / "whole/adapter"),
        toy,
        DEV[:3],
    )
    assert kept == pytest.approx(looks[whole.kept], rel=0.01)

    with pytest.raises(_Killed):
        train("cut", kill_at(last - 1))
    again = train("cut")
    assert again.kept == whole.kept
    assert dict(again.dev_losses) == pytest.approx(looks, rel=1e-3)
    assert [step for step, _ in again.losses] == [step for step, _ in whole.losses]
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["adapter"]
    one, other = (
        load_file(tmp_path / name / "adapter/adapter_model.safetensors")
        for name in ("whole", "cut")
    )
    assert all(torch.allclose(one[key], other[key], atol=1e-4) for key in one)


def test_a_pruned_training_leaves_no_adapter_and_can_be_gone_on_with(toy: HfLocal, tmp_path: Path):
    chosen = settings(epochs=4)  # 8 steps

    def train(name: str, trial: Told | None) -> Training:
        (tmp_path / name).mkdir(exist_ok=True)
        return toy.train(TRAIN, chosen, seed=1, out=tmp_path / name, dev=DEV, trial=trial)

    reports = Told()
    whole = train("whole", reports)
    assert list(reports.values) == [1, 2, 4]
    assert list(reports.values.values()) == sorted(reports.values.values())
    assert reports.values[4] < -whole.dev_losses[-1][1]
    # Reporting changes nothing.
    alone = train("alone", None)
    assert alone.losses == whole.losses
    assert alone.dev_losses == whole.dev_losses

    short = Told(end=2)
    with pytest.raises(TrialPruned) as pruned:
        train("cut", short)
    assert short.values == {step: reports.values[step] for step in (1, 2)}
    assert not (tmp_path / "cut/adapter").exists()
    assert pruned.value.tokens is not None
    assert 0 < pruned.value.tokens < whole.tokens / 2
    retold = Told()
    again = train("cut", retold)
    assert retold.values == pytest.approx(reports.values, rel=1e-3)
    assert dict(again.losses) == pytest.approx(dict(whole.losses), rel=1e-3)
    assert again.tokens == whole.tokens
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["adapter"]


def test_dev_must_be_there_to_be_looked_at(toy: HfLocal, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"early_stopping: there are no dev pairs"):
        toy.train(TRAIN, settings(), seed=1, out=tmp_path)
    long = [pair.model_copy(update={"response": "far " * 300}) for pair in DEV]
    with pytest.raises(ConfigError, match=r"max_length=256: all dev pairs"):
        toy.train(TRAIN, settings(), seed=1, out=tmp_path, dev=long)
    shutil.rmtree(tmp_path)
