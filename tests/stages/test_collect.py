import json
from pathlib import Path

import pytest
from support.experiments import columns, composed, coverage_file

from llamaduo.base.errors import DataError
from llamaduo.lab import Lab
from llamaduo.stages.collect import collect, read_pairs
from llamaduo.tracking import MemoryTracker

NEAR = composed().synthesis.dedup


def task(path: Path, *overrides: str):
    return composed(f"task.coverage={path}", *overrides).task


def run(config, home: Path, seed: int = 1):
    with MemoryTracker().open("e", "r", {}) as tracked:
        return Lab(home, tracked, lambda line: None).run(collect(config, near=NEAR, seed=seed))


def rejects(content: bytes):
    return [(row.line, row.reason) for row in read_pairs(content, composed().task)[1]]


def line(**row: object) -> bytes:
    return json.dumps(row).encode() + b"\n"


GOOD = b"".join(line(**columns(i)) for i in range(6))


def test_a_missing_file_is_named_with_what_could_be_given_instead(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.jsonl: no such file.*shipped:summarize"):
        collect(task(tmp_path / "nothing.jsonl"), near=NEAR, seed=1)


def test_an_empty_file_has_too_few_rows(tmp_path):
    path = tmp_path / "empty.jsonl"
    path.touch()
    with pytest.raises(DataError, match=r"empty\.jsonl: 0 usable rows"):
        run(task(path), tmp_path)


def test_too_few_rows_to_split_says_how_many_and_where_the_rejects_are(tmp_path):
    path = coverage_file(tmp_path / "few.jsonl", [columns(i) for i in range(3)])
    path.write_bytes(path.read_bytes() + b"{\n")
    with pytest.raises(DataError, match=r"3 usable rows .*line 4 .*rejects\.jsonl") as caught:
        run(task(path), tmp_path)
    assert Path(str(caught.value).split()[-1]).is_file()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b'{"prompt": "broken", \n', "not JSON"),
        (b'{"prompt": "\xff\xfe", "response": "x"}\n', "not UTF-8"),
        (line(prompt="lacks a response"), "no response"),
        (line(response="lacks a prompt"), "no prompt"),
        (line(prompt="empty", response="  "), "empty response"),
        (line(prompt=None, response="x"), "empty user message"),
        (b'["a list"]\n', "not a JSON object"),
        (b"3\n", "not a JSON object"),
        (line(messages="text"), "not a list"),
        (line(messages=[{"role": "user", "content": "no answer"}]), "no response"),
        (line(messages=[{"role": "assistant", "content": "a"}] * 2), "no prompt"),
        (line(messages=[{"role": "robot", "content": "a"}]), "role"),
        (line(messages=["text", 3]), "role"),
        (b'{"prompt": "half \\ud800 a pair", "response": "x"}\n', "no Unicode"),
        (b'{"prompt": "p", "response": "x", "id": "\\ud800"}\n', "no Unicode"),
        (
            b'{"prompt": "p", "response": "x", "n": ' + b"9" * 5000 + b"}\n",
            "not JSON that can be read",
        ),
        (b'{"n": ' + b"[" * 100_000 + b"}\n", "not JSON"),
        (line(messages=[{"role": "user", "content": [{"type": "text"}]}]), "message of parts"),
        (GOOD.split(b"\n")[0] + b"\n", "duplicate: the same prompt as on line 1"),
    ],
)
def test_a_bad_row_is_rejected_with_its_line_and_the_others_are_kept(row, reason):
    found = rejects(GOOD + row + line(**columns(99)))
    assert [number for number, _ in found] == [7]
    assert reason in found[0][1]


