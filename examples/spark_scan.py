"""Judges a Parquet data set with Spark: `spark-submit examples/spark_scan.py editors/ scores/`.

Every executor needs `pip install 'sb_api[parquet]'` and the weights: in a directory that all of them reach, such as an
artefact of `sb-api weights pull`, or in a Redis (SOURCE).
"""

from __future__ import annotations

import os
import sys

from pyspark.sql import SparkSession

import sb_api
from sb_api.local.columns import judge_batches, spark_schema


def main(editors: str, scores: str) -> None:
    reference = sb_api.load("lodbrok", os.environ.get("SOURCE")).reference
    spark = SparkSession.builder.appName("sb_api").getOrCreate()
    rows = spark.read.parquet(editors)
    rows.mapInArrow(judge_batches(reference), spark_schema(reference)).write.parquet(scores)
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
