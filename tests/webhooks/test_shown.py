"""What is said of webhooks elsewhere: figures, the page, /readyz, `status`, `doctor`; and who has them sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from sb_api import create_app
from sb_api.broker.connection import connect
from sb_api.broker.jobs import Job
from sb_api.broker.shared_state import WEB, Broker
from sb_api.cli.diagnosis import CHECKS, Finding, Patient
from sb_api.cli.status import Overview, parse_metrics, render
from sb_api.client import Client
from sb_api.config import Settings, load_settings
from sb_api.errors import InvalidSettings, TrainingRefused
from sb_api.learning.train_jobs import Deed, telling
from sb_api.processes.serve import _processes, listen
from sb_api.webhooks.delivery import Delivery
from sb_api.webhooks.messages import make_message
from sb_api.webhooks.outbox import Edge, Outbox
from sb_api.webhooks.signing import make_secret
from tests.support.jobs import Jobs
from tests.support.receivers import receive, say

DOCUMENTED = Path(__file__).parents[2] / "docs" / "how-to-scale-out.md"


def test_how_they_are_is_shown(settings: Settings, jobs: Jobs) -> None:
    with receive(say(410)) as receiver:
        own = msgspec.structs.replace(settings, webhooks=receiver.url + "?key=s3cret")
        outbox = Outbox(jobs.redis, own)
        for _ in range(2):
            outbox.put(make_message("training.refused", {}))
        outbox.prepare_secret()
        Delivery(outbox, outbox.endpoints[0]).work()
    name = outbox.endpoints[0].name
    client = create_app(own).test_client()
    figures = client.get("/metrics").text
    assert f'sb_api_webhook_waiting{{endpoint="{name}"}} 1.0\n' in figures
    assert f'sb_api_webhook_results_total{{endpoint="{name}",result="set_aside"}} 1.0\n' in figures
    page = client.get("/page/service").text
    assert f"<code>{name}</code>" in page
    assert "answered 410" in page
    assert "s3cret" not in page + figures
    notes = client.get("/readyz").get_json()["notes"]
    assert any("no process sends webhooks" in note for note in notes)
    Broker.of(jobs.redis, own).registry.beat("webhooks", {}, among=WEB)
    assert not any("webhooks" in note for note in client.get("/readyz").get_json()["notes"])
    facts: Any = render(Overview("http://x", 0.0, {}, {}, parse_metrics(figures))).renderables[1]
    told = dict(zip(*(list(column.cells) for column in facts.columns), strict=True))
    assert told[f"webhooks {name}"].startswith("1 waiting, the oldest ")
    assert told[f"webhooks {name}"].endswith("0 sent, 1 given up")


def test_doctor_looks_at_the_secret_and_the_urls(settings: Settings) -> None:
    def findings(webhooks: str) -> list[Finding]:
        own = msgspec.structs.replace(settings, webhooks=webhooks)
        with Client("http://127.0.0.1:9") as client:
            return list(check(Patient(own, client, False)))

    check = next(each for each in CHECKS if each.__name__ == "_webhooks")
    url = "https://ops.example/s3cret"
    assert findings("") == []
    assert [one.state for one in findings(url)] == ["note"]
    file = settings.webhook_secret_file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("nonsense")
    with pytest.raises(InvalidSettings, match="must hold"):
        findings(url)
    file.unlink()
    make_secret(file)
    (found,) = findings(url)
    assert (found.state, "s3cret" in found.detail) == ("ok", False)
    file.chmod(0o644)
    assert [one.state for one in findings(url)] == ["wrong", "ok"]
    with pytest.raises(InvalidSettings, match="in the clear"):
        findings("http://ops.example/")


def test_a_refusal_of_the_guard_is_told(settings: Settings, jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    job = Job(task="t", operation="train", classifier="lodbrok", body=b"")

    def refuse(webhooks: str) -> None:
        broker = Broker.of(jobs.redis, msgspec.structs.replace(settings, webhooks=webhooks))
        with pytest.raises(TrainingRefused), telling(job, Deed(count=3), broker):
            raise TrainingRefused("accuracy would fall to 0.5", records={"4711": {}})

    with receive() as receiver:
        refuse("")
        refuse("ftp://nowhere")
        refuse(receiver.url)
        outbox = Outbox(jobs.redis, msgspec.structs.replace(settings, webhooks=receiver.url))
        outbox.prepare_secret()
        delivery = Delivery(outbox, outbox.endpoints[0])
        assert delivery.work()
        assert not delivery.work()
    (event,) = receiver.events
    about = {"classifier": "lodbrok", "operation": "train", "verdicts": 3, "detail": "accuracy would fall to 0.5"}
    assert (event["type"], event["data"]) == ("training.refused", about)
    assert "nobody is told of training.refused" in caplog.text


def test_run_has_them_sent_where_there_are_any_and_refuses_what_cannot_be_used(settings: Settings) -> None:
    for webhooks, expected in (("", False), (" ", False), ("https://ops.example/", True)):
        given = {"webhooks": webhooks, "state_dir": settings.state_dir, "redis_url": settings.redis_url}
        own = load_settings({}, port=0, **given)
        with listen(own) as listener:
            assert ("webhooks" in {process.name for process in _processes(own, {}, listener)}) is expected
    with pytest.raises(InvalidSettings):
        create_app(msgspec.structs.replace(settings, webhooks="ftp://nowhere"))


def test_the_documented_rights_are_those_that_are_needed(settings: Settings, jobs: Jobs) -> None:
    lines = [line.split() for line in DOCUMENTED.read_text("utf-8").splitlines() if line.startswith("    ")]
    rights = {word for words in lines for word in words if word.startswith("+")}
    jobs.redis.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">secret", "~{sb_api}:*", *rights)
    url = settings.redis_url.replace("unix://", "unix://limited:secret@")
    try:
        with receive(say(500), say(410), say(204)) as receiver:
            own = msgspec.structs.replace(settings, redis_url=url, webhooks=receiver.url)
            with connect(own) as client:
                outbox = Outbox(client, own)
                outbox.put_once([("a", make_message("account.flagged", {}))])
                outbox.put(make_message("service.not_ready", {}), "service", Edge.ON)
                outbox.put(make_message("service.ready", {}), "service", Edge.OFF)
                outbox.prepare_secret()
                delivery = Delivery(outbox, outbox.endpoints[0])
                while delivery.work():
                    pass
                outbox.try_again(delivery.endpoint)
                assert outbox.alarms() == set()
                assert outbox.states()[0].sent == 1
    finally:
        jobs.redis.execute_command("ACL", "DELUSER", "limited")
