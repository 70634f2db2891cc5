"""`make bench-quality`: the classifiers beside other ways to learn the same.

`--only` runs one part and leaves the others' figures as they are; `--quick` runs less of each, to see that it works,
and writes nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.figures import print_table, replace_rows

RESULTS = Path(__file__).parents[1] / "results" / "quality.json"
PARTS = LODBROK, OWN, REAL, TEXT, SENTIMENT = ("lodbrok", "own", "real", "text", "sentiment")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, help="one part; all by default")
    parser.add_argument("--quick", action="store_true", help="less of each; writes nothing")
    arguments = parser.parse_args()
    parts = [arguments.only] if arguments.only else PARTS
    figures = []
    if LODBROK in parts:
        from bench.quality.quality_lodbrok import bench_lodbrok

        figures += bench_lodbrok(arguments.quick)
    if OWN in parts:
        from bench.quality.quality_own import bench_own
        from bench.quality.quality_stream import bench_streams

        figures += [*bench_own(arguments.quick), *bench_streams(arguments.quick)]
    if REAL in parts:
        from bench.quality.quality_real import bench_real

        figures += bench_real(arguments.quick)
    if TEXT in parts:
        from bench.quality.quality_text import bench_text

        figures += bench_text(arguments.quick)
    if SENTIMENT in parts:
        from bench.quality.quality_sentiment import bench_sentiment

        figures += bench_sentiment()
    if not arguments.quick:
        replace_rows(RESULTS, figures, lambda name: part_of(name) in parts)
    print_table(figures)
    return 0 if all(row["reached"] for row in figures) else 1


def part_of(name: str) -> str:
    """The part that a figure is of."""
    if name.startswith("Shipped weights,"):
        return REAL
    if name.startswith("Own accounts"):
        return OWN
    if name.startswith("Sentiment"):
        return SENTIMENT
    return LODBROK if name.startswith("Lodbrok") else TEXT


if __name__ == "__main__":
    sys.exit(main())
