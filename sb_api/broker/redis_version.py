"""The least Redis that is needed. Without the client, so that a process that has no other use for it stays small."""

from __future__ import annotations

import re

LEAST = (6, 2)  # XINFO, XPENDING and BLMOVE as they are used here
LEAST_TEXT = ".".join(map(str, LEAST))


def is_too_old(version: str) -> bool:
    """Whether a version such as 6.0.16 is older than what is needed. One that names no number is not known to be."""
    found = re.match(r"(\d{1,9})(?:\.(\d{1,9}))?", version)
    return found is not None and (int(found[1]), int(found[2] or 0)) < LEAST
