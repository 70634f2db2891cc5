"""Accounts of ordinary people in thirty languages, whose sentences nothing learns: they set the level of the scores.

`people.tsv` has the sentences, each after its language. Whoever wrote them had not seen those of the generator.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from importlib.resources import files
from random import Random

from sb_api.synthetic.accounts import BEGINNER, REFERENCE_TIME, SyntheticEditor
from sb_api.synthetic.parts import build_pools, make_brand_host, make_url, make_user_name

_MAIL = "gmail.com"
# After registration.
_MINUTES = {"member_since": 0, "email_confirm_date": 10, "last_updated": 20, "last_login_date": 24 * 60}


def read_sentences() -> list[tuple[str, str]]:
    """The sentences, each after the code of its language."""
    lines = (files("sb_api.synthetic") / "people.tsv").read_text("utf-8").splitlines()
    return [(code, text) for code, _, text in (line.partition("\t") for line in lines)]


def generate_people(accounts: int, seed: int) -> Iterator[SyntheticEditor]:
    """Yield so many accounts of each sentence, with nothing about them that tells: registered in the last year, the
    profile filled in within half an hour, the sentence for a bio and a website of an invented name."""
    rng, pools = Random(f"people {seed}"), build_pools()
    for identity, (language, text) in enumerate(read_sentences() * accounts):
        host = make_brand_host(rng, language)
        born = REFERENCE_TIME - timedelta(days=rng.uniform(2, 365))
        record: dict[str, object] = {
            "id": identity,
            "email": f"{rng.choice(pools.users[language])}@{_MAIL}",
            "website": make_url(rng, pools, host),
            "bio": text,
            "privs": BEGINNER,
        }
        if identity % 2:
            record["name"] = make_user_name(rng, pools, language, "")
        for name, minutes in _MINUTES.items():
            record[name] = (born + timedelta(minutes=minutes)).isoformat(timespec="seconds")
        yield SyntheticEditor(record, 0, "person", host)
