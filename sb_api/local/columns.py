"""Judging tables, for engines that spread them over many machines: Dask (`judge_frame`) and Spark (`judge_batches`).

What they are sent is a `Reference`, a few hundred bytes; each of their processes loads the weights that it names once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from sb_api.client.result_tables import result_columns
from sb_api.client.rows import Fault, Judgement
from sb_api.errors import InvalidParameter, MalformedBody
from sb_api.local.judge import Judge, Reference
from sb_api.local.scan import load_once
from sb_api.readers.columnar import find_columns, import_pyarrow, to_records
from sb_api.readers.rows import RECORD_FIELDS
from sb_api.records import RECORD_TYPES

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

ROWS = 2_000  # judged at once: more take more memory and are not judged faster


def judge_table(judge: Judge, table: pa.Table | pa.RecordBatch) -> pa.Table:
    """The judgements of the n rows of a table, whose columns are the fields of a record by name; others are not read.

    n rows, in order: `id` as it came, `prediction`, `score`, `band`, `weights`, and `fault`, which says why a row could
    not be judged (then the others are null, but for `id`). Raises InvalidParameter for a table without `id`.
    """
    pa = import_pyarrow()
    try:
        names = find_columns(table.schema.names, RECORD_FIELDS, "The table")
    except MalformedBody as error:
        raise InvalidParameter(error.detail) from None
    whole = pa.Table.from_batches([table]) if isinstance(table, pa.RecordBatch) else table
    parts = whole.select(list(names)).rename_columns(list(names.values()))
    outcomes: list[Judgement | Fault] = []
    for batch in parts.to_batches(ROWS):
        outcomes += judge(to_records(batch))
    judged = {"id": parts["id"]}
    for name, kind in result_columns(pa, of_messages=RECORD_TYPES[judge.reference.model].of_messages).items():
        judged[name] = pa.array([_value(outcome, name) for outcome in outcomes], kind)
    faults = [f"{one.field}: {one.detail}".removeprefix(": ") if isinstance(one, Fault) else None for one in outcomes]
    return pa.table(judged | {"fault": pa.array(faults, pa.string())})


def judge_frame(frame: pd.DataFrame, reference: Reference) -> pd.DataFrame:
    """`judge_table` of a data frame, its index kept: for `map_partitions(judge_frame, reference)` of Dask. A frame
    without rows has the columns and types of any other, so that Dask needs no `meta`."""
    pa = import_pyarrow()
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return judge_table(load_once(reference), table).to_pandas().set_axis(frame.index)


def judge_batches(reference: Reference) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """What `mapInArrow` of Spark is given, with `spark_schema` as the schema of what comes out."""
    return partial(_judge_batches, reference)


def spark_schema(reference: Reference, identity: str = "long") -> str:
    """The columns of `judge_table` in Spark's notation; `identity` is the type of `id`, such as long or string."""
    score = "map<string, double>" if RECORD_TYPES[reference.model].of_messages else "double"
    return f"id {identity}, prediction string, score {score}, band string, weights string, fault string"


def _judge_batches(reference: Reference, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    judge = load_once(reference)
    for batch in batches:
        yield from judge_table(judge, batch).to_batches()


def _value(outcome: Judgement | Fault, name: str) -> Any:
    if isinstance(outcome, Fault):
        return None
    value = getattr(outcome, name)
    return list(value.items()) if isinstance(value, dict) else value