def test_rejects_are_written_and_counted(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_bytes(GOOD + b"{broken\n" + b"".join(line(**columns(i)) for i in range(7, 12)))
    coverage = run(task(path), tmp_path)
    assert coverage.card.source == str(path)
    (row,) = (coverage.home / "rejects.jsonl").read_text().splitlines()
    assert json.loads(row)["line"] == 7
    assert (coverage.card.rows, coverage.card.rejected) == (11, 1)


def test_an_id_used_twice_is_rejected():
    rows = line(id="a", **columns(1)) + line(id="a", **columns(2))
    assert rejects(rows) == [(2, "duplicate: the same id as on line 1")]


def test_a_system_message_and_earlier_turns_are_kept():
    turns = [("system", "be brief"), ("user", "a"), ("assistant", "b"), ("user", "c")]
    messages = [{"role": r, "content": c} for r, c in [*turns, ("assistant", "d")]]
    (made,), _ = read_pairs(line(messages=messages), composed().task)
    assert [(m.role, m.content) for m in made.prompt.messages] == turns
    assert made.response == "d"


def test_a_file_from_windows_reads_like_any_other():
    content = b"\xef\xbb\xbf" + GOOD.replace(b"\n", b"\r\n")
    pairs, bad = read_pairs(content, composed().task)
    assert (len(pairs), bad) == (6, [])
    assert pairs == read_pairs(GOOD, composed().task)[0]


def test_columns_are_named_in_the_configuration(tmp_path):
    path = coverage_file(
        tmp_path / "c.jsonl", [{"q": f"question {i}", "a": f"answer {i}"} for i in range(12)]
    )
    config = task(path, "task.prompt_column=q", "task.response_column=a")
    assert run(config, tmp_path).card.rows == 12


def test_splits_are_seeded_disjoint_and_whole(tmp_path):
    path = coverage_file(tmp_path / "c.jsonl", [columns(i) for i in range(40)])
    first, again, other = (run(task(path), tmp_path / str(i), s) for i, s in enumerate((1, 1, 2)))
    ids = {name: [p.id for p in first.split(name)] for name in ("train", "dev", "test")}
    assert {k: len(v) for k, v in ids.items()} == {"train": 20, "dev": 10, "test": 10}
    assert len(set().union(*map(set, ids.values()))) == 40
    assert ids["test"] == [p.id for p in again.split("test")]
    assert ids["test"] != [p.id for p in other.split("test")]


def test_one_row_more_moves_few_others(tmp_path):
    rows = [columns(i) for i in range(41)]
    before = run(task(coverage_file(tmp_path / "a", rows[:40])), tmp_path)
    after = run(task(coverage_file(tmp_path / "b", rows)), tmp_path)
    kept = {p.id for p in before.split("test")} & {p.id for p in after.split("test")}
    assert len(kept) >= 8


def test_the_card_describes_the_data(tmp_path):
    card = run(composed().task, tmp_path).card
    assert card.rows == 96
    assert card.system == "Summarise the message in two sentences."
    assert "written for this project" in " ".join(card.note.split())
    assert card.prompt_words.least > 50


def test_datasets_are_logged(tmp_path):
    tracker = MemoryTracker()
    with tracker.open("e", "r", {}) as tracked:
        Lab(tmp_path, tracked, lambda line: None).run(collect(composed().task, near=NEAR, seed=1))
    child = next(r for r in tracker.runs.values() if r.parent)
    assert [context for _, context, _ in child.datasets] == ["train", "dev", "test"]
    assert "rejects.jsonl" in child.files


def test_near_copies_across_the_splits_are_counted_and_left(tmp_path):
    rows = [columns(i) for i in range(12)]
    twins = [{**row, "prompt": f"{row['prompt']} again"} for row in rows]
    path = coverage_file(tmp_path / "twins.jsonl", [*rows, *twins])
    made = run(task(path), tmp_path)
    train = {pair.prompt.user.removesuffix(" again") for pair in made.split("train")}
    held_out = [pair.prompt.user for name in ("dev", "test") for pair in made.split(name)]
    seen = sum(text.removesuffix(" again") in train for text in held_out)
    assert 0 < seen == made.card.near_copies == made.metrics["near_copies"]
    assert made.card.rows == 24
    alone = coverage_file(tmp_path / "alone.jsonl", rows)
    assert run(task(alone), tmp_path).card.near_copies == 0
