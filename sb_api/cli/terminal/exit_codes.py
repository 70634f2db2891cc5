"""The exit codes of the commands, in one table that `--help` and docs/commands.md show."""

from __future__ import annotations

from sb_api.errors import (
    InvalidParameter,
    InvalidSettings,
    NoAnswerInTime,
    OutcomeUnknown,
    QueueFull,
    SbApiError,
    TooManyKept,
    TrainingRefused,
    Unavailable,
)

DONE, FAILED, USAGE, SOME_WRONG, AWAY, NOT_ALLOWED, REFUSED, UNKNOWN, BROKEN_OFF = 0, 1, 2, 3, 4, 5, 6, 7, 130

EXIT_CODES = {
    DONE: "done",
    FAILED: "failed; `doctor`: something is wrong",
    USAGE: "wrong usage or settings",
    SOME_WRONG: "done, but for rows that are wrong",
    AWAY: "the service is away, not ready, or did not answer in time; try later",
    NOT_ALLOWED: "the service did not accept the token, or its role is too low",
    REFUSED: "a training was refused by the guard; nothing changed by it, and `train` has sent the rest of its file",
    UNKNOWN: "it is not known whether it was done; look before doing it again",
    BROKEN_OFF: "broken off by Ctrl-C; the same command goes on with it where it can",
}


def exit_code(error: SbApiError) -> int:
    """The exit code that tells of an error."""
    if isinstance(error, InvalidSettings | InvalidParameter):
        return USAGE
    if isinstance(error, Unavailable | QueueFull | NoAnswerInTime | TooManyKept):
        return AWAY
    if error.status in (401, 403, 429):
        return NOT_ALLOWED
    if isinstance(error, TrainingRefused):
        return REFUSED
    return UNKNOWN if isinstance(error, OutcomeUnknown) else FAILED
