#!/usr/bin/env python3
"""Send moderators' verdicts back, each exactly once as far as anybody can know.

Reads a file of JSON Lines, editors with "verdict" (1 is spam) and "reporter", and keeps beside it how many lines were
learned, or kept to be learned later, as those are that the service refuses to learn now. When a connection is lost at
the wrong moment nobody knows whether the service has the verdicts: the script stops and says so. To run it again is
safe while the verdict log is on, which it is unless it was turned off: verdicts that are known are not learned twice.
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


def read(lines: list[bytes], first: int) -> dict[int, Any]:
    """The verdicts of some lines by their numbers, without blank ones. Raises ValueError, which names the line that is
    no JSON."""
    found = {}
    for number, line in enumerate(lines, start=first):
        if not line.strip():
            continue
        try:
            found[number] = json.loads(line)
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
    status = 0
    with arguments.file.open("rb") as lines, Client(arguments.url, token()) as client:
        rest = itertools.islice(lines, sent, None)
        while batch := list(itertools.islice(rest, BATCH)):
            verdicts: dict[int, Any] = {}
            try:
                verdicts = read(batch, first=sent + 1)
                done = client.train(list(verdicts.values())) if verdicts else None
            except ValueError as error:
                print(error, file=sys.stderr)
                return 1
            except TrainingRefused as error:
                print(f"lines {sent + 1} to {sent + len(batch)} were refused: {error.detail}", file=sys.stderr)
                if "kept" not in error.members:
                    return 1
                # The rest is sent all the same: it may correct what is kept.
                done, status = None, 1
            except InvalidRecords as error:
                for key, fault in error.members["errors"].items():
                    print(f"line {list(verdicts)[int(key)]}: {fault['field']} {fault['detail']}", file=sys.stderr)
                return 1
            except OutcomeUnknown as error:
                print(f"{error.detail}\nRun this again once the service is back.", file=sys.stderr)
                return 2
            except SbApiError as error:
                print(f"Nothing sent: {error.detail}", file=sys.stderr)
                return 2
            sent += len(batch)
            state.write_text(f"{sent}\n")
            if done is not None:
                print(f"{done.learned} learned, {done.known} known before; current is {done.weights.version}")
    return status


def token() -> str | None:
    """From the environment, or from a file that it names."""
    path = os.environ.get("SB_API_TOKEN_FILE")
    return os.environ.get("SB_API_TOKEN") or (Path(path).read_text().strip() if path else None)


if __name__ == "__main__":
    sys.exit(main())
