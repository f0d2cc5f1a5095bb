"""The rows that files hold: pairs, responses, verdicts and bills; JSONL in and out."""

from llamaduo.records.bill import (
    Bill,
    Price,
)
from llamaduo.records.jsonl import (
    RowFile,
    digest,
    lines_of,
    read_jsonl,
    read_rows,
    write_jsonl,
)
from llamaduo.records.record import (
    Record,
)
from llamaduo.records.rows import (
    JudgeFailure,
    Judgement,
    Message,
    Pair,
    Prompt,
    Response,
    Verdict,
)

__all__ = [
    "Bill",
    "JudgeFailure",
    "Judgement",
    "Message",
    "Pair",
    "Price",
    "Prompt",
    "Record",
    "Response",
    "RowFile",
    "Verdict",
    "digest",
    "lines_of",
    "read_jsonl",
    "read_rows",
    "write_jsonl",
]
