import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from llamaduo.base.errors import LabError
from llamaduo.lab import Artifact, Lab, Stage
from llamaduo.records import Bill, Price
from llamaduo.tracking import MemoryTracker


class Text(Artifact):
    content: str


@pytest.fixture
def tracker():
    return MemoryTracker()


@pytest.fixture
def lab(tmp_path: Path, tracker):
    with tracker.open("e", "run", {}) as run:
        yield Lab(tmp_path, run, say=lambda line: None)


def write(content: str, calls: list[str], identity=None) -> Stage[Text]:
    def run(home: Path) -> Text:
        calls.append(content)
        (home / "text").write_text(content)
        return Text(home=home, content=content, metrics={"length": len(content)})

    return Stage("text", Text, identity or {"content": content}, run)


def test_a_stage_is_built_once_and_found_after_that(lab, tracker):
    calls: list[str] = []
    first = lab.run(write("a", calls))
    second = lab.run(write("a", calls))
    assert calls == ["a"]
    assert first == second
    assert (second.home / "text").read_text() == "a"
    assert [run.reused for run in lab.stage_runs] == [False, True]


def test_another_identity_is_another_stage(lab):
    calls: list[str] = []
    assert lab.run(write("a", calls)).home != lab.run(write("b", calls)).home
    assert calls == ["a", "b"]


def test_a_reused_stage_links_the_run_that_made_it(lab, tracker):
    made = lab.run(write("a", []))
    lab.run(write("a", []))
    runs = {run.name: (key, run) for key, run in tracker.runs.items()}
    maker, _ = runs["text"]
    _, parent = runs["run"]
    assert parent.tags[f"llamaduo.reused.{made.home.name}"] == maker


def asked(failing: list[int], starts: list[str]) -> Stage[Text]:
    """A stage with a row more at each start, of which as many fail as `failing` says."""

    def run(home: Path) -> Text:
        rows = home / "rows"
        starts.append(rows.read_text() if rows.exists() else "")
        rows.write_text(starts[-1] + "row ")
        return Text(home=home, content=rows.read_text(), unfinished=failing.pop(0))

    return Stage("text", Text, {}, run)


def test_rows_that_may_yet_succeed_are_asked_again_by_a_later_start_alone(tmp_path, tracker):
    failing, starts = [2, 1, 0], []
    for _ in range(4):
        with tracker.open("e", "run", {}) as run:
            lab = Lab(tmp_path, run, say=lambda line: None)
            stage = asked(failing, starts)
            first = lab.run(stage)
            assert lab.run(stage) == first, "within a run, what is read twice is the same"
    assert starts == ["", "row ", "row row "], "each start goes on from the rows of the one before"
    assert (first.unfinished, first.content) == (0, "row row row ")
    assert (first.home / "rows").read_text() == first.content
    assert sorted(path.name for path in first.home.parent.iterdir()) == sorted(
        [first.home.name, "locks"]
    )


def test_a_stage_with_unfinished_rows_stays_readable_while_it_is_made_again(tmp_path, tracker):
    with tracker.open("e", "run", {}) as run:
        kept = Lab(tmp_path, run, say=lambda line: None).run(asked([1], []))

    def fails(home: Path) -> Text:
        assert (kept.home / "rows").read_text() == "row "
        raise RuntimeError("the service is down")

    with (
        pytest.raises(RuntimeError, match="is down"),
        tracker.open("e", "run", {}) as run,
    ):
        Lab(tmp_path, run, say=lambda line: None).run(Stage("text", Text, {}, fails))
    assert Text.load(kept.home).unfinished == 1


def test_the_child_run_has_identity_metrics_and_cost(lab, tracker):
    lab.run(replace(write("abc", []), name="text"), round=2)
    child = next(run for run in tracker.runs.values() if run.parent)
    assert child.params == {"content": "abc"}
    assert child.metrics["text/length"] == [(0, 3)]
    assert "cost/seconds" in child.metrics
    assert child.tags["llamaduo.round"] == "2"
    assert child.status == "FINISHED"


def test_a_failing_stage_leaves_its_part_and_a_failed_run_and_can_go_on(lab, tracker):
    def run(home: Path) -> Text:
        rows = home / "rows"
        if rows.exists():
            return Text(home=home, content=rows.read_text() + "two")
        rows.write_text("one ")
        raise RuntimeError("half way")

    stage = Stage("text", Text, {"a": 1}, run)
    with pytest.raises(RuntimeError, match="half way"):
        lab.run(stage)
    assert [r.status for r in tracker.runs.values() if r.parent] == ["FAILED"]
    assert not lab.stage_runs.runs
    assert lab.run(stage).content == "one two"
    assert not list(lab.home.glob("stages/*.part"))


