"""`sb-api webhooks`: who is told, whether they can be told now, and what was given up; and the process that tells."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
from click.testing import CliRunner

from sb_api.broker.shared_state import WEB, Broker
from sb_api.cli import main
from sb_api.config import Settings
from sb_api.webhooks.delivery import Delivery
from sb_api.webhooks.messages import make_message
from sb_api.webhooks.outbox import Outbox
from tests.conftest import wait_until
from tests.support.jobs import Jobs
from tests.support.receivers import Receiver, receive, say
from tests.support.service import ROOT, clean_environment


def variables(settings: Settings, webhooks: str) -> dict[str, str]:
    return {
        "SB_API_REDIS_URL": settings.redis_url,
        "SB_API_STATE_DIR": settings.state_dir,
        "SB_API_WEBHOOKS": webhooks,
    }


def run(settings: Settings, webhooks: str, *arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(main, ["webhooks", *arguments], env=variables(settings, webhooks))
    assert done.exit_code == code, done.output
    return done.output


def test_they_are_tried_listed_and_sent_again(settings: Settings, jobs: Jobs) -> None:
    with receive(say(204), say(410), say(204)) as receiver, receive(say(500)) as other:
        both = f"{receiver.url}?key=s3cret {other.url}#drift"
        told = run(settings, both, "test", code=1)
        assert ": taken" in told
        assert ": not taken: answered 500" in told
        assert receiver.events[0]["type"] == "webhook.test"
        outbox = Outbox(jobs.redis, msgspec.structs.replace(settings, webhooks=both))
        name = outbox.endpoints[0].name
        assert json.loads(run(settings, both, "test", name, "--json", code=1))["not_taken"] == {name: "answered 410"}
        outbox.put(make_message("training.refused", {}))
        receiver.answers.insert(0, say(410))
        Delivery(outbox, outbox.endpoints[0]).work()
        listed = run(settings, both, "list")
        assert "0 sent, 0 dropped, 1 given up" in listed
        assert "training.refused msg_" in listed
        assert "s3cret" not in listed
        found = json.loads(run(settings, both, "list", "--json"))
        assert [one["endpoint"] for one in found["endpoints"]] == [endpoint.name for endpoint in outbox.endpoints]
        assert found["set_aside"][name][0]["reason"] == "answered 410"
        assert "1 webhook will be sent again" in run(settings, both, "retry", name)
        assert "1 waiting" in run(settings, both, "list")
    assert "did you mean" in run(settings, both, "retry", name[:-1], code=2)
    assert "names no URL" in run(settings, "", "list", code=2)
    assert "in the clear" in run(settings, "http://ops.example/", "test", code=2)


def test_the_process_sends_says_that_it_is_alive_and_carries_little(
    settings: Settings, jobs: Jobs, tmp_path: Path
) -> None:
    def wait_for(receiver: Receiver, count: int) -> None:
        wait_until(lambda: len(receiver.requests) >= count, interval=0.05)

    def is_alive() -> bool:
        return "webhooks" in {beat.role for beat in registry.alive(WEB)}

    with receive() as receiver:
        environment = clean_environment(**variables(settings, receiver.url), PYTHONPATH=str(ROOT))
        command = [sys.executable, "-m", "sb_api", "webhooks", "deliver"]
        outbox = Outbox(jobs.redis, msgspec.structs.replace(settings, webhooks=receiver.url))
        outbox.put(make_message("training.refused", {}))
        registry = Broker.of(jobs.redis, settings).registry
        with subprocess.Popen(command, env=environment, cwd=tmp_path) as process:
            try:
                wait_for(receiver, 1)
                wait_until(is_alive, interval=0.05)
                mapped = Path(f"/proc/{process.pid}/maps").read_text()
                assert not any(name in mapped for name in ("numpy", "h5py", "onnxruntime", "tensorflow"))
                assert psutil.Process(process.pid).memory_info().rss < 100 * 2**20
                outbox.put(make_message("training.refused", {}))
                wait_for(receiver, 2)
            finally:
                process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        assert not is_alive()
    assert len(set(receiver.ids)) == 2
