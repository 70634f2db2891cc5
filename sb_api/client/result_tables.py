"""Results as a table with types: Parquet, or an Arrow IPC file.

While a scan runs, its results are JSON Lines, which can be cut and gone on with wherever it is broken off. A Parquet
file has its table of contents at its end and cannot be: it is made of them once all are there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from sb_api.client.rows import Judgement
from sb_api.readers.columnar import ColumnarFormat, import_pyarrow

GROUP = 50_000  # rows that are in memory at once


def write_table(results: Path, target: Path, table_format: ColumnarFormat, *, explain: bool = False) -> None:
    """Make the file `target`, readable by its owner alone, of judgements that are JSON Lines; it is there whole or not
    at all.

    Its columns are `id` (whole numbers, or text when some of the ids are), `prediction`, `score` (of a message: a map
    from class to probability), `band`, `weights`, and with `explain` `reasons`. Raises InvalidSettings without pyarrow.
    """
    pa = import_pyarrow()
    partial = target.with_name(f"{target.name}.making")
    try:
        try:
            _write(results, partial, table_format, _schema(pa, results, pa.int64(), explain))
        except (pa.ArrowInvalid, pa.ArrowTypeError):  # not all ids are whole numbers
            _write(results, partial, table_format, _schema(pa, results, pa.string(), explain))
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _schema(pa: Any, results: Path, ids: Any, explain: bool) -> Any:
    first = next(_read(results, 1), [])
    of_messages = bool(first) and isinstance(first[0].score, dict)
    columns = [("id", ids), *result_columns(pa, of_messages).items()]
    if explain:
        # The value of a feature is text or a number: as text.
        reason = [
            ("feature", pa.string()),
            ("value", pa.string()),
            ("effect", pa.float64()),
            ("log_odds", pa.float64()),
        ]
        columns.append(("reasons", pa.list_(pa.struct(reason))))
    return pa.schema(columns)


def result_columns(pa: Any, of_messages: bool) -> dict[str, Any]:
    """The types of what is said of a record: the score of a message is a map from class to probability."""
    return {
        "prediction": pa.string(),
        "score": pa.map_(pa.string(), pa.float64()) if of_messages else pa.float64(),
        "band": pa.string(),
        "weights": pa.string(),
    }


def _write(results: Path, target: Path, table_format: ColumnarFormat, schema: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    as_text = schema.field("id").type == pa.string()
    columns: dict[str, Callable[[Judgement], Any]] = {
        "id": (lambda one: str(one.id)) if as_text else (lambda one: one.id),
        "prediction": lambda one: one.prediction,
        "score": lambda one: list(one.score.items()) if isinstance(one.score, dict) else one.score,
        "band": lambda one: one.band,
        "weights": lambda one: one.weights,
        "reasons": _reasons,
    }
    with ExitStack() as stack:
        file = stack.enter_context(os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb"))
        new = pq.ParquetWriter if table_format == "parquet" else pa.ipc.new_file
        writer = stack.enter_context(new(file, schema))
        for judgements in _read(results, GROUP):
            arrays = [pa.array(list(map(columns[field.name], judgements)), field.type) for field in schema]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))


def _reasons(one: Judgement) -> list[dict[str, Any]]:
    reasons = [msgspec.structs.asdict(reason) for reason in one.reasons or ()]
    return [reason | {"value": None if reason["value"] is None else str(reason["value"])} for reason in reasons]


def _read(results: Path, count: int) -> Iterator[list[Judgement]]:
    decode = msgspec.json.Decoder(Judgement).decode
    with results.open("rb") as lines:
        while some := [decode(line) for line in islice(lines, count)]:
            yield some
