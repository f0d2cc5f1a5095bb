"""The parquet file of a `VerdictTable`: one row for each verdict or failure, with its cost."""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from llamaduo.base.errors import DataError
from llamaduo.records import Bill
from llamaduo.stats.table import VerdictTable

TEST_SET = b"llamaduo.test_set"
_WORDS = pa.dictionary(pa.int32(), pa.string())
_DIGITS = 18  # of a dollar, after the point
_USD = pa.decimal128(38, _DIGITS)
_COUNTS = ("calls", "input_tokens", "output_tokens", "kept_calls", "estimated_calls")
_SUMS = ("usd", "simulated_usd", "kept_usd")
#: `cost.usd` is null where it is not known, `reason` for failures, `failure` for verdicts.
SCHEMA = pa.schema(
    [
        ("prompt_id", _WORDS),
        ("k", pa.int32()),
        ("m", pa.int32()),
        ("similarity", pa.float64()),
        ("precision", pa.float64()),
        ("reason", pa.string()),
        ("judge", _WORDS),
        ("version", _WORDS),
        ("cost", pa.struct([*((n, pa.int64()) for n in _COUNTS), *((n, _USD) for n in _SUMS)])),
        ("failure", pa.string()),
        ("final", pa.bool_()),
    ]
)


def write(table: VerdictTable, path: Path) -> None:
    """Write a table to a parquet file, whole or not at all; its metadata have the test set."""
    failed = table.failed
    texts = np.array(table.texts, dtype=object)
    names, versions = ([judge[i] for judge in table.judges] for i in (0, 1))
    columns = {
        "prompt_id": _coded(table.prompt, table.prompts),
        "k": pa.array(table.k, pa.int32()),
        "m": pa.array(table.m, pa.int32()),
        "similarity": pa.array(table.similarity, mask=failed),
        "precision": pa.array(table.precision, mask=failed),
        "reason": pa.array(texts, pa.string(), mask=failed),
        "judge": _coded(table.judge, names),
        "version": _coded(table.judge, versions),
        "cost": _costs(table.bills),
        "failure": pa.array(texts, pa.string(), mask=~failed),
        "final": pa.array(table.final),
    }
    schema = SCHEMA
    if table.test_set is not None:
        schema = schema.with_metadata({TEST_SET: table.test_set.encode()})
    part = path.with_name(path.name + ".tmp")
    parquet.write_table(pa.table(columns, schema=schema), part)
    part.replace(path)


def read(path: Path, test_set: str | None = None) -> VerdictTable:
    """Read the table in a parquet file.

    Raises:
        DataError: it is no such table, or `test_set` is given and the table is on another.
    """
    try:
        file = parquet.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: no parquet file of verdicts ({error})") from error
    if missing := [name for name in SCHEMA.names if name not in file.column_names]:
        raise DataError(f"{path}: no table of verdicts, it has no column {', '.join(missing)}")
    kept = (file.schema.metadata or {}).get(TEST_SET, b"").decode() or None
    if test_set is not None and kept != test_set:
        raise DataError(
            f"{path} has verdicts on test set {kept or 'unknown'}, not on test set {test_set}: "
            "judge this test set, or name the file that belongs to it"
        )
    columns = file.select(SCHEMA.names).cast(SCHEMA)
    prompt, prompts = _codes(columns["prompt_id"])
    name, names = _codes(columns["judge"])
    version, versions = _codes(columns["version"])
    pairs, judge = np.unique(name * len(versions) + version, return_inverse=True)
    failed = np.isnan(scores := _floats(columns["similarity"]))
    reasons, causes = (columns[key].to_numpy() for key in ("reason", "failure"))
    return VerdictTable(
        prompts=tuple(prompts),
        judges=tuple((names[i // len(versions)], versions[i % len(versions)]) for i in pairs),
        prompt=prompt,
        k=_ints(columns["k"]),
        m=_ints(columns["m"]),
        judge=judge.reshape(-1).astype(np.int64),
        similarity=scores,
        precision=_floats(columns["precision"]),
        texts=np.where(failed, causes, reasons).tolist(),
        final=columns["final"].to_numpy().astype(bool),
        bills=_bills(columns["cost"]),
        test_set=kept,
    )


def _coded(codes: Any, words: Sequence[str]) -> Any:
    return pa.DictionaryArray.from_arrays(
        pa.array(codes, pa.int32()), pa.array(list(words), pa.string())
    )


def _codes(column: Any) -> tuple[Any, list[str]]:
    """Return the place of each value in the words, and the words in order."""
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], _WORDS)
    words = whole.dictionary.to_pylist()
    order = sorted(range(len(words)), key=words.__getitem__)
    place = np.empty(len(words), dtype=np.int64)
    place[order] = np.arange(len(words))
    return place[whole.indices.to_numpy()], [words[i] for i in order]


def _ints(column: Any) -> Any:
    return column.to_numpy().astype(np.int64)


def _floats(column: Any) -> Any:
    return column.to_numpy().astype(np.float64)


def _costs(bills: Sequence[Bill]) -> Any:
    columns = [[getattr(bill, name) for bill in bills] for name in _COUNTS]
    arrays = [pa.array(column, pa.int64()) for column in columns]
    with localcontext(prec=38):
        for name in _SUMS:
            column = [_money(getattr(bill, name)) for bill in bills]
            arrays.append(pa.array(column, _USD))
    return pa.StructArray.from_arrays(arrays, fields=list(SCHEMA.field("cost").type))


def _money(amount: Decimal | None) -> Decimal | None:
    if amount is None or not amount:
        return amount
    return amount.quantize(Decimal(1).scaleb(-_DIGITS))


def _bills(column: Any) -> list[Bill]:
    """Return the bills; those that are the same share one object."""
    if not len(column):
        return []
    whole = column.combine_chunks()
    names = (*_COUNTS, *_SUMS)
    kinds = np.zeros(len(whole), dtype=np.int64)
    for name in names:
        coded = whole.field(name).dictionary_encode(null_encoding="encode")
        key = kinds * len(coded.dictionary) + coded.indices.to_numpy()
        _, firsts, kinds = np.unique(key, return_index=True, return_inverse=True)
        kinds = kinds.reshape(-1)
    bills = [_bill(whole[int(first)].as_py()) for first in firsts]
    return [bills[kind] for kind in kinds.tolist()]


def _bill(facts: dict[str, Any]) -> Bill:
    sums = {name: None if facts[name] is None else _plain(facts[name]) for name in _SUMS}
    return Bill(**facts | sums)


def _plain(amount: Decimal) -> Decimal:
    """Return an amount without the zeros that the width of the column added."""
    return amount.normalize() if amount else Decimal(0)
