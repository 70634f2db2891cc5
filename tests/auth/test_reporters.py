"""With credentials a verdict is that of who signed in, or of whom they may name."""

from __future__ import annotations

import pytest

from sb_api.auth.gate import NOBODY, Identity
from sb_api.auth.reporters import LONGEST, set_reporters
from sb_api.errors import InvalidRecords
from sb_api.records import Verdict


def reporters(identity: Identity, *named: str | None) -> tuple[list[str | None], int]:
    """Whose the verdicts are that name these reporters, and how many names were ignored."""
    verdicts = [Verdict(id=number, verdict=1, reporter=name) for number, name in enumerate(named)]
    ignored = set_reporters(verdicts, identity)
    return [verdict.reporter for verdict in verdicts], ignored


def test_without_credentials_names_are_free_text() -> None:
    """White space makes nobody another one: "bob " was the second reporter of "bob"."""
    assert reporters(NOBODY, "x1", None, "bob ", " \n") == (["x1", None, "bob", None], 0)


def test_a_credential_is_one_reporter_whatever_it_says() -> None:
    """One token could be two reporters, and any number within the caps."""
    identity = Identity("ann", "train")
    assert reporters(identity, "x1", "x2", None, " ", "ann") == (["ann"] * 5, 2)


def test_who_may_name_reporters_speaks_for_them_and_for_itself() -> None:
    identity = Identity("ninja", "train", may_name_reporters=True)
    assert reporters(identity, "mod A", None, "ninja") == (["ninja/mod A", "ninja", "ninja"], 0)


def test_a_name_may_be_given_as_it_is_told_and_stays_within_the_credential() -> None:
    """`ninja/mod A` was made `ninja/ninja/mod A`: a second reporter, and nobody could take back his."""
    identity = Identity("ninja", "train", may_name_reporters=True)
    told = ["ninja/mod A", "ninja/ninja/mod A", "ninja//mod A"]
    assert reporters(identity, *told) == (told, 0)
    assert reporters(identity, "ninja/", " ninja/ mod A ", "NINJA/x", "ninjas/x", "/x", "../ann", "ann/x") == (
        ["ninja", "ninja/mod A", "ninja/NINJA/x", "ninja/ninjas/x", "ninja//x", "ninja/../ann", "ninja/ann/x"],
        0,
    )
    assert reporters(Identity("ann", "train"), "ann/mod A") == (["ann"], 1)


def test_a_name_that_is_too_long_with_the_credential_is_refused() -> None:
    identity = Identity("ninja", "train", may_name_reporters=True)
    assert len(reporters(identity, "x" * (LONGEST - 6))[0][0] or "") == LONGEST
    with pytest.raises(InvalidRecords, match="longer than the 249 characters") as refused:
        reporters(identity, "fine", "x" * (LONGEST - 5))
    assert refused.value.members["errors"].keys() == {"1"}