def test_what_was_made_before_recording_failed_is_not_made_again(lab, monkeypatch):
    calls: list[str] = []

    class Picky(Text):
        def publish(self, run):
            if len(calls) == 1 and not (lab.home / "back").exists():
                raise RuntimeError("tracker is away")

    stage = replace(write("a", calls), makes=Picky)
    run = stage.run
    stage = replace(stage, run=lambda home: Picky(**run(home).model_dump(), home=home))
    with pytest.raises(RuntimeError, match="away"):
        lab.run(stage)
    (lab.home / "back").touch()
    assert lab.run(stage).content == "a"
    assert calls == ["a"]


def test_a_part_is_never_taken_for_a_whole(lab):
    stage = write("a", [])
    part = lab.home / "stages" / f"text-{stage.fingerprint}.part"
    part.mkdir(parents=True)
    (part / "artifact.json").write_text("{}")
    assert lab.run(stage).content == "a"


@pytest.mark.parametrize("content", ['{"content": 3}', "", "{}"])
def test_a_stage_that_cannot_be_read_is_named_and_not_built_over(lab, content):
    home = lab.run(write("a", [])).home
    (home / "artifact.json").write_text(content)
    with pytest.raises(LabError, match="move the folder away"):
        lab.run(write("a", []))
    assert (home / "text").read_text() == "a"


def test_other_library_versions_are_said_on_reuse(lab, tmp_path):
    home = lab.run(write("a", [])).home
    record = home / "record.json"
    record.write_text(record.read_text().replace('"llamaduo": "', '"llamaduo": "9.'))
    said: list[str] = []
    Lab(lab.home, lab.tracked, said.append).run(write("a", []))
    assert any("llamaduo 9." in line for line in said)


def test_money_of_reused_stages_is_not_spent_again(lab):
    price = Price(input_usd="1", output_usd="1", simulated=False)

    def run(home: Path) -> Text:
        return Text(home=home, content="", bill=Bill.call(1_000_000, 0, price))

    stage = Stage("text", Text, {"a": 1}, run)
    lab.run(stage)
    assert lab.stage_runs.spent().usd == 1
    later = Lab(lab.home, lab.tracked, lambda line: None)
    later.run(stage)
    assert later.stage_runs.spent().usd == 0
    assert later.stage_runs.runs[0].bill.usd == 1


def test_processes_that_want_the_same_stage_build_it_once(tmp_path: Path):
    script = textwrap.dedent(
        f"""
        import time
        from pathlib import Path
        from llamaduo.lab import Artifact
        from llamaduo.lab import Lab, Stage
        from llamaduo.tracking import MemoryTracker

        def run(home):
            with open({str(tmp_path / "built")!r}, "a") as log:
                log.write("x")
            time.sleep(0.5)
            return Artifact(home=home)

        with MemoryTracker().open("e", "r", {{}}) as tracked:
            Lab(Path({str(tmp_path)!r}), tracked).run(Stage("s", Artifact, {{"a": 1}}, run))
        """
    )
    several = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(3)]
    assert [process.wait(60) for process in several] == [0, 0, 0]
    assert (tmp_path / "built").read_text() == "x"


def test_a_lock_is_free_when_its_owner_is_killed(tmp_path: Path):
    script = textwrap.dedent(
        f"""
        import time
        from pathlib import Path
        from llamaduo.lab import Artifact
        from llamaduo.lab import Lab, Stage
        from llamaduo.tracking import MemoryTracker

        def run(home):
            print("building", flush=True)
            time.sleep(60)

        with MemoryTracker().open("e", "r", {{}}) as tracked:
            Lab(Path({str(tmp_path)!r}), tracked).run(Stage("s", Artifact, {{"a": 1}}, run))
        """
    )
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"building\n"
    owner.kill()
    owner.wait()
    owner.stdout.close()
    with MemoryTracker().open("e", "r", {}) as tracked:
        lab = Lab(tmp_path, tracked, lambda line: None)
        lab.run(Stage("s", Artifact, {"a": 1}, lambda home: Artifact(home=home)))
    assert not lab.stage_runs.runs[0].reused
