#!/usr/bin/env python3
"""Send moderators' verdicts back, each exactly once as far as anybody can know.

Reads a file of JSON Lines, editors with "verdict" (1 is spam) and "reporter", and keeps beside it how many lines were
learned. When a connection is lost at the wrong moment nobody knows whether the service has the verdicts: the script
stops and says so. To run it again is safe while the verdict log is on, which it is unless it was turned off: verdicts
that are known are not learned twice.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

from sb_api.client import Client
from sb_api.errors import InvalidRecords, OutcomeUnknown, SbApiError, TrainingRefused

BATCH = 200  # verdicts in a training


def read(lines: list[bytes], first: int) -> list[Any]:
    """The verdicts of some lines. Raises ValueError, which names the line that is no JSON."""
    found = []
    for number, line in enumerate(lines, start=first):
        try:
            found.append(json.loads(line))
        except ValueError as error:
            raise ValueError(f"line {number}: is not JSON: {error}") from None
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--url", default=os.environ.get("SB_API_URL", "http://127.0.0.1:4321"))
    arguments = parser.parse_args()
    state = arguments.file.with_name(f"{arguments.file.name}.sent")
    sent = int(state.read_text()) if state.exists() else 0
    with arguments.file.open("rb") as lines, Client(arguments.url, os.environ.get("SB_API_TOKEN")) as client:
        rest = itertools.islice(lines, sent, None)
        while batch := list(itertools.islice(rest, BATCH)):
            try:
                done = client.train(read(batch, first=sent + 1))
            except ValueError as error:
                print(error, file=sys.stderr)
                return 1
            except TrainingRefused as error:
                print(f"lines {sent + 1} to {sent + len(batch)} were refused: {error.detail}", file=sys.stderr)
                return 1
            except InvalidRecords as error:
                for key, fault in error.members["errors"].items():
                    print(f"line {sent + int(key) + 1}: {fault['field']} {fault['detail']}", file=sys.stderr)
                return 1
            except OutcomeUnknown as error:
                print(f"{error.detail}\nRun this again once the service is back.", file=sys.stderr)
                return 2
            except SbApiError as error:
                print(f"Nothing sent: {error.detail}", file=sys.stderr)
                return 2
            sent += len(batch)
            state.write_text(f"{sent}\n")
            print(f"{done.learned} learned, {done.known} known before; current is {done.weights.version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
