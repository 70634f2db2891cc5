"""Tables are judged as records are."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import sb_api
from sb_api.client.rows import Judgement
from sb_api.errors import InvalidParameter
from sb_api.local.columns import judge_batches, judge_frame, judge_table, spark_schema
from sb_api.local.judge import Judge
from tests.support.service import ROOT, make_editors

EDITORS = make_editors(60)


@pytest.fixture(scope="module")
def judge() -> Judge:
    return sb_api.load(source=ROOT / "static")


def frame(editors: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(editors)


def test_rows_are_judged_in_order_and_a_wrong_one_says_why(judge: Judge) -> None:
    table = pa.Table.from_pandas(frame([*EDITORS[:3], {"id": 9, "member_since": "yesterday"}, EDITORS[4]]))
    judged = judge_table(judge, table).to_pylist()
    assert [row["id"] for row in judged] == [0, 1, 2, 9, 4]
    assert judged[3] == dict.fromkeys(judged[3]) | {"id": 9, "fault": judged[3]["fault"]}
    assert judged[3]["fault"].startswith("member_since: 'yesterday' is not an ISO 8601 date")
    sound = [one for one in judge([*EDITORS[:3], EDITORS[4]]) if isinstance(one, Judgement)]
    expected = [(one.prediction, one.score, one.band, one.weights, None) for one in sound]
    columns = ("prediction", "score", "band", "weights", "fault")
    assert [tuple(row[name] for name in columns) for row in judged if row["id"] != 9] == expected
    shouted = table.slice(0, 3).rename_columns([name.upper() for name in table.column_names])
    assert judge_table(judge, shouted).to_pylist() == judged[:3]
    with pytest.raises(InvalidParameter, match="no column `id`; it has bio"):
        judge_table(judge, pa.table({"bio": ["x"]}))


def test_a_frame_keeps_its_index_and_an_empty_one_the_types(judge: Judge) -> None:
    whole = frame(EDITORS).set_index(pd.Index(range(100, 160)))
    judged = judge_frame(whole, judge.reference)
    assert list(judged.index) == list(whole.index)
    assert list(judged["id"]) == [one["id"] for one in EDITORS]
    assert dict(judge_frame(whole[:0], judge.reference).dtypes) == dict(judged.dtypes)


def test_spark_is_given_batches_and_their_schema(judge: Judge) -> None:
    batches = pa.Table.from_pandas(frame(EDITORS)).to_batches(25)
    judged = pa.Table.from_batches(judge_batches(judge.reference)(iter(batches)))
    assert judged["score"].to_pylist() == judge_table(judge, pa.Table.from_batches(batches))["score"].to_pylist()
    assert [part.split(" ")[0] for part in spark_schema(judge.reference).split(", ")] == judged.column_names


def test_messages_have_a_score_for_each_class() -> None:
    intent = sb_api.load("intent", ROOT / "static")
    judged = judge_table(intent, pa.table({"id": ["a"], "text": ["how do I merge two artists?"]}))
    (scores,) = judged["score"].to_pylist()
    assert sum(probability for _, probability in scores) == pytest.approx(1, abs=1e-3)
    assert "map<string, double>" in spark_schema(intent.reference, "string")
