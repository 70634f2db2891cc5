"""Accounts that wait for review in the shared service."""

from __future__ import annotations

from flask.testing import FlaskClient

from sb_api.review.store import ReviewStore
from tests.conftest import wait_until

SPAMMERS = [
    {
        "id": 9_000 + number,
        "name": f"casino{number}",
        "email": f"winner{number}@casino-bonus.example",
        "website": f"http://win{number}.casino.example",
        "bio": "Best online casino bonus, visit http://win-casino.example now!",
        "member_since": "2024-01-01T10:00:00",
        "last_updated": "2024-01-01T10:02:00",
    }
    for number in range(6)
]


def fill(client: FlaskClient, queue: ReviewStore, count: int = 6) -> list[str]:
    """Have so many spammers wait; their handles, in the order of SPAMMERS."""
    assert client.post("/predict?review=true", json=SPAMMERS[:count]).status_code == 200
    wait_until(lambda: len(queue.found().summaries) == count)
    return [queue.handle(editor["id"]) for editor in SPAMMERS[:count]]
