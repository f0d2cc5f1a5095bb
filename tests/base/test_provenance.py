"""The commit of the folder in which a command ran."""

import subprocess

import pytest

from llamaduo.base.provenance import commit


@pytest.fixture(autouse=True)
def fresh():
    commit.cache_clear()
    yield
    commit.cache_clear()


def git(*words: str) -> str:
    who = ("-c", "user.name=n", "-c", "user.email=n@localhost")
    done = subprocess.run(["git", *who, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_commit_and_whether_files_were_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-qm", "a")
    head = git("rev-parse", "HEAD")
    assert commit() == head
    commit.cache_clear()
    (tmp_path / "a").write_text("2")
    assert commit() == f"{head}-dirty"


def test_none_outside_of_a_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit() is None


def test_none_without_git(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit() is None
