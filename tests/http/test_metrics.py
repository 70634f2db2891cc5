"""GET /metrics: all processes in one answer, as Prometheus wants it, and what stands upon it in deploy/."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
import requests
import yaml
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from sb_api import create_app
from sb_api.broker.shared_state import WEB, Published
from sb_api.config import Settings, load_settings
from tests.conftest import wait_until
from tests.support.jobs import Jobs
from tests.support.service import ROOT, RedisServer, Service, clean_environment, make_editors, make_verdicts

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = json.loads((DEPLOY / "grafana" / "sb_api.json").read_text("utf-8"))
RULES_OF_ALERTS = [rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]]
ALERTS = [rule["alert"] for rule in RULES_OF_ALERTS]
NAME = re.compile(r"\bsb_api_[a-z0-9_]+")

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parse(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum of the samples of a name that have these labels."""
    return sum(
        value for (found, about), value in samples.items() if found == name and labels.items() <= dict(about).items()
    )


def scrape(service: Service) -> Samples:
    return parse(service.get("/metrics").text)


def promtool(*arguments: str, standard_input: str = "", cwd: Path = ROOT) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not there; the Debian package prometheus has it")
    done = subprocess.run(
        ["promtool", *arguments], input=standard_input, capture_output=True, text=True, timeout=60, cwd=cwd
    )
    assert done.returncode == 0, done.stdout + done.stderr


def expressions() -> dict[str, str]:
    """Every PromQL expression of the dashboard and the rules, by where it stands."""
    found = {rule["alert"]: rule["expr"] for rule in RULES_OF_ALERTS}
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            found[f"{panel['id']} {panel['title']} {target['refId']}"] = target["expr"]
    found["annotation"] = DASHBOARD["annotations"]["list"][0]["expr"]
    return found


@pytest.fixture(scope="module")
def live(running: Service) -> Iterator[str]:
    """What /metrics says once everything has happened: predictions, a training, verdicts of every outcome, and weights
    that are staged; by a web process that has webhooks, of which the service has none."""
    running.post("/train", make_verdicts(40))
    staged = running.post("/weights/stage", {"version": "original"}).json()["staged"]

    def told() -> bool:
        running.post("/predict", {str(e["id"]): e for e in make_editors(5)})
        samples = scrape(running)
        names = ("sb_api_judged_records_total", "sb_api_shadow_records")
        return bool(
            total(samples, "sb_api_trainings_total", result="done") and all(total(samples, name) for name in names)
        )

    wait_until(told, interval=0.2)
    told_of = msgspec.structs.replace(running.settings, webhooks="https://ops.example/", review="on")
    yield create_app(told_of).test_client().get("/metrics").text
    assert running.post("/weights/drop", {"version": staged}).status_code == 200


@pytest.fixture(scope="module")
def samples(live: str) -> Samples:
    """What it says, read once: there is much of it."""
    return parse(live)


def test_promtool_finds_nothing_wrong_with_it(live: str) -> None:
    promtool("check", "metrics", standard_input=live)


def test_prometheus_gets_the_format_that_it_asks_for(service: Service) -> None:
    plain = service.get("/metrics")
    assert plain.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    openmetrics = service.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert openmetrics.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert openmetrics.text.endswith("# EOF\n")


def test_every_metric_is_documented_and_every_documented_one_is_there(live: str) -> None:
    """docs/metrics.md has names, types and labels."""
    rows = re.findall(r"^\| `(sb_api_\w+)` \| (\w+) \| (.*?) ?\| ", (ROOT / "docs/metrics.md").read_text("utf-8"), re.M)
    documented = {(name, kind) for name, kind, _ in rows}
    assert documented == set(re.findall(r"^# TYPE (\S+) (\S+)$", live, re.M))
    labels = {name: set(filter(None, listed.split(", "))) for name, _, listed in rows}
    for family in text_string_to_metric_families(live):
        for sample in family.samples:
            name = family.name + ("_total" if family.type == "counter" else "")
            assert sample.labels.keys() - {"le"} == labels[name], sample
    assert len(rows) == len(documented)


@pytest.mark.parametrize("place", expressions())
def test_rules_and_dashboard_speak_of_metrics_that_have_values(place: str, samples: Samples) -> None:
    known = {name for name, _ in samples}
    assert not set(NAME.findall(expressions()[place])) - known


@pytest.mark.parametrize("place", expressions())
def test_labels_in_rules_and_dashboard_have_values_that_occur(place: str, samples: Samples) -> None:
    """An alert on a stream or a window of another name would never fire."""
    seen: dict[str, set[str]] = {}
    for _, labels in samples:
        for label, value in labels:
            seen.setdefault(label, set()).add(value)
    for label, operator, value in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', expressions()[place]):
        if label not in ("job", "status", "result", "operation"):  # whose other values are those of trouble
            assert operator == "=~" or value in seen[label], (label, value)


