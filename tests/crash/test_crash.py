"""What is left after a start that was killed, ran out of room, or had company."""

import json
import re
import shutil
import signal
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support.experiments import coverage_file
from support.folders import Folder, Near
from support.forks import Forks, shared
from support.starts import FAKE, At, Ended, Start, run

from llamaduo.base.shipped import DATA


@pytest.fixture(scope="module")
def forked(tmp_path_factory):
    """Run starts, with a cache of their own unless they bring one, and wait for them."""
    cache = {"LLAMADUO_CACHE": str(tmp_path_factory.mktemp("cache"))}

    def forked(*starts: Start, by: Forks | None = None) -> list[Ended]:
        own = [replace(start, env=cache | start.env) for start in starts]
        return run(by or shared(), *own)

    return forked


@pytest.fixture(scope="module")
def args(tmp_path_factory) -> tuple[str, ...]:
    """The migration: on 24 of the shipped rows, whatever they are, which the fake model passes."""
    lines = (DATA / "summarize" / "coverage.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines[:24]]
    path = coverage_file(tmp_path_factory.mktemp("data") / "coverage.jsonl", rows)
    return (*FAKE, f"task.coverage={path}", "gate.ratio=0.01")


@pytest.fixture(scope="module")
def undisturbed(forked, args, tmp_path_factory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("undisturbed") / "lab", args)
    (ended,) = forked(folder.start("log"))
    assert ended.code == 0, ended.said
    return folder


@pytest.fixture
def folder(tmp_path, args) -> Folder:
    return Folder(tmp_path / "lab", args)


def same_end(folder: Folder, undisturbed: Folder, *parents: str, rel: float = 0.0) -> None:
    """Everything is as if nothing had happened but for runs that say what did.

    Figures may differ by `rel` of their size: torch's float32 sums vary with where memory lies.
    """
    assert folder.outcome() == Near(undisturbed.outcome(), rel)
    assert folder.stages() == undisturbed.stages()
    assert folder.metrics() == Near(undisturbed.metrics(), rel)
    assert folder.versions() == [(1, "champion")]
    assert folder.parents() == list(parents)
    finished = sorted(name for name, status in folder.children() if status == "FINISHED")
    assert finished == undisturbed.stages()
    assert not {status for _, status in folder.children()} - {"FINISHED", *parents}
    assert not [p for p in folder.home.rglob("*") if p.suffix in (".part", ".tmp")]


def in_part(stage: str, file: str) -> str:
    return rf"/{stage}-\w+\.part/{file}"


MIDDLE = {
    "collect": At("open", in_part("collect", "dev.jsonl")),
    "anchor": At("open", in_part("anchor", "artifact.json")),
    "answer": At("row", in_part("answer", ""), nth=3),
    "finetune": At("open", in_part("finetune", "adapter/")),
    "infer": At("row", in_part("infer", ""), nth=9),
    "judge": At("row", in_part("judge", ""), nth=4),
    "synthesize": At("row", in_part("synthesize", ""), nth=5),
    "dedup": At("open", in_part("dedup", "pool.jsonl")),
    "promote": At("open", in_part("promote", "bundle/champion.json")),
}
ROWS = {
    "answer": ("complete", "outcomes.jsonl"),
    "infer": ("generate", "responses.jsonl"),
    "judge": ("assess", "verdicts.jsonl"),
    "synthesize": ("complete", "outcomes.jsonl"),
}


@pytest.mark.parametrize("stage", MIDDLE)
def test_a_kill_in_the_middle_of_a_stage(stage, forked, folder, undisturbed):
    (killed,) = forked(folder.start("killed", MIDDLE[stage]))
    assert killed.code == -9, killed.said
    part = folder.part(stage)
    kind, file = ROWS.get(stage, ("", ""))
    kept = (part / file).read_bytes().count(b"\n") if file else 0
    (ended,) = forked(folder.start("again"))
    assert ended.code == 0, ended.said
    same_end(folder, undisturbed, "KILLED", "FINISHED")
    assert (part.name.removesuffix(".part"), "KILLED") in folder.children()
    assert len(folder.children()) == len(undisturbed.stages()) + 1
    if file:
        total = (part.with_suffix("") / file).read_bytes().count(b"\n")
        assert kept == MIDDLE[stage].nth
        assert next(n for asked, n in ended.asked if asked == kind) == total - kept


BETWEEN = {
    "before it is saved": (At("open", in_part("infer", "artifact.json")), [0, 24, 24, 24]),
    "before it is recorded": (At("open", in_part("infer", "record.json")), [24, 24, 24]),
    "before it is named": (At("os.rename", r"/infer-\w+\.part \S+/infer-\w+$"), [24, 24, 24]),
}


@pytest.mark.parametrize("when", BETWEEN)
def test_a_kill_between_the_end_of_a_stage_and_its_name(when, forked, folder, undisturbed):
    at, left = BETWEEN[when]
    (killed,) = forked(folder.start("killed", at))
    assert killed.code == -9, killed.said
    (ended,) = forked(folder.start("again"))
    assert ended.code == 0, ended.said
    same_end(folder, undisturbed, "KILLED", "FINISHED")
    assert [n for kind, n in ended.asked if kind == "generate"] == left


TORN = [("collect", "train.jsonl", 900), ("infer", "responses.jsonl", 1500), ("dedup", "pool", 999)]


@pytest.mark.parametrize(("stage", "file", "size"), TORN)
def test_death_in_the_middle_of_a_line(stage, file, size, forked, folder, undisturbed):
    at = At("open", in_part(stage, file), act="tear", size=size)
    (torn,) = forked(folder.start("torn", at))
    assert torn.code == -signal.SIGXFSZ, torn.said
    (path,) = folder.part(stage).glob(f"{file}*")
    assert path.stat().st_size == size
    assert not path.read_bytes().endswith(b"\n")
    (ended,) = forked(folder.start("again"))
    assert ended.code == 0, ended.said
    same_end(folder, undisturbed, "KILLED", "FINISHED")


@pytest.mark.slow
def test_kills_without_end(forked, folder, undisturbed):
    """One after the other, also while the champion is registered and the page is written."""
    infer = in_part("infer", "")
    kills = [
        At("open", in_part("judge", "record.json")),
        At("row", infer, nth=5),
        At("row", infer, nth=5),
        At("row", infer, nth=20),
        At("shutil.copyfile", r"/models/\S+/bundle"),
        At("open", r"/reports/\S+\.html"),
    ]
    ended = [forked(folder.start(str(i), at))[0].code for i, at in enumerate(kills)]
    assert ended == [-9] * len(kills)
    (last,) = forked(folder.start("last"))
    assert last.code == 0, last.said
    same_end(folder, undisturbed, *["KILLED"] * len(kills), "FINISHED")


def test_kills_while_the_database_is_created(forked, folder, undisturbed, tmp_path):
    cache = str(tmp_path / "cache")
    kills = [
        At("sqlite3.connect", r"/cache/mlflow-[\d.]+\.db\.part$"),
        At("sqlite3.connect/handle", "", nth=2),  # of the one in memory, then of its copy
        At("os.rename", r"/cache/mlflow-[\d.]+\.db\.part "),
        At("shutil.copyfile", r"/mlruns/mlflow\.db\.part$"),
        At("sqlite3.connect", r"/mlruns/mlflow\.db\.part$"),
        At("os.rename", r"/mlruns/mlflow\.db\.part "),
    ]
    for i, at in enumerate(kills):
        (killed,) = forked(folder.start(str(i), at, LLAMADUO_CACHE=cache))
        assert killed.code == -9, killed.said
        assert not (folder.home / "mlflow.db").exists()
    (ended,) = forked(folder.start("again", LLAMADUO_CACHE=cache))
    assert ended.code == 0, ended.said
    same_end(folder, undisturbed, "FINISHED")
    assert not list((tmp_path / "cache").glob("*.part*"))


def test_two_runs_at_once_share_each_stage(forked, folder, undisturbed):
    """Each holds up the other once in a stage that the other wants as well."""

    def held(log: str, other: str) -> Start:
        told = f"{folder.path}.{other}"
        return folder.start(log, At("row", in_part("infer", ""), nth=3, act="wait", other=told))

    both = forked(held("one", "two"), held("two", "one"))
    assert [ended.code for ended in both] == [0, 0], both
    assert any("waits for another run that is making it" in ended.said for ended in both)
    same_end(folder, undisturbed, "FINISHED", "FINISHED")


def test_four_first_starts_at_once(forked, folder, undisturbed, tmp_path):
    env = {"LLAMADUO_CACHE": str(tmp_path / "cache")}
    four = forked(*(folder.start(str(i), **env) for i in range(4)))
    assert [ended.code for ended in four] == [0] * 4, four
    same_end(folder, undisturbed, *["FINISHED"] * 4)


@pytest.mark.parametrize(
    ("stage", "file"),
    [("dedup", "pool.jsonl"), ("finetune", "adapter/adapter.json"), ("judge", "record.json.tmp")],
)
def test_no_room_for_a_file_of_a_stage(stage, file, forked, folder, undisturbed):
    name = next(name for name in undisturbed.stages() if name.startswith(f"{stage}-"))
    full = folder.home / "stages" / f"{name}.part" / file
    full.parent.mkdir(parents=True)
    full.symlink_to("/dev/full")
    (failed,) = forked(folder.start("failed"))
    assert f"{name}.part" in failed.complaint
    assert (
        "no room left (No space left on device). Free some space, and the same" in failed.complaint
    )
    assert folder.parents() == ["FAILED"]
    assert (name, "FAILED") in folder.children()
    full.unlink()
    (ended,) = forked(folder.start("again"))
    assert ended.code == 0, ended.said
    same_end(folder, undisturbed, "FAILED", "FINISHED")


def test_no_room_for_anything_beyond_a_limit(forked, folder, undisturbed):
    """Not for the database either: the run that cannot be closed is, by the next start."""
    at = At("row", in_part("infer", ""), nth=5, act="limit", size=4000)
    (failed,) = forked(folder.start("failed", at))
    assert "/infer-" in failed.complaint
    assert "no room left (File too large)" in failed.complaint
    assert folder.parents() == ["RUNNING"]
    (ended,) = forked(folder.start("again"))
    assert ended.code == 0, ended.said
    same_end(folder, undisturbed, "KILLED", "FINISHED")


PRIVATE = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
MOUNT = 'mount -t tmpfs -o size=64m tmpfs "$0" && exec "$@"'


def test_a_disk_that_fills_up(args, forked, undisturbed, tmp_path):
    """A small disk that the started processes alone see, and that a file then fills."""
    disk = tmp_path / "lab"
    disk.mkdir()
    if not shutil.which("unshare") or subprocess.run([*PRIVATE, MOUNT, disk, "true"]).returncode:
        pytest.skip("a user may not mount a disk here")
    with closing(Forks(*PRIVATE, MOUNT, str(disk))) as by:
        folder = Folder(Path(f"/proc/{by.pid}/root{disk}"), args)
        filler = folder.path / "filler"
        places = {
            "": At("os.mkdir", r"/mlruns/hydra/"),
            "mlflow.db": At("shutil.copyfile", r"/mlruns/mlflow\.db\.part$"),
            "infer-": At("row", in_part("infer", ""), nth=2),
            "judge-": At("row", in_part("judge", ""), nth=9),
        }
        for i, (place, at) in enumerate(places.items()):
            at = replace(at, act="fill", other=str(filler))
            (failed,) = forked(folder.start(f"failed {i}", at), by=by)
            assert place in failed.complaint
            assert re.search("no room left \\((No space left on|database or)", failed.complaint)
            filler.unlink()
        (ended,) = forked(folder.start("again"), by=by)
        assert ended.code == 0, ended.said
        shutil.copytree(folder.home, tmp_path / "copy" / "mlruns")
    same_end(Folder(tmp_path / "copy", args), undisturbed, "KILLED", "KILLED", "FINISHED")


def test_other_library_versions_are_told_once(forked, folder, undisturbed):
    shutil.copytree(undisturbed.path, folder.path)
    for record in folder.home.glob("stages/*/record.json"):
        record.write_text(record.read_text().replace('"peft": "', '"peft": "0.0.'))
    (ended,) = forked(folder.start("again"))
    (line,) = [line for line in ended.said.splitlines() if "made with" in line]
    assert re.search(r"peft 0\.0\.\S+ \(here \d", line)
    ((tag,),) = folder.query("SELECT value FROM tags WHERE key = 'llamaduo.other_versions'")
    assert tag in line


REAL = (
    "+experiment=summarize",
    "service=fake",
    "min_rounds=1",
    "max_rounds=1",
    "local.sampling.k=1",
    "task.max_new_tokens=32",  # enough for rows to be there, and for some to end by themselves
    "gate.ratio=0.01",
)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_kills_in_training_and_generation_with_real_weights(tmp_path, args):
    """From the last whole checkpoint, and from the last row, to the same figures."""
    (coverage,) = [word for word in args if word.startswith("task.coverage=")]
    undisturbed, folder = (
        Folder(tmp_path / name, (*REAL, coverage)) for name in ("undisturbed", "lab")
    )
    kills = [
        At("open", in_part("finetune", r"\S+/trainer_state.json"), nth=2),
        At("row", in_part("infer", ""), nth=8),
    ]
    (ended,) = run(shared(), undisturbed.start("log"))
    assert ended.code == 0, ended.said
    for i, at in enumerate(kills):
        (killed,) = run(shared(), folder.start(f"killed {i}", at))
        assert killed.code == -9, killed.said
        if i == 0:
            assert list(folder.part("finetune").glob("checkpoints/*/trainer_state.json"))
    (ended,) = run(shared(), folder.start("again"))
    assert ended.code == 0, ended.said
    same_end(folder, undisturbed, *["KILLED"] * len(kills), "FINISHED", rel=1e-5)
