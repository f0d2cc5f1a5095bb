"""The contract of local LLMs; a local LLM's test class inherits from `LocalContract`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from llamaduo.base.errors import TrialPruned
from llamaduo.config import EarlyStopping, HparamsConfig
from llamaduo.local import Local
from llamaduo.records import Pair, Prompt, Response

#: Generates and returns the responses by prompt id and k.
Ask: TypeAlias = Callable[..., dict[tuple[str, int], Response]]


class LocalContract:
    """Inherit, and give the fixtures `local`, `hparams` and `pairs` (six or more)."""

    @pytest.fixture
    def ask(self, local: Local, hparams: HparamsConfig) -> Ask:
        def ask(asks: list[tuple[Prompt, int]], **changed: Any) -> dict[tuple[str, int], Response]:
            settings: dict[str, Any] = {
                "adapter": None,
                "temperature": 0.7,
                "top_p": 1.0,
                "max_new_tokens": 8,
                "seed": 1,
                "scratch": None,
                **changed,
            }
            rows = list(local.generate(asks, hparams, **settings))
            return {(row.prompt_id, row.k): row for row in rows}

        return ask

    def test_every_ask_gets_one_response(self, ask: Ask, pairs: list[Pair]) -> None:
        asks = [(pair.prompt, k) for pair in pairs[:3] for k in (0, 2)]
        responses = ask(asks)
        assert sorted(responses) == sorted((prompt.id, k) for prompt, k in asks)
        assert all((row.completion_tokens or 0) <= 8 for row in responses.values())
        assert all((row.prompt_tokens or 1) > 0 for row in responses.values())

    def test_a_response_does_not_depend_on_its_company(self, ask: Ask, pairs: list[Pair]) -> None:
        prompt = pairs[0].prompt
        alone = ask([(prompt, 1)])[prompt.id, 1]
        among = ask([(p.prompt, k) for p in pairs[:3] for k in (0, 1)])[prompt.id, 1]
        assert among == alone

    def test_seeds_and_k_draw_other_responses(self, ask: Ask, pairs: list[Pair]) -> None:
        prompt = pairs[0].prompt
        hot = {"temperature": 1.5, "max_new_tokens": 16}
        rows = ask([(prompt, k) for k in range(4)], **hot)
        assert len({row.text for row in rows.values()}) > 1
        assert ask([(prompt, 0)], **hot) == ask([(prompt, 0)], **hot)
        assert {r.text for r in rows.values()} != {
            r.text for r in ask([(prompt, k) for k in range(4)], seed=2, **hot).values()
        }

    def test_nothing_asked_nothing_answered(self, ask: Ask) -> None:
        assert ask([]) == {}

    def test_training_leaves_an_adapter_that_changes_answers(
        self, ask: Ask, local: Local, hparams: HparamsConfig, pairs: list[Pair], tmp_path: Path
    ) -> None:
        training = local.train(pairs[:4], hparams, seed=1, out=tmp_path)
        assert training.tokens > training.completion_tokens > 0
        assert training.losses
        assert any((tmp_path / "adapter").iterdir())
        asks = [(pair.prompt, 0) for pair in pairs[:2]]
        settings = {"max_new_tokens": 64, "temperature": 0}
        tuned = ask(asks, adapter=tmp_path / "adapter", **settings)
        assert tuned != ask(asks, **settings)

    def test_a_trial_gets_better_reports_and_may_end_the_training(
        self, local: Local, hparams: HparamsConfig, pairs: list[Pair], tmp_path: Path
    ) -> None:
        reports: list[tuple[int, float]] = []

        class Trial:
            number = 0
            end = 8

            def report(self, value: float, step: int) -> None:
                reports.append((step, value))
                if step == self.end:
                    raise TrialPruned

        trial = Trial()
        chosen = hparams.model_copy(update={"epochs": None, "steps": 8, "batch_size": 2})

        def train(name: str) -> Path:
            (tmp_path / name).mkdir()
            out = tmp_path / name
            local.train(pairs[:4], chosen, seed=1, out=out, dev=pairs[4:6], trial=trial)
            return out

        train("whole")
        assert [step for step, _ in reports] == [1, 2, 4]
        assert reports[-1][1] > reports[0][1]
        before, trial.end = reports.copy(), 2
        reports.clear()
        with pytest.raises(TrialPruned):
            train("cut")
        assert reports == before[:2]
        assert not (tmp_path / "cut" / "adapter").exists()

    def test_early_stopping_reports_its_losses_and_the_step_that_it_kept(
        self, local: Local, hparams: HparamsConfig, pairs: list[Pair], tmp_path: Path
    ) -> None:
        rule = EarlyStopping(patience=1, looks=4, min_gain=99.0, pairs=2)
        chosen = hparams.model_copy(
            update={"epochs": None, "steps": 8, "batch_size": 2, "early_stopping": rule}
        )
        training = local.train(pairs[:4], chosen, seed=1, out=tmp_path, dev=pairs[4:6])
        losses = dict(training.dev_losses)
        assert list(losses) == [2, 4]  # nothing gains so much: the second look ends it
        assert training.kept == min(losses, key=lambda step: losses[step])
        assert any((tmp_path / "adapter").iterdir())

    def test_a_short_prompt_and_answer_fit(self, local: Local, pairs: list[Pair]) -> None:
        assert local.fits(pairs[0].prompt, 8)

    def test_identity_is_plain_json(self, local: Local, hparams: HparamsConfig) -> None:
        json.dumps(local.identity(hparams), allow_nan=False)
        assert local.name