def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    promtool("check", "rules", str(RULES))
    promtool("check", "config", str(DEPLOY / "prometheus" / "prometheus.yml"))


def test_every_rule_fires_when_it_should_and_not_when_it_should_not() -> None:
    tests = DEPLOY / "prometheus" / "alerts_test.yml"
    promtool("test", "rules", str(tests))
    expected: dict[str, set[bool]] = {}
    for part in yaml.safe_load(tests.read_text("utf-8"))["tests"]:
        for case in part["alert_rule_test"]:
            expected.setdefault(case["alertname"], set()).add(bool(case["exp_alerts"]))
    assert expected == {alert: {True, False} for alert in ALERTS}


def ask(address: str, path: str, **parameters: str) -> Any:
    """What Prometheus answers; nothing while it does not."""
    try:
        answer = requests.get(f"{address}/api/v1/{path}", params=parameters, timeout=10)
    except requests.RequestException:
        return {}
    return answer.json().get("data", {})


@pytest.fixture(scope="module")
def prometheus(running: Service, live: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prometheus that scrapes the service, with the configuration and the rules of deploy/."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not there; the Debian package prometheus has it")
    folder = tmp_path_factory.mktemp("prometheus")
    text = (DEPLOY / "prometheus" / "prometheus.yml").read_text("utf-8")
    for before, after in (
        ("127.0.0.1:4321", running.address.removeprefix("http://")),
        ("interval: 15s", "interval: 1s"),
    ):
        assert before in text
        text = text.replace(before, after)
    (folder / "prometheus.yml").write_text(f"global: {{evaluation_interval: 1s}}\n{text}", "utf-8")
    shutil.copy(RULES, folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], cwd=folder, stderr=log) as process,
    ):
        address = f"http://127.0.0.1:{port}"

        def has_scraped_thrice() -> bool:
            counted = 'count_over_time(sb_api_quality_f1{job="sb_api",window="latest"}[5m]) >= 3'
            return bool(ask(address, "query", query=counted).get("result"))

        try:
            # Other tests empty the verdict log, and with it the figures of quality.
            assert running.post("/train", make_verdicts(40)).status_code == 200
            wait_until(has_scraped_thrice, 60, 0.2)
            yield address
        finally:
            process.terminate()
            process.wait(20)


def test_every_panel_of_the_dashboard_shows_something(prometheus: str) -> None:
    for place, expression in expressions().items():
        if place not in ALERTS:
            answer = ask(prometheus, "query", query=expression.replace("$__rate_interval", "1m"))
            assert "result" in answer, place
            # The service has no webhooks.
            assert answer["result"] or place == "annotation" or "sb_api_webhook" in expression, place


def test_prometheus_can_work_out_every_rule_and_a_sound_service_raises_no_alarm(prometheus: str) -> None:
    def rules() -> list[dict[str, Any]]:
        return [rule for group in ask(prometheus, "rules").get("groups", ()) for rule in group["rules"]]

    wait_until(lambda: rules() and all(rule["health"] != "unknown" for rule in rules()), 30, 0.2)
    assert {rule["name"]: rule["health"] for rule in rules()} == dict.fromkeys(ALERTS, "ok")
    critical = [rule for rule in rules() if rule["labels"]["severity"] == "critical"]
    assert critical
    assert [rule["name"] for rule in critical if rule["state"] == "firing"] == []


def test_every_metric_is_on_the_dashboard(live: str) -> None:
    """But for the confusion by version and by reporter, which `GET /quality` and the page show."""
    drawn = set(NAME.findall(" ".join(expressions()[place] for place in expressions() if place not in ALERTS)))
    drawn = {re.sub(r"_(bucket|sum|count)$", "", name) for name in drawn}
    named = set(re.findall(r"^# TYPE (\S+) ", live, re.MULTILINE))
    assert named - drawn == {"sb_api_weights_quality_confusion", "sb_api_reporter_quality_confusion"}


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(identifiers) == len(set(identifiers))


def test_a_prediction_is_counted_on_its_whole_way(service: Service) -> None:
    before = scrape(service)
    editors = make_editors(7)
    assert service.post("/predict", editors).status_code == 200

    def rose(name: str, by: float, **labels: str) -> bool:
        return total(scrape(service), name, **labels) - total(before, name, **labels) == by

    assert rose("sb_api_http_requests_total", 1, method="POST", route="/predict", status="200")
    assert rose("sb_api_http_request_seconds_count", 1, method="POST", route="/predict")
    wait_until(lambda: rose("sb_api_jobs_total", 1, classifier="lodbrok", operation="predict", status="completed"))
    assert rose("sb_api_wait_seconds_count", 1, stream="predict:small")
    assert rose("sb_api_batch_records_sum", 7, classifier="lodbrok")
    assert rose("sb_api_judged_records_total", 7, classifier="lodbrok")
    assert rose("sb_api_preprocess_seconds_count", 1, classifier="lodbrok")
    assert rose("sb_api_predict_seconds_count", 1, classifier="lodbrok")
    assert total(scrape(service), "sb_api_predict_seconds_sum") > 0


