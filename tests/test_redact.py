"""What is written for others holds no secret."""

import pytest

from llamaduo.redact import redacted

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
