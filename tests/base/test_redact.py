"""What is written for others holds no secret."""

import os
import subprocess
import sys

import pytest

from llamaduo.base.redact import redacted

ENVIRON = {
    "OPENAI_API_KEY": "sk-0123456789",
    "hf_token": "hf_0123456789",
    "LONGER_SECRET": "sk-0123456789-and-more",
    "HOME": "/home/someone",
    "SHORT_KEY": "abc",
    "EMPTY_TOKEN": "",
    "TOKENIZERS_PARALLELISM": "falsefalse",
}


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("key sk-0123456789.", "key $OPENAI_API_KEY."),
        ("hf_0123456789hf_0123456789", "$hf_token$hf_token"),
        ("sk-0123456789-and-more", "$LONGER_SECRET"),
        ("/home/someone abc falsefalse", "/home/someone abc falsefalse"),
        ("postgresql://me:pa:ss@db:5432/x", "postgresql://me:***@db:5432/x"),
        ("https://:pass@host/ and http://a:b@c", "https://:***@host/ and http://a:***@c"),
        ("https://host:5000/at@sign", "https://host:5000/at@sign"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("write to a@b.org: at noon", "write to a@b.org: at noon"),
        # From no environment, and known by their looks:
        (
            "Incorrect API key provided: sk-proj-Ab3dEf6hIj9k.",
            "Incorrect API key provided: sk-***.",
        ),
        ("sk-ant-api03-x7Yz_0123456789-AA", "sk-***"),
        ("Authorization: Bearer abc.def0123456789", "Authorization: Bearer ***"),
        (
            "headers {'Authorization': 'Basic dXNlcjpwYTU1d29yZA=='}",
            "headers {'Authorization': 'Basic ***'}",
        ),
        ("GET /v1?key=AIzaSyA0123456789abcdef", "GET /v1?key=AIza***"),
        ("AKIAIOSFODNN7EXAMPLE", "AKIA***"),
        ("hf_Xq81LmZo22aaBB0 and ghp_0123456789abcdef", "hf_*** and ghp_***"),
        ('{"api_key": "Zm9v-4711-bar"}', '{"api_key": "***"}'),
        ("?api-key=0a1b2c3d4e5f&v=1", "?api-key=***&v=1"),
        # Words like any other:
        ("the bearer of congratulations", "the bearer of congratulations"),
        (
            "bearer responsibilities, basic understanding",
            "bearer responsibilities, basic understanding",
        ),
        (
            "task-force-of-seventeen, risk-9876543210123",
            "task-force-of-seventeen, risk-9876543210123",
        ),
        ("sk-learn", "sk-learn"),
        (
            "OPENAI_API_KEY not set: write OPENAI_API_KEY=… into .env",
            "OPENAI_API_KEY not set: write OPENAI_API_KEY=… into .env",
        ),
        ("service.key_env=OPENAI_API_KEY", "service.key_env=OPENAI_API_KEY"),
    ],
)
def test_secrets_go_and_all_else_stays(text, left):
    assert redacted(text, ENVIRON) == left


def test_secrets_go_from_any_depth_and_other_values_stay():
    value = {"a": ["x", {"b": "sk-0123456789"}], "c": 3, "d": None, "e": (1.5, "hf_0123456789")}
    assert redacted(value, ENVIRON) == {
        "a": ["x", {"b": "$OPENAI_API_KEY"}],
        "c": 3,
        "d": None,
        "e": [1.5, "$hf_token"],
    }


def test_the_environment_is_that_of_now(monkeypatch):
    monkeypatch.setenv("LATE_TOKEN", "late-0123456789")
    assert redacted("late-0123456789") == "$LATE_TOKEN"


def test_a_setting_that_says_it_is_a_secret_is_hidden_whatever_it_is():
    value = {
        "extra": {"api_key": "short", "X-Api-Key": "k", "Authorization": "me", "password": ""},
        "max_tokens": 5,
        "key_env": "OPENAI_API_KEY",
        "tokenizer": "SmolLM2",
        "client.access_token": "t",
    }
    assert redacted(value, {}) == {
        "extra": {"api_key": "***", "X-Api-Key": "***", "Authorization": "***", "password": ""},
        "max_tokens": 5,
        "key_env": "OPENAI_API_KEY",
        "tokenizer": "SmolLM2",
        "client.access_token": "***",
    }


TELLS = """
import logging, sys
from llamaduo.base import redact
redact.watch()
logging.basicConfig(level=logging.INFO, filename="log", format="%(name)s %(message)s")
log = logging.getLogger("some.package")
log.info("call %s with %d headers", "sk-planted-4f1c9a7702e1", 2)
log.info("args stay %s", "as they are")
log.info("wrong %d", "arguments")
try:
    raise ValueError("Bearer planted4f1c9a7702e1")
except ValueError:
    log.exception("failed")
logging.captureWarnings(True)
import warnings
warnings.warn("planted-in-environment-1")
raise RuntimeError("sk-planted-4f1c9a7702e1 was refused")
"""


def test_logs_and_last_words_hold_no_secret(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", TELLS],
        cwd=tmp_path,
        env={**os.environ, "SOME_TOKEN": "planted-in-environment-1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    log = (tmp_path / "log").read_text()
    assert done.returncode == 1
    for text in (log, done.stderr):
        assert "4f1c9a7702e1" not in text
        assert "planted-in-environment" not in text
    assert "some.package call sk-*** with 2 headers" in log
    assert "args stay as they are" in log
    assert "Traceback" in log
    assert "ValueError: Bearer ***" in log
    assert "$SOME_TOKEN" in log
    assert "RuntimeError: sk-*** was refused" in done.stderr
    assert "Traceback" in done.stderr
