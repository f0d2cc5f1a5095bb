"""The local LLM on real weights: what is learnt, what is drawn, what survives a kill."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.towns import PAIRS, config, hparams
from transformers.cache_utils import DynamicLayer

from llamaduo.base.errors import ConfigError
from llamaduo.config import HparamsConfig
from llamaduo.local import precision
from llamaduo.local.chat_template import Chat
from llamaduo.local.hf import HfLocal
from llamaduo.local.sampling import Answer, Rules, batches, decode, pick, uniforms
from llamaduo.records import Pair, Prompt
from llamaduo.testing.local import LocalContract

# The weights come from the package index, once. What trains or generates with them is slow.
pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def local() -> HfLocal:
    return HfLocal(config())


@pytest.mark.slow
class TestHfLocal(LocalContract):
    @pytest.fixture
    def hparams(self) -> HparamsConfig:
        return hparams(learning_rate=5e-3)

    @pytest.fixture
    def pairs(self) -> list[Pair]:
        return PAIRS


@pytest.fixture(scope="module")
def nf4(local: HfLocal) -> Any:
    """Give a base in 4 bits with an adapter that has already learnt something."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    base = precision.load_for_training(local.weights.path, "nf4")
    lora = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    with precision.settled_libraries():
        return get_peft_model(base, lora)


def test_only_the_answer_and_its_end_carry_labels(local: HfLocal):
    row = local.chat.row(PAIRS[1])
    assert row.tokens[: row.prompt] == local.chat.prompt_tokens(PAIRS[1].prompt)
    assert set(row.labels[: row.prompt]) == {-100}
    learnt = local.chat.tokenizer.decode(row.labels[row.prompt :])
    assert learnt == PAIRS[1].response + "<|im_end|>"


@pytest.mark.slow
def test_gradients_after_a_generation_equal_those_before(nf4: Any):
    ids = torch.arange(5, 45).reshape(2, 20)

    def gradients() -> list[torch.Tensor]:
        nf4.train()
        nf4.zero_grad()
        nf4(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        return [p.grad.clone() for p in nf4.parameters() if p.grad is not None]

    before = gradients()
    nf4.eval()
    with torch.no_grad():
        nf4.generate(input_ids=ids, max_new_tokens=2, do_sample=False, pad_token_id=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        after = gradients()
    assert all(g.abs().max() > 0 for g in before)
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))


@pytest.mark.slow
def test_the_loss_is_that_of_trl(local: HfLocal, tmp_path: Path):
    from trl import SFTTrainer

    from llamaduo.local import sft
    from llamaduo.local.trainer import LabelledTrainer

    rows = sft.rows_of(PAIRS[:4], local.chat, 256)
    losses = []
    for kind in (SFTTrainer, LabelledTrainer):
        base = precision.load_for_training(local.weights.path, "nf4")
        trainer = sft.trainer_of(
            base, local.chat, rows, hparams(), seed=1, folder=tmp_path, kind=kind
        )
        batch = trainer.data_collator([trainer.train_dataset[i] for i in range(4)])
        count = (batch["labels"][:, 1:] != -100).sum()
        assert count == sum(len(row.tokens) - row.prompt for row in rows)
        with torch.no_grad():
            losses += [
                [
                    trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=n).item()
                    for n in (count, None, 2 * count)
                ]
            ]
    assert losses[1] == pytest.approx(losses[0], rel=2e-4)
    assert losses[1][2] == pytest.approx(losses[1][0] / 2)


class _Killed(Exception):
    pass


