"""Whose verdicts those of a request are: of who signed in, or of whom they may name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sb_api.auth.gate import Identity
from sb_api.errors import InvalidRecords

LONGEST = 255  # characters of a reporter in the verdict log


def set_reporters(verdicts: Sequence[Any], identity: Identity) -> int:
    """Make each verdict that of its reporter; returns how many named another one without the right to.

    Without credentials the names are free text, without the white space around it. With them the reporter is the
    credential; one that may name reporters speaks for `credential/name`, and may name them so, as answers do. Raises
    InvalidRecords for a name that is too long with that.
    """
    ignored = 0
    for verdict in verdicts:
        named = (verdict.reporter or "").strip()
        verdict.reporter = identity.name or named or None
        if not identity.name or named in ("", identity.name):
            continue
        if not identity.may_name_reporters:
            ignored += 1
            continue
        # Once alone: whatever else is in front belongs to the name, which stays among the credential's own.
        if not (named := named.removeprefix(f"{identity.name}/").strip()):
            continue
        verdict.reporter = f"{identity.name}/{named}"
        if len(verdict.reporter) > LONGEST:
            key, most = str(verdict.id), LONGEST - len(identity.name) - 1
            fault = {"field": "reporter", "detail": f"is longer than the {most} characters that are left to it"}
            raise InvalidRecords(f"The reporter of record {key!r} {fault['detail']}.", errors={key: fault})
    return ignored
