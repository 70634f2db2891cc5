"""Results of a scan as Parquet and Arrow: what DuckDB and pyarrow read is what was judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sb_api.client.bulk import encode
from sb_api.client.result_tables import write_table
from sb_api.client.rows import Judgement
from sb_api.judgements import Reason

EDITORS = [Judgement(7, "spam", 0.98, "certain spam", "000001-x"), Judgement(8, "not spam", 0.0, None, "000001-x")]


def write(folder: Path, judgements: list[Judgement], kind: Any = "parquet", **options: Any) -> Path:
    (folder / "rows").write_bytes(encode(judgements, "jsonl"))
    write_table(folder / "rows", folder / "out", kind, **options)
    assert {path.name for path in folder.iterdir()} == {"rows", "out"}
    assert (folder / "out").stat().st_mode & 0o777 == 0o600
    return folder / "out"


def test_duckdb_reads_what_was_judged(tmp_path: Path) -> None:
    out = write(tmp_path, EDITORS)
    found = duckdb.connect().execute("SELECT id + 1, prediction, score, band, weights FROM read_parquet(?)", [str(out)])
    assert found.fetchall() == [(8, "spam", 0.98, "certain spam", "000001-x"), (9, "not spam", 0.0, None, "000001-x")]


def test_an_arrow_file_is_the_same_table(tmp_path: Path) -> None:
    table = pa.ipc.open_file(write(tmp_path, EDITORS, "arrow")).read_all()
    assert table.column_names == ["id", "prediction", "score", "band", "weights"]
    assert table == pq.read_table(write(tmp_path, EDITORS))


@pytest.mark.parametrize("ids", [["a", 8], [7, "a"], [2**63 - 1, "9"]])
def test_ids_of_which_some_are_text_are_all_text(tmp_path: Path, ids: list[Any]) -> None:
    out = write(tmp_path, [Judgement(one, "spam", 0.5, "unsure", "w") for one in ids])
    assert pq.read_table(out)["id"].to_pylist() == [str(one) for one in ids]


def test_scores_of_messages_and_reasons_are_columns_with_types(tmp_path: Path) -> None:
    scores = {"order": 0.25, "chat": 0.75}
    messages = write(tmp_path, [Judgement("m", None, scores, None, "w")])
    assert pq.read_table(messages)["score"].to_pylist() == [list(scores.items())]
    reasons = [Reason("a website", 1, 0.25, 1.5), Reason("words", None, 0.0, 0.0)]
    editors = write(tmp_path, [Judgement(1, "spam", 0.5, "unsure", "w", reasons)], explain=True)
    assert pq.read_table(editors)["reasons"].to_pylist() == [
        [
            {"feature": "a website", "value": "1", "effect": 0.25, "log_odds": 1.5},
            {"feature": "words", "value": None, "effect": 0.0, "log_odds": 0.0},
        ]
    ]


def test_no_results_are_a_table_without_rows(tmp_path: Path) -> None:
    assert pq.read_table(write(tmp_path, [])).num_rows == 0