def test_processes_weights_and_queue_are_told(service: Service) -> None:
    samples = scrape(service)
    ready = service.ready()
    assert total(samples, "sb_api_workers", role="classify") == ready["classify_processes"]
    assert total(samples, "sb_api_workers", role="train") == 1
    # An application of the tests, in this process, may be one more.
    wait_until(lambda: total(scrape(service), "sb_api_workers", role="web") >= 1)
    for role in ("web", "classify", "train"):
        assert total(scrape(service), "sb_api_process_resident_bytes", role=role) > 10**7
    slots = service.get("/weights").json()["slots"]
    for slot, version in slots.items():
        if version is not None:
            about = {"classifier": "lodbrok", "slot": slot, "version": version}
            assert samples["sb_api_weights_info", frozenset(about.items())] == 1
    assert total(samples, "sb_api_queue_limit_jobs") == service.settings.queue_limit
    assert total(samples, "sb_api_redis_memory_limit_bytes") == 2**30
    wait_until(lambda: total(scrape(service), "sb_api_workers_outdated") == 0)


def test_quality_is_that_of_the_quality_route(service: Service) -> None:
    verdicts = make_verdicts(30, start=500)
    service.post("/train", [{**verdict, "reporter": "ann" if n % 3 else "bob"} for n, verdict in enumerate(verdicts)])
    quality = service.get("/quality").json()
    samples = scrape(service)
    assert quality["reporters"].keys() == {"ann", "bob"}
    assert quality["all_time"]["count"] == quality["window"]["count"] == 30
    told = [("sb_api_quality", "window", "all_time", quality["all_time"])]
    told += [("sb_api_quality", "window", "latest", quality["window"])]
    told += [("sb_api_weights_quality", "version", name, part) for name, part in quality["weights"].items()]
    told += [("sb_api_reporter_quality", "reporter", name, part) for name, part in quality["reporters"].items()]
    for prefix, label, value, part in told:
        about = {"classifier": "lodbrok", label: value}
        assert total(samples, f"{prefix}_verdicts", **about) == part["count"]
        for figure in ("accuracy", "precision", "recall", "f1", "false_positives_per_thousand"):
            assert samples.get((f"{prefix}_{figure}", frozenset(about.items()))) == part[figure]
        confusion = [
            [total(samples, f"{prefix}_confusion", true=true, predicted=predicted, **about) for predicted in labels]
            for labels in [quality["labels"]]
            for true in labels
        ]
        assert confusion == part["confusion"]
    assert total(samples, "sb_api_drift", classifier="lodbrok") == quality["drift"]["detected"]


def test_reporters_that_clients_make_up_make_no_more_than_twenty_series(lonely_client: FlaskClient, jobs: Jobs) -> None:
    """Those with the most verdicts; of versions the latest."""
    parts = {f"{n:06d}-a": {"count": n, "confusion": [[n, 0], [0, 0]]} for n in range(50)}
    quality = {"labels": ["fine", "spam"], "all_time": parts["000049-a"], "window": parts["000049-a"]}
    quality |= {"weights": parts, "reporters": parts, "drift": {"detected": False}}
    jobs.registry.publish(
        "lodbrok", Published("1", b"", {}, b'{"slots":{"current":null},"versions":[]}', json.dumps(quality).encode())
    )
    samples = parse(lonely_client.get("/metrics").text)
    for prefix, label in (("sb_api_weights_quality", "version"), ("sb_api_reporter_quality", "reporter")):
        shown = {dict(about)[label] for name, about in samples if name == f"{prefix}_verdicts"}
        assert shown == {f"{n:06d}-a" for n in range(30, 50)}


def test_a_rise_of_errors_is_flagged(lonely_client: FlaskClient, jobs: Jobs) -> None:
    window = {"count": 0, "confusion": [[0, 0], [0, 0]]}
    for detected in (True, False):
        quality = {"labels": ["fine", "spam"], "all_time": window, "window": window, "weights": {}, "reporters": {}}
        quality["drift"] = {"detected": detected}
        jobs.registry.publish(
            "lodbrok",
            Published("1", b"", {}, b'{"slots":{"current":null},"versions":[]}', json.dumps(quality).encode()),
        )
        assert total(parse(lonely_client.get("/metrics").text), "sb_api_drift", classifier="lodbrok") == detected


