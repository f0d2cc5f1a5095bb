"""What a run recorded is what `service=recorded` replays."""

import multiprocessing
import os
from pathlib import Path

import pytest
from support.experiments import composed
from support.toy_service import serving

from llamaduo import service as services
from llamaduo.base.errors import ConfigError
from llamaduo.config import RecordedServiceConfig
from llamaduo.migration import systems
from llamaduo.records import Message, read_jsonl
from llamaduo.run import run
from llamaduo.service import Completion, Failure, Request
from llamaduo.service.fake import FakeService
from llamaduo.service.recorded import RecordedService, Recording
from llamaduo.service.recorder import Recorder
from llamaduo.testing.service import ServiceContract


def fake() -> FakeService:
    return FakeService(composed("service=fake").service)


def replay(path: Path) -> RecordedService:
    config = composed("service=recorded", f"service.recording={path}").service
    assert isinstance(config, RecordedServiceConfig)
    return RecordedService(config)


def request(number: int, sample: int = 0) -> Request:
    messages = (Message(role="user", content=f"Grüße \u2028 an Nr. {number} 🙂"),)
    return Request(
        id=f"p{number}", messages=messages, max_tokens=9, sample=sample, purpose="answer"
    )


REQUESTS = [request(number, sample) for number in range(4) for sample in range(2)]
ASKED = [r.model_copy(update={"id": f"{r.id}-{r.sample}"}) for r in REQUESTS]


def told(outcome: Completion | Failure) -> dict[str, object]:
    """What an answer says, without the name of who said it and the price."""
    return outcome.model_dump(exclude={"model": True, "bill": {"usd", "simulated_usd"}})


class TestRecorder(ServiceContract):
    @pytest.fixture
    def service(self, tmp_path):
        return Recorder(fake(), tmp_path / "r.jsonl")

    @pytest.fixture
    def requests(self):
        return [request(number) for number in range(3)]


def test_what_was_recorded_is_replayed(tmp_path):
    path = tmp_path / "new" / "r.jsonl"
    live = list(Recorder(fake(), path).complete(ASKED))
    again = list(replay(path).complete(ASKED))
    assert [told(outcome) for outcome in again] == [told(outcome) for outcome in live]
    rows = read_jsonl(path, Recording)
    assert [(row.of, row.purpose, row.sample) for row in rows] == [
        (r.id, "answer", r.sample) for r in ASKED
    ]


def test_a_row_is_in_the_file_before_it_is_passed_on(tmp_path):
    path = tmp_path / "r.jsonl"
    for count, _ in enumerate(Recorder(fake(), path).complete(ASKED), start=1):
        assert len(read_jsonl(path, Recording)) == count


def test_no_request_is_recorded_twice_in_a_run_or_across_runs(tmp_path):
    path = tmp_path / "r.jsonl"
    recorder = Recorder(fake(), path)
    assert len(list(recorder.complete([*ASKED, *ASKED[:3]]))) == len(ASKED) + 3
    list(recorder.complete(ASKED))
    list(Recorder(fake(), path).complete([*ASKED, request(99)]))
    keys = [row.request for row in read_jsonl(path, Recording)]
    assert len(keys) == len(set(keys)) == len(ASKED) + 1


def test_a_line_that_a_kill_cut_short_is_dropped(tmp_path):
    path = tmp_path / "r.jsonl"
    list(Recorder(fake(), path).complete(ASKED))
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    list(Recorder(fake(), path).complete(ASKED))
    assert path.read_bytes() == whole


def _record(path: Path, numbers: list[int]) -> None:
    list(Recorder(fake(), path).complete([request(number) for number in numbers]))


def test_processes_may_record_into_one_file(tmp_path):
    path = tmp_path / "r.jsonl"
    start = multiprocessing.get_context("fork")
    parts = [list(range(0, 40)), list(range(20, 60)), list(range(59, -1, -1))]
    children = [start.Process(target=_record, args=(path, part)) for part in parts]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    rows = read_jsonl(path, Recording)
    assert sorted(row.of for row in rows) == sorted(f"p{number}" for number in range(60))


def test_failures_are_passed_on_and_not_recorded(tmp_path):
    class Failing(FakeService):
        def complete(self, requests):
            for asked in requests:
                yield Failure(request_id=asked.id, cause="no", final=True)

    path = tmp_path / "r.jsonl"
    failing = Failing(composed("service=fake").service)
    (outcome,) = Recorder(failing, path).complete([request(1)])
    assert isinstance(outcome, Failure)
    assert not path.exists()


def test_an_answer_cut_short_is_replayed_as_one(tmp_path):
    class Short(FakeService):
        def complete(self, requests):
            for outcome in super().complete(requests):
                yield outcome.model_copy(update={"finish": "length"})

    path = tmp_path / "r.jsonl"
    list(Recorder(Short(composed("service=fake").service), path).complete([request(1)]))
    (again,) = replay(path).complete([request(1)])
    assert isinstance(again, Completion)
    assert again.finish == "length"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "r.jsonl"
    with pytest.raises(ConfigError, match=r"service.record=.*r.jsonl"):
        list(Recorder(fake(), path).complete([request(1)]))


def test_a_whole_migration_is_recorded_and_replayed_with_the_same_figures(
    fake_experiment, tmp_path, monkeypatch
):
    path = tmp_path / "r.jsonl"

    def recording(config, setting):
        built = services.build(config, setting)
        return Recorder(built, path) if config.kind == "fake" else built

    monkeypatch.setattr(systems, "build_service", recording)
    live = run(fake_experiment(), command="x", say=lambda line: None)
    home = f"tracking.home={tmp_path / 'again'}"
    words = ["service=recorded", f"service.recording={path}", home]
    again = run(fake_experiment(*words), command="x", say=lambda line: None)
    assert os.path.getsize(path)
    assert again.stop == live.stop
    assert [r.scores for r in again.rounds] == [r.scores for r in live.rounds]
    assert [(s.role, s.scores) for s in again.systems] == [(s.role, s.scores) for s in live.systems]
    assert again.cost.spent.calls == live.cost.spent.calls


def test_service_record_makes_a_file_that_service_recorded_replays(fake_experiment, tmp_path):
    path = tmp_path / "r.jsonl"
    with serving() as toy:
        words = [*toy.words(), f"service.record={path}"]
        live = run(fake_experiment(*words), command="x", say=lambda line: None)
        calls = len(toy.asked)
        assert calls == len(read_jsonl(path, Recording)) > 0
    home = f"tracking.home={tmp_path / 'again'}"
    words = ["service=recorded", f"service.recording={path}", home]
    again = run(fake_experiment(*words), command="x", say=lambda line: None)
    assert again.stop == live.stop
    assert [r.scores for r in again.rounds] == [r.scores for r in live.rounds]
    assert [r.pool for r in again.rounds] == [r.pool for r in live.rounds]
    assert [(s.role, s.scores) for s in again.systems] == [(s.role, s.scores) for s in live.systems]
    assert {row.purpose for row in read_jsonl(path, Recording)} == {"answer", "synthesis"}
    assert again.cost.spent.input_tokens == live.cost.spent.input_tokens == 100 * calls
