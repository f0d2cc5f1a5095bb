"""The contract of trackers; a tracker's test class inherits from `TrackerContract`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llamaduo.base.errors import RegistryError, TrialPruned
from llamaduo.champion import MODEL_CODE, Answerer, RequestError
from llamaduo.records import JudgeFailure, Verdict
from llamaduo.testing.bundle import ask, bundle, text_of
from llamaduo.tracking import PARAM_LIMIT, Tracker


def verdict(k: int) -> Verdict:
    """Return a verdict on answer k."""
    return Verdict(
        prompt_id="p1", k=k, similarity=50.5, precision=60, reason="“fits”", judge="j", version="1"
    )


@dataclass(frozen=True)
class Seen:
    """One run as it can be seen in a tracker. Tables are (columns, rows)."""

    experiment: str
    name: str
    parent: str | None
    status: str
    params: dict[str, str]
    metrics: dict[str, list[tuple[int, float]]]
    tags: dict[str, str]
    tables: dict[str, tuple[list[str], list[list[Any]]]]
    files: dict[str, bytes]
    datasets: list[tuple[str, str, str]]


class TrackerContract:
    """Inherit, and give the fixture `tracker` and the method `look`."""

    def look(self, tracker: Any, run_id: str) -> Seen:
        """Return what can be seen of a run."""
        raise NotImplementedError

    def test_a_run_has_its_name_experiment_and_tags_and_ends_finished(
        self, tracker: Tracker
    ) -> None:
        with tracker.open("summarize", "first", {"a": "1", "b": "1"}) as run:
            assert self.look(tracker, run.id).status == "RUNNING"
            run.tags({"b": "2", "c": "3"})
        seen = self.look(tracker, run.id)
        assert (seen.experiment, seen.name, seen.parent) == ("summarize", "first", None)
        assert seen.status == "FINISHED"
        assert {key: seen.tags.get(key) for key in "abc"} == {"a": "1", "b": "2", "c": "3"}

    def test_children_know_their_parent(self, tracker: Tracker) -> None:
        with (
            tracker.open("e", "top", {}) as top,
            top.child("middle", {"stage": "judge"}) as middle,
            middle.child("low", {}) as low,
        ):
            pass
        assert self.look(tracker, middle.id).parent == top.id
        assert self.look(tracker, middle.id).tags["stage"] == "judge"
        assert self.look(tracker, low.id).parent == middle.id
        assert self.look(tracker, low.id).experiment == "e"
        assert len({top.id, middle.id, low.id}) == 3

    def test_a_run_of_another_process_can_be_the_parent(self, tracker: Tracker) -> None:
        with (
            tracker.open("e", "sweep", {}) as sweep,
            tracker.open("e", "trial", {}, parent=sweep.id) as trial,
            trial.child("stage", {}) as stage,
        ):
            trial.tags({"state": "COMPLETE"})
        assert self.look(tracker, trial.id).parent == sweep.id
        assert self.look(tracker, trial.id).tags["state"] == "COMPLETE"
        assert self.look(tracker, stage.id).parent == trial.id

    def test_a_run_is_resumed_and_one_that_is_not_known_is_begun(self, tracker: Tracker) -> None:
        with pytest.raises(ZeroDivisionError), tracker.open("e", "sweep", {"a": "1"}) as first:
            raise ZeroDivisionError
        with tracker.open("e", "sweep", {}, again=first.id) as again:
            assert again.id == first.id
            assert self.look(tracker, first.id).status == "RUNNING"
            again.tags({"b": "2"})
        seen = self.look(tracker, first.id)
        assert seen.status == "FINISHED"
        assert {key: seen.tags.get(key) for key in "ab"} == {"a": "1", "b": "2"}
        with tracker.open("e", "sweep", {}, again="0" * 32) as other:
            assert other.id != first.id

    def test_a_pruned_trial_was_stopped_and_has_not_failed(self, tracker: Tracker) -> None:
        with pytest.raises(TrialPruned), tracker.open("e", "trial", {}) as run:
            raise TrialPruned
        assert self.look(tracker, run.id).status == "KILLED"

    def test_an_exception_fails_the_runs_that_it_passes_through(self, tracker: Tracker) -> None:
        with tracker.open("e", "top", {}) as top:
            with pytest.raises(ZeroDivisionError), top.child("child", {}) as child:
                raise ZeroDivisionError
            assert self.look(tracker, child.id).status == "FAILED"
            assert self.look(tracker, top.id).status == "RUNNING"
        assert self.look(tracker, top.id).status == "FINISHED"

    def test_an_interrupt_kills_and_does_not_fail(self, tracker: Tracker) -> None:
        with (
            pytest.raises(KeyboardInterrupt),
            tracker.open("e", "top", {}) as top,
            top.child("child", {}) as child,
        ):
            raise KeyboardInterrupt
        assert self.look(tracker, child.id).status == "KILLED"
        assert self.look(tracker, top.id).status == "KILLED"

    def test_two_runs_can_be_open_at_once(self, tracker: Tracker) -> None:
        with tracker.open("e", "one", {}) as one:
            with tracker.open("e", "two", {}) as two:
                two.metrics({"m": 2})
            one.metrics({"m": 1})
        assert self.look(tracker, one.id).metrics["m"] == [(0, 1)]
        assert self.look(tracker, two.id).metrics["m"] == [(0, 2)]
        assert self.look(tracker, one.id).status == "FINISHED"

    def test_params_are_flat_text_and_never_too_long(self, tracker: Tracker) -> None:
        many = {f"p{i}": i for i in range(150)}
        values: dict[str, Any] = {
            "hparams": {"r": 16, "modules": ["q", "v"], "runtime": {"micro": 1.5}},
            "none": None,
            "yes": True,
            "text": "plain",
            "empty": {},
            "long": "x" * (PARAM_LIMIT + 1),
        }
        with tracker.open("e", "r", {}) as run:
            run.params(values)
            run.params(many)
        params = self.look(tracker, run.id).params
        long = params.pop("long")
        assert len(long) == PARAM_LIMIT
        assert long == "x" * (PARAM_LIMIT - 1) + "…"
        assert params == {
            "hparams.r": "16",
            "hparams.modules": '["q", "v"]',
            "hparams.runtime.micro": "1.5",
            "none": "null",
            "yes": "true",
            "text": "plain",
            "empty": "{}",
            **{key: str(value) for key, value in many.items()},
        }

    def test_metrics_with_steps_are_series(self, tracker: Tracker) -> None:
        with tracker.open("e", "r", {}) as run:
            for step, value in enumerate([46.8, 61.6, 64.6]):
                run.metrics({"dev/similarity_mean": value}, step=step)
            run.metrics({f"m{i}": i for i in range(1100)})
        metrics = self.look(tracker, run.id).metrics
        assert metrics["dev/similarity_mean"] == [(0, 46.8), (1, 61.6), (2, 64.6)]
        assert metrics["m1099"] == [(0, 1099)]

    def test_a_whole_series_goes_in_at_once(self, tracker: Tracker) -> None:
        with tracker.open("e", "r", {}) as run:
            run.series("loss", [(1, 3.0), (5, 2.0), (9, 1.5)])
        assert self.look(tracker, run.id).metrics["loss"] == [(1, 3.0), (5, 2.0), (9, 1.5)]

    def test_a_table_has_the_columns_of_all_its_rows(self, tracker: Tracker) -> None:
        failure = JudgeFailure(prompt_id="p2", k=1, cause="no JSON", judge="j", version="1")
        with tracker.open("e", "r", {}) as run:
            run.table("verdicts.json", [verdict(0), failure])
        columns, rows = self.look(tracker, run.id).tables["verdicts.json"]
        one, other = (dict(zip(columns, row, strict=True)) for row in rows)
        assert one == {**verdict(0).model_dump(), "cause": None}
        assert {key: value for key, value in other.items() if value is not None} == {
            **failure.model_dump()
        }
        assert isinstance(other["k"], int)

    def test_rows_add_to_a_table(self, tracker: Tracker) -> None:
        with tracker.open("e", "r", {}) as run:
            run.table("verdicts.json", [verdict(0)])
            run.table("verdicts.json", [verdict(1), verdict(2)])
            run.table("empty.json", [])
        tables = self.look(tracker, run.id).tables
        columns, rows = tables["verdicts.json"]
        assert [row[columns.index("k")] for row in rows] == [0, 1, 2]
        assert "empty.json" not in tables

    def test_files_and_folders_are_kept_as_copies(self, tracker: Tracker, tmp_path: Path) -> None:
        folder = tmp_path / "some adapter"
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "a.bin").write_bytes(b"\x00\xff")
        (folder / "b.txt").write_text("b")
        with tracker.open("e", "r", {}) as run:
            run.files(folder, "adapter")
            run.files(folder / "b.txt")
            (folder / "b.txt").write_text("changed later")
        assert self.look(tracker, run.id).files == {
            "adapter/deep/a.bin": b"\x00\xff",
            "adapter/b.txt": b"b",
            "b.txt": b"b",
        }

    def test_a_dataset_is_recorded_with_its_use(self, tracker: Tracker) -> None:
        rows = [{"prompt": "a", "response": "b"}]
        with tracker.open("e", "r", {}) as run:
            run.dataset("summarize", rows, "train", "shipped:summarize/coverage.jsonl", "f" * 64)
            run.dataset("summarize", rows, "dev", "shipped:summarize/coverage.jsonl", "e" * 16)
        assert sorted(self.look(tracker, run.id).datasets) == [
            ("summarize", "dev", "e" * 16),
            ("summarize", "train", "f" * 36),
        ]

    def test_no_champion_is_an_error_that_says_what_to_do(self, tracker: Tracker) -> None:
        with pytest.raises(RegistryError, match=r"llamaduo-none@champion.*run a migration"):
            tracker.champion("llamaduo-none")

    def test_a_promoted_bundle_answers(self, tracker: Tracker, tmp_path: Path) -> None:
        with tracker.open("e", "r", {}) as run:
            promotion = tracker.promote(
                run,
                bundle(tmp_path / "b"),
                code=MODEL_CODE,
                model="llamaduo-t",
                fingerprint="f1",
                tags={"t": "1"},
            )
        assert (promotion.model, promotion.version) == ("llamaduo-t", "1")
        assert promotion.uri == "models:/llamaduo-t@champion"
        champion = Answerer(tracker.champion("llamaduo-t"))
        assert text_of(champion(ask("a b c d e f g"))) == "a b c d e"
        with pytest.raises(RequestError, match="max_tokens"):
            champion(ask("a b c", max_tokens=0))

    def test_a_fingerprint_is_one_version_and_the_alias_follows(
        self, tracker: Tracker, tmp_path: Path
    ) -> None:
        short, long = bundle(tmp_path / "short", words=2), bundle(tmp_path / "long", words=4)
        request = ask("a b c d e f")
        with tracker.open("e", "r", {}) as run:

            def promote(path: Path, fingerprint: str) -> str:
                promotion = tracker.promote(
                    run, path, code=MODEL_CODE, model="llamaduo-t", fingerprint=fingerprint, tags={}
                )
                return promotion.version

            assert promote(short, "f1") == "1"
            assert promote(short, "f1") == "1"
            assert promote(long, "f2") == "2"
            assert text_of(Answerer(tracker.champion("llamaduo-t"))(request)) == "a b c d"
            assert promote(short, "f1") == "1"
            assert text_of(Answerer(tracker.champion("llamaduo-t"))(request)) == "a b"