@pytest.mark.slow
def test_an_interrupted_training_ends_as_if_it_had_not_been(
    local: HfLocal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from safetensors.torch import load_file
    from transformers import TrainerCallback

    from llamaduo.local import sft

    class KillAt5(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 5:
                raise _Killed

    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    settings = hparams(batch_size=4, epochs=2, dropout=0.1)  # 2 × 3 steps, a checkpoint at 4

    def train(name: str, *callbacks: Any) -> Any:
        out = tmp_path / name
        out.mkdir(exist_ok=True)
        return sft.train(
            lambda: precision.load_for_training(local.weights.path, "nf4"),
            local.chat,
            PAIRS,
            settings,
            seed=3,
            out=out,
            base="org/base",
            callbacks=callbacks,
        )

    whole = train("whole")
    with pytest.raises(_Killed):
        train("cut", KillAt5())
    torn = tmp_path / "cut/checkpoints/checkpoint-5"  # as a kill while it was written leaves it
    torn.mkdir()
    (torn / "trainer_state.json").write_text('{"log_his')
    again = train("cut")

    assert [step for step, _ in again.losses] == [1, 2, 3, 4, 5, 6]
    assert dict(again.losses) == pytest.approx(dict(whole.losses), rel=1e-4)
    assert (again.tokens, again.completion_tokens) == (whole.tokens, whole.completion_tokens)
    rows = [local.chat.row(pair) for pair in PAIRS]
    assert whole.tokens == 2 * sum(len(row.tokens) for row in rows)
    assert whole.completion_tokens == 2 * sum(len(row.tokens) - row.prompt for row in rows)
    one, other = (
        load_file(tmp_path / name / "adapter/adapter_model.safetensors")
        for name in ("whole", "cut")
    )
    assert all(torch.allclose(one[key], other[key], atol=1e-4) for key in one)
    assert whole.losses[-1][1] < whole.losses[0][1]
    # Nothing but the adapter, which names no folder of this machine.
    assert [p.name for p in (tmp_path / "cut").iterdir()] == ["adapter"]
    assert list((tmp_path / "cwd").iterdir()) == []
    assert '"org/base"' in (tmp_path / "cut/adapter/adapter_config.json").read_text()


@pytest.mark.slow
def test_rows_in_parts_make_the_same_step(local: HfLocal, tmp_path: Path):
    losses = []
    for micro in (4, 2):
        out = tmp_path / str(micro)
        out.mkdir()
        losses.append(local.train(PAIRS[:4], hparams(micro=micro), seed=1, out=out).losses[0][1])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_what_fits_is_a_matter_of_positions(local: HfLocal):
    """SmolLM2-135M-Instruct has 8,192 of them."""
    prompt = PAIRS[0].prompt
    size = len(local.chat.prompt_tokens(prompt))
    assert local.fits(prompt, 8192 - size)
    assert not local.fits(prompt, 8193 - size)


def test_pairs_that_do_not_fit_are_refused_by_name(local: HfLocal, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"max_length=20: 12 of 12 .*town-\d+ \d+; set"):
        local.train(PAIRS, hparams(max_length=20), seed=1, out=tmp_path)


def test_a_synthesised_pair_that_does_not_fit_is_left_out(local: HfLocal):
    precision.import_bitsandbytes()
    from llamaduo.local import sft

    own, synthesised = PAIRS[0], PAIRS[1]
    long = synthesised.model_copy(update={"origin": "synthesis", "response": "very long " * 100})
    assert [row.id for row in sft.rows_of([own, long], local.chat, max_length=150)] == [own.id]
    with pytest.raises(ConfigError, match=r"1 of 1 training pairs"):
        sft.rows_of([long.model_copy(update={"origin": "coverage"})], local.chat, max_length=150)


@pytest.mark.slow
def test_sampling_computes_with_the_values_that_were_trained_on(local: HfLocal):
    from bitsandbytes.functional import dequantize_4bit

    path = local.weights.path
    packed = precision.load_for_training(path, "nf4").model.layers[3].mlp.up_proj.weight
    dense = precision.load_for_sampling(path, "nf4", None)
    values = dequantize_4bit(packed.data, packed.quant_state)
    if precision.device_class() == "cpu":
        assert {p.dtype for p in dense.parameters()} == {torch.float32}
        assert torch.equal(dense.model.layers[3].mlp.up_proj.weight, values.float())


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_an_answer_does_not_depend_on_its_batch(local: HfLocal, temperature: float):
    asks = [(pair.prompt, k) for pair in PAIRS[:4] for k in (0, 1)]

    def answers(some: list[tuple[Prompt, int]], seed: int = 5) -> dict[tuple[str, int], str]:
        responses = local.generate(
            some,
            hparams(),
            adapter=None,
            temperature=temperature,
            top_p=0.9,
            max_new_tokens=8,
            seed=seed,
            scratch=None,
        )
        return {(r.prompt_id, r.k): r.text for r in responses}

    together = answers(asks)
    assert together.keys() == {(prompt.id, k) for prompt, k in asks}
    assert answers([asks[5]]) == {(asks[5][0].id, 1): together[asks[5][0].id, 1]}
    if temperature:
        assert together != answers(asks, seed=6)
        assert together["town-1", 0] != together["town-1", 1]
    else:
        assert together["town-1", 0] == together["town-1", 1]


@pytest.mark.slow
def test_an_interrupted_generation_goes_on_from_its_drafts(
    local: HfLocal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("llamaduo.local.drafts.SECONDS", 0.0)
    asks = [(pair.prompt, k) for pair in PAIRS[:6] for k in (0, 1)]
    steps: list[int] = []

    def generate(some: list[tuple[Prompt, int]], scratch: Path | None) -> Any:
        model = local._model("nf4", None)
        hook = model.register_forward_hook(lambda *_: steps.append(1))
        try:
            yield from local.generate(
                some,
                hparams(),
                adapter=None,
                temperature=0.7,
                top_p=0.9,
                max_new_tokens=24,
                seed=5,
                scratch=scratch,
            )
        finally:
            hook.remove()

    whole = {(r.prompt_id, r.k): r for r in generate(asks, None)}
    undisturbed = len(steps)
    steps.clear()
    cut = generate(asks, tmp_path)
    had = [next(cut)]  # at the latest when the longest answers are done, so the rest is under way
    cut.close()
    done, before = {(r.prompt_id, r.k) for r in had}, len(steps)
    assert (tmp_path / "drafts.json").exists()
    steps.clear()
    rest = list(generate([a for a in asks if (a[0].id, a[1]) not in done], tmp_path))
    assert {(r.prompt_id, r.k): r for r in (*had, *rest)} == whole
    assert before > 3
    assert len(steps) + before <= undisturbed + 2  # reading the beginnings anew, and one step
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", range(5))
def test_the_cache_holds_what_that_of_transformers_holds(seed: int):
    from transformers import LlamaConfig

    from llamaduo.local.kv_cache import RoomyLayer, cache_for

    chance = np.random.default_rng(seed)
    ours, theirs = cache_for(LlamaConfig(num_hidden_layers=1), room=3).layers[0], DynamicLayer()
    assert isinstance(ours, RoomyLayer)
    rows = 4
    for step in range(12):
        new = torch.randn(2, rows, 2, 5 if step == 0 else 1, 3)
        for got, wanted in zip(ours.update(*new), theirs.update(*new), strict=True):
            assert torch.equal(got, wanted)
        if chance.random() < 0.6:
            size = int(chance.integers(1, 6 if step < 6 else rows + 1))
            chosen = torch.from_numpy(chance.integers(0, rows, size))
            ours.batch_select_indices(chosen)
            theirs.batch_select_indices(chosen)
            rows = size
        assert torch.equal(ours.keys, theirs.keys)
        assert torch.equal(ours.values, theirs.values)
        assert ours.get_seq_length() == theirs.get_seq_length()


@pytest.mark.slow
def test_an_adapter_changes_the_answers_and_lengths_are_counted(local: HfLocal, tmp_path: Path):
    settings = hparams(epochs=3, learning_rate=3e-3)
    local.train(PAIRS, settings, seed=2, out=tmp_path)

    def ask(adapter: Path | None, n: int) -> Any:
        return next(
            local.generate(
                [(PAIRS[0].prompt, 0)],
                settings,
                adapter=adapter,
                temperature=0,
                top_p=1,
                max_new_tokens=n,
                seed=1,
                scratch=None,
            )
        )

    tuned, untuned = ask(tmp_path / "adapter", 16), ask(None, 16)
    assert tuned.text.startswith("The printer is in")
    assert not untuned.text.startswith("The printer is in")
    assert tuned.finish == "stop"
    assert tuned.completion_tokens < 16
    assert tuned.prompt_tokens == len(local.chat.prompt_tokens(PAIRS[0].prompt))
    cut = ask(tmp_path / "adapter", 3)
    assert (cut.finish, cut.completion_tokens) == ("length", 3)
    assert tuned.text.startswith(cut.text)


def scripted(tokens: list[list[int]]) -> Any:
    """Return a stand-in for a model's forward pass that gives these tokens, one row each."""

    class Script(torch.nn.Module):
        device = torch.device("cpu")

        def __init__(self, config: Any) -> None:
            super().__init__()
            self.config, self.step = config, 0

        def forward(self, input_ids: torch.Tensor, past_key_values: Any, **rest: Any) -> Any:
            # The cache remembers which rows are left: its first entry is the row's first place.
            place = torch.arange(len(input_ids), dtype=torch.float32)[:, None, None, None]
            row = past_key_values.update(place, place, 0)[0][:, 0, 0, 0].long()
            logits = torch.zeros(len(row), 1, self.config.vocab_size)
            for at, which in enumerate(row.tolist()):
                logits[at, 0, tokens[which][self.step]] = 1.0
            self.step += 1
            return type("Output", (), {"logits": logits})

    from transformers import LlamaConfig

    return Script(LlamaConfig(vocab_size=49152, num_hidden_layers=1))


@pytest.mark.parametrize("template", ["tokenizer", "chatml"])
def test_role_words_in_an_answer_survive(template: str):
    chat = HfLocal(config(chat_template=template)).chat
    texts = ["The assistant\nsaid: user\nsystem", "Yes."]
    end = chat.tokenizer("<|im_" + "X|>", add_special_tokens=False)["input_ids"]  # of many tokens
    tokens_of = [chat.tokenizer(t)["input_ids"] + end + [9] * 9 for t in texts]
    width = max(map(len, tokens_of))
    model = scripted([tokens + [9] * (width - len(tokens)) for tokens in tokens_of])
    answers = [Answer(i, np.zeros(width)) for i in range(2)]
    prompts = [chat.prompt_tokens(PAIRS[i].prompt) for i in range(2)]
    ended = list(decode(model, prompts, answers, Rules(0.0, 1.0, width, chat.stops(None), end, 2)))
    assert [a for step in ended for a in step] == sorted(answers, key=lambda a: len(a.tokens))
    assert [chat.text(answer.text_tokens) for answer in answers] == texts
    assert [len(a.tokens) for a in answers] == [len(s) - 9 for s in tokens_of]


def test_a_template_without_a_system_role_gets_it_in_the_first_user_message():
    chat = HfLocal(config(chat_template="chatml", system_role="merge")).chat
    text = chat.prompt_text(PAIRS[0].prompt)
    assert text == (
        "<|im_start|>user\nAnswer shortly.\n\nWhere is the printer?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_a_model_without_a_template_is_refused(local: HfLocal):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(local.weights.path)
    tokenizer.chat_template = None
    with pytest.raises(ConfigError, match="chat_template=chatml"):
        Chat.of(tokenizer, "tokenizer", "native")


P = torch.tensor([[0.5, 0.3, 0.15, 0.05]])


def frequencies(logits: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    n = 4000
    grid = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    picked = pick(logits.expand(n, -1), grid, temperature, top_p)
    return torch.bincount(picked, minlength=logits.shape[-1]) / n


@pytest.mark.parametrize(
    ("temperature", "top_p", "expected"),
    [
        (1.0, 1.0, P[0]),
        (1.0, 0.75, torch.tensor([0.625, 0.375, 0, 0])),
        (1.0, 0.1, torch.tensor([1.0, 0, 0, 0])),
        (2.0, 1.0, P[0] ** 0.5 / (P[0] ** 0.5).sum()),
        (0.5, 0.99, torch.tensor([0.25, 0.09, 0.0225, 0]) / 0.3625),
    ],
)
def test_tokens_are_drawn_by_temperature_and_top_p(
    temperature: float, top_p: float, expected: torch.Tensor
):
    shares = frequencies(P.log(), temperature, top_p)
    assert torch.allclose(shares, expected.float(), atol=1e-3)


def test_a_flat_distribution_keeps_all_that_top_p_calls_for():
    assert (frequencies(torch.zeros(1, 1000), 1.0, 0.9) > 0).sum() == pytest.approx(900, abs=1)


def test_draws_belong_to_a_row():
    one = uniforms(1, "a", 0, 8)
    assert np.array_equal(one, uniforms(1, "a", 0, 20)[:8])
    others = [uniforms(2, "a", 0, 8), uniforms(1, "b", 0, 8), uniforms(1, "a", 1, 8)]
    assert all(not np.array_equal(one, other) for other in others)


def test_batches_hold_every_row_once_within_the_limit():
    lengths = [5, 90, 7, 30, 30, 6, 400]
    grouped = list(batches(lengths, 10, 200))
    assert sorted(i for rows in grouped for i in rows) == list(range(7))
    for rows in grouped:
        assert len(rows) == 1 or len(rows) * (max(lengths[i] for i in rows) + 10) <= 200
