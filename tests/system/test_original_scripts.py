"""Two scripts of the original project's shape work unchanged."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.service import NOT_SPAM, SPAM, Service

SCRIPT = """
import datetime
import requests

URL = "http://localhost:4321/{call}"

accounts = {{}}
accounts[0] = {{
    "id": 1,
    "email": "ghhfbca@porsh.net",
    "website": "http://www.kisaiya.co.uk",
    "bio": "skill seo brush seo fish seo verify seo www.spam.org",
    "area": None,
    "privs": 0,
    "gender": "gender",
    "birth_date": datetime.datetime(2000, 7, 5, 14, 22, 8, 5).strftime("%Y-%m-%dT%H:%M:%S"),
    "member_since": datetime.datetime(2000, 9, 2, 5, 19, 1, 5).strftime("%Y-%m-%dT%H:%M:%S"),
    "email_confirm_date": datetime.datetime(2000, 9, 3, 6, 58, 54, 5).strftime("%Y-%m-%dT%H:%M:%S"),
    "last_updated": datetime.datetime(2000, 9, 2, 7, 21, 8, 5).strftime("%Y-%m-%dT%H:%M:%S"),
    "last_login_date": datetime.datetime(2000, 9, 2, 9, 21, 38, 5).strftime("%Y-%m-%dT%H:%M:%S"),{spam}
}}
accounts[1] = {{
    "id": 2,
    "email": "dckckaj@msn.com",
    "website": "http://valeur-dachat.fr",
    "bio": "enhance card gift leisure boost transfer detail layer",
    "area": None,
    "privs": 0,
    "gender": None,
    "birth_date": None,
    "member_since": datetime.datetime(2004, 10, 13, 11, 3, 46, 5).strftime("%Y-%m-%dT%H:%M:%S"),
    "email_confirm_date": datetime.datetime(2004, 10, 14, 9, 38, 45, 5).strftime("%Y-%m-%dT%H:%M:%S"),
    "last_updated": None,
    "last_login_date": None,{fine}
}}

answer = requests.post(URL, json=accounts).json()
if answer["success"]:
    print(answer)
else:
    print("Request failed")
"""


def run(script: str, service: Service, folder: Path) -> dict[str, object]:
    path = folder / "script.py"
    path.write_text(script.replace("http://localhost:4321", service.address))
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=90, check=True)
    assert done.stdout.startswith("{'success': True, ")
    printed = ast.literal_eval(done.stdout)
    assert isinstance(printed, dict)
    return printed


CLASSIFY = SCRIPT.format(call="predict", spam="", fine="")
TRAIN = SCRIPT.format(call="train", spam='\n    "verdict": 1,', fine='\n    "verdict": 0,')


def test_the_classify_script_prints_success_and_the_two_labels(service: Service, tmp_path: Path) -> None:
    printed = run(CLASSIFY, service, tmp_path)
    assert printed["success"] is True
    labels = printed["predictions"]
    assert isinstance(labels, dict)
    assert labels.keys() == {"1", "2"}
    assert set(labels.values()) <= {SPAM, NOT_SPAM}
    assert labels["1"] == SPAM


def test_the_train_script_prints_success_and_the_response(service: Service, tmp_path: Path) -> None:
    printed = run(TRAIN, service, tmp_path)
    assert printed["success"] is True
    assert printed["response"] == "Successfully retrained the model"
    assert printed["learned"] == 2


def test_after_the_train_script_the_classify_script_is_answered_by_the_new_weights(
    service: Service, tmp_path: Path
) -> None:
    before = run(CLASSIFY, service, tmp_path)
    learned = run(TRAIN, service, tmp_path)
    after = run(CLASSIFY, service, tmp_path)
    assert learned["weights"] == {"version": after["weights"], "previous": before["weights"]}
    assert after["scores"] != before["scores"]


@pytest.mark.parametrize("shape", ["array", "object"])
def test_both_body_shapes_give_the_same_answer(service: Service, shape: str) -> None:
    editors = [{"id": 1, "website": "http://example.com"}, {"id": "two", "email": "a@example.org"}]
    body = editors if shape == "array" else {f"key {place}": editor for place, editor in enumerate(editors)}
    answer = service.post("/predict", body).json()
    assert answer["scores"] == service.post("/predict", editors).json()["scores"]
    assert answer["predictions"].keys() == {"1", "two"}
