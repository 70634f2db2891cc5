"""Load on a running service: users who wait for /predict, and users who submit to /classify and fetch the result.

`make load` runs it against a service that it starts; by hand: `locust -f tools/load/locustfile.py --host <address>`.
"""

from __future__ import annotations

import random
from typing import Any

from locust import FastHttpUser, constant_throughput, task

SECONDS_BETWEEN = 1.0  # a user makes one request a second
TEXTS = (
    "the search page crashes on my phone",
    "how do I change my password?",
    "thank you for this wonderful database",
    "buy cheap watches now",
)


def make_editor(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "email": f"user{number}@gmail.com",
        "website": f"http://site{number % 97}.example",
        "bio": "music is my life" if number % 3 else "visit our casino",
        "member_since": "2020-01-01T00:00:00",
        "last_login_date": "2020-01-02T00:00:00",
    }


class Predicting(FastHttpUser):
    """Sends one editor and waits for the answer."""

    weight = 3
    wait_time = constant_throughput(SECONDS_BETWEEN)

    @task
    def predict(self) -> None:
        number = random.randrange(10**9)
        with self.client.post("/predict", json=[make_editor(number)], catch_response=True) as response:
            if response.status_code != 200 or str(number) not in response.json()["predictions"]:
                response.failure(f"{response.status_code}: {response.text[:80]}")


class Submitting(FastHttpUser):
    """Submits a task, and asks for its result the next times."""

    weight = 1
    wait_time = constant_throughput(SECONDS_BETWEEN)
    waiting: str | None = None

    @task
    def submit_or_fetch(self) -> None:
        if self.waiting is None:
            self.submit()
        else:
            self.fetch(self.waiting)

    def submit(self) -> None:
        number = random.randrange(10**9)
        body = {"model": "intent", "data": [{"id": number, "text": f"{random.choice(TEXTS)} {number}"}]}
        if number % 2:
            body = {"model": "lodbrok", "data": [make_editor(number)]}
        with self.client.post("/classify", json=body, catch_response=True) as response:
            if response.status_code == 202:
                self.waiting = response.json()["task_id"]
            else:
                response.failure(f"{response.status_code}: {response.text[:80]}")

    def fetch(self, waiting: str) -> None:
        with self.client.get(f"/get-result/{waiting}", name="/get-result/<id>", catch_response=True) as response:
            if response.status_code == 200 and response.json()["status"] == "completed":
                self.waiting = None
            elif response.status_code == 202:
                response.success()
            else:
                self.waiting = None
                response.failure(f"{response.status_code}: {response.text[:80]}")