def test_without_a_verdict_log_there_is_no_quality(lonely_client: FlaskClient, jobs: Jobs) -> None:
    jobs.registry.publish(
        "lodbrok", Published("1", b"", {}, b'{"slots":{"current":null},"versions":[]}', b'{"log":"off"}')
    )
    response = lonely_client.get("/metrics")
    assert response.status_code == 200
    assert not [name for name, _ in parse(response.text) if name.startswith(("sb_api_quality", "sb_api_drift"))]


def test_what_clients_make_up_makes_no_new_series(lonely_client: FlaskClient) -> None:
    """Paths, task ids, queries, methods: a series for each would fill the memory of all."""
    lonely_client.get("/metrics")
    for number in range(20):
        lonely_client.get(f"/nothing/{number}?x={number}")
        lonely_client.get(f"/get-result/{number:032x}")
        lonely_client.open("/predict", method=f"BREW{number}")
    samples = parse(lonely_client.get("/metrics").text)
    keys = {labels for name, labels in samples if name == "sb_api_http_requests_total"}
    assert {tuple(sorted(dict(labels).items())) for labels in keys} == {
        (("method", "GET"), ("route", "/get-result/<task_id>"), ("status", "404")),
        (("method", "GET"), ("route", "/metrics"), ("status", "200")),
        (("method", "GET"), ("route", "unmatched"), ("status", "404")),
        (("method", "other"), ("route", "unmatched"), ("status", "405")),
    }
    assert total(samples, "sb_api_http_requests_total", status="404") == 40


def test_without_redis_it_says_so_and_goes_on_counting(tmp_path: Path, settings: Settings) -> None:
    server = RedisServer(tmp_path)
    client = create_app(msgspec.structs.replace(settings, redis_url=server.url)).test_client()
    for _ in range(3):
        client.get("/healthz")
    response = client.get("/metrics")
    assert response.status_code == 200
    assert parse(response.text) == {("sb_api_redis_up", frozenset()): 0}
    server.start()
    try:
        samples = parse(client.get("/metrics").text)
        assert total(samples, "sb_api_redis_up") == 1
        assert total(samples, "sb_api_http_requests_total", route="/healthz") == 3
    finally:
        server.kill()


@contextmanager
def web_processes(url: str, folder: Path, count: int) -> Iterator[tuple[psutil.Process, str]]:
    """Web processes alone, with their address, as `sb-api web` starts them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = clean_environment(
        SB_API_REDIS_URL=url, SB_API_STATE_DIR=str(folder), SB_API_WEB_PROCESSES=str(count), SB_API_LOG_FORMAT="json"
    )
    command = [sys.executable, "-m", "sb_api", "web", "--port", str(port)]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log) as process,
    ):
        try:
            yield psutil.Process(process.pid), f"http://127.0.0.1:{port}"
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(20)


def answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/nothing", timeout=5).status_code == 404
    except requests.RequestException:
        return False


def test_several_web_processes_give_one_sum_that_never_falls(redis_url: str, jobs: Jobs, tmp_path: Path) -> None:
    """Though one is killed and another takes its place; and what the last ones counted is published when they stop."""
    sent: list[requests.Response] = []

    def send(count: int = 1) -> None:
        for _ in range(count):
            sent.append(requests.get(f"{address}/healthz", timeout=60))
            assert sent[-1].ok

    def counted(text: str) -> float:
        return total(parse(text), "sb_api_http_requests_total", route="/healthz", status="200")

    def scraped() -> float:
        return counted(requests.get(f"{address}/metrics", timeout=10).text)

    def both_seen() -> bool:
        # Not the requests that are counted: some of these may be given up by the client and counted all the same.
        return answers(address) and {child.pid for child in parent.children()} <= {
            b.pid for b in jobs.registry.alive(WEB)
        }

    with web_processes(redis_url, tmp_path, 2) as (parent, address):
        wait_until(both_seen, 60, interval=0.05)
        send(60)
        wait_until(lambda: scraped() == len(sent), interval=0.1)
        victim, _ = parent.children()
        victim.kill()
        wait_until(lambda: len({child.pid for child in parent.children()} - {victim.pid}) == 2 and both_seen(), 60)
        seen = [scraped()]
        for _ in range(30):
            send()
            seen.append(scraped())
        assert seen == sorted(seen)
        wait_until(lambda: scraped() == len(sent), interval=0.1)
        send(25)
        last = {child.pid for child in parent.children()}
    assert not {beat.pid for beat in jobs.registry.alive(WEB)} & last
    client = create_app(load_settings({}, redis_url=redis_url, state_dir=str(tmp_path))).test_client()
    assert counted(client.get("/metrics").text) == len(sent)
