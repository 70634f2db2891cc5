"""The commands for people with data, from a raw file to a classifier that another machine takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sb_api.bootstrap.datasets import open_messages
from sb_api.cli import main
from sb_api.config import load_settings
from sb_api.models.weights_store import WeightsStore

WORDS = {
    "refund": "money back refund return pay again please",
    "greeting": "hello hi good morning dear friend nice day",
    "delivery": "parcel arrive late shipping courier where box",
}


def raw_file(path: Path) -> Path:
    """Sixty messages of three classes, no two of them near duplicates."""
    rows = [
        f"{intent},{' '.join(words.split()[n % 4 : n % 4 + 3])} {noun} {adjective}"
        for intent, words in WORDS.items()
        for n, (noun, adjective) in enumerate(
            (noun, adjective)
            for noun in ("bicycle", "umbrella", "keyboard", "telescope", "violin")
            for adjective in ("red", "wooden", "broken", "gigantic")
        )
    ]
    path.write_text("\n".join(["intent,query", *rows, "refund,write to joe@mail.example", "no columns", "greeting,"]))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def call(state: Path, *arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(a) for a in arguments], env={"SB_API_STATE_DIR": str(state)})
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Result:
    """`run-all` on the raw file; its state is in `folder / "state"`, its artefact in `folder / "out"`."""
    return call(folder / "state", "data", "run-all", raw_file(folder / "raw.csv"), "--output", folder / "out")


def test_run_all_tells_what_it_did_and_what_it_did_not_use(pipeline: Result, folder: Path) -> None:
    assert "61 messages stored" in pipeline.output
    assert f"{folder / 'raw.csv'}:63: has 1 of 2 columns; not used" in pipeline.output
    assert f"{folder / 'raw.csv'}:64: holds no text; not used" in pipeline.output
    assert "fingerprint" in pipeline.output
    assert "macro F1" in pipeline.output
    assert "`sb-api bootstrap --model intent --restore shipped` brings back those that were in use" in pipeline.output


def test_personal_data_is_nowhere_in_the_state(pipeline: Result, folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "raw.csv"]
    assert any(b"<email>" in path.read_bytes() for path in files)
    assert not [path for path in files if b"joe@mail" in path.read_bytes()]


def test_labels_come_from_the_data(pipeline: Result, folder: Path) -> None:
    about = current(folder / "state")
    assert about.labels == sorted(WORDS)
    assert 0 <= about.threshold < 1


def test_all_messages_are_learned_and_measured_as_if_they_had_not_been(pipeline: Result, folder: Path) -> None:
    about = current(folder / "state")
    assert about.learned == 61
    assert about.figures["reference"]["accuracy"] == about.figures["held_out"]["accuracy"]
    assert about.figures["reference"]["count"] == about.figures["held_out"]["count"] < 61


def test_few_messages_are_told_what_to_expect(pipeline: Result, folder: Path) -> None:
    expected = current(folder / "state").figures["expected"]
    (low, high), right = expected["between"], expected["right"]
    assert (expected["folds"], expected["count"], expected["classes"]) == (5, 61, 3)
    assert 0.8 < right <= 1
    assert low < right <= high
    told = " ".join(pipeline.output.split())
    assert f"With 20 messages a class: about {100 * right:.0f} of 100 right, between {100 * low:.0f} and" in told


def current(state: Path):  # type: ignore[no-untyped-def]
    return WeightsStore.of(load_settings({}, state_dir=str(state)), "intent").load_current().about


def test_evaluate_writes_json_and_one_page(pipeline: Result, folder: Path) -> None:
    out, page = folder / "figures.json", folder / "page.html"
    result = call(folder / "state", "evaluate", "--model", "intent", "--json", out, "--html", page)
    assert "weighted mean" in result.output
    for file in (out, page):
        assert file.stat().st_mode & 0o777 == 0o600, "it tells of people"
    document = json.loads(out.read_text())
    assert document["source"] == "the test part of the stored messages"
    figures = document["figures"]
    assert (
        sum(map(sum, figures["confusion"]))
        == figures["count"]
        == sum(row["count"] for row in figures["classes"].values())
    )
    html = page.read_text()
    assert all(
        f"<h2>{title}</h2>" in html for title in ("By class", "Most confused", "Calibration", "The worst errors")
    )
    assert figures["no_class"]["wished"] == {"refused": 0.7, "lost": 0.02}
    assert "messages that fit no class" in result.output.replace("\n", " ")
    assert all(label in html for label in WORDS)


def test_evaluate_prints_json_and_writes_over_nothing_but_its_own(pipeline: Result, folder: Path) -> None:
    """Its `--json` takes a file too: labelled records are not taken for one."""
    state, labelled = folder / "state", folder / "precious.jsonl"
    content = '{"id": 1, "text": "money back refund", "intent": "refund"}\n'
    labelled.write_text(content)
    (printed,) = call(state, "evaluate", labelled, "--model", "intent", "--json").stdout.splitlines()
    assert json.loads(printed)["figures"]["count"] == 1
    refused = call(state, "evaluate", "--model", "intent", "--json", labelled, code=2)
    assert "choose another file" in json.loads(refused.stderr)["detail"]
    assert labelled.read_text() == content
    out, page = folder / "again.json", folder / "again.html"
    for _ in range(2):
        call(state, "evaluate", labelled, "--model", "intent", "--json", out, "--html", page)
    labelled.write_text('{"id": "m-7", "text": "money back refund", "intent": "delivery"}\n')
    for told, options in ((1, ()), (0, ("--no-texts",))):
        call(state, "evaluate", labelled, "--model", "intent", "--json", out, "--html", page, *options)
        (error,) = json.loads(out.read_text())["worst"]
        assert (error["id"], len(error["said"]), bool(error["reasons"])) == ("m-7", told, bool(told))
        assert ("money" in page.read_text() or "money" in out.read_text()) == bool(told)
        assert "m-7" in page.read_text()
    # A device without end is not read to its end to see whether it is a page.
    assert (
        "No space left" in call(state, "evaluate", labelled, "--model", "intent", "--html", "/dev/full", code=1).stderr
    )
    nowhere = call(state, "evaluate", labelled, "--model", "intent", "--html", folder / "no" / "page", code=1)
    assert nowhere.stderr.endswith(f"Error: {folder}/no/page: No such file or directory\n")


def test_the_steps_of_the_pipeline_as_json(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb_api.bootstrap.messages.EPOCHS", 2)  # what is printed does not hang on how good they are
    state, raw = folder / "json", raw_file(folder / "json.csv")
    ingested = json.loads(call(state, "data", "ingest", raw, "--json").output)
    assert (ingested["stored"], [fault["line"] for fault in ingested["unused"]]) == (61, [63, 64])
    divided = json.loads(call(state, "data", "split", "--json").output)
    assert sum(divided[part] for part in ("train", "validation", "test")) == 61
    made = json.loads(call(state, "bootstrap", "--model", "intent", "--json").output)
    assert made["weights"] == current(state).version
    exported = json.loads(call(state, "weights", "export", folder / "json-out", "--json").output)
    exported_labels = current(state).labels
    taken = json.loads(call(folder / "json-elsewhere", "weights", "import", exported["folder"], "--json").output)
    assert taken == {"success": True, "model": "intent", "weights": made["weights"]}
    raw.write_text("intent,query\nnothing,what the moon is made of\nReturn,give me what I paid for")
    flags = ("--no-class", "nothing", "--output", folder / "json-all", "--json")
    documents = call(state, "data", "run-all", raw, *flags).output.splitlines()
    assert current(state).labels == ["Return", *exported_labels]
    call(state, "bootstrap", "--model", "intent", "--restore", made["weights"])
    assert (current(state).version, current(state).labels) == (made["weights"], exported_labels)
    assert [set(json.loads(line)) & {"stored", "train", "source", "folder"} for line in documents] == [
        *({"stored"}, {"train"}, set(), {"source"}, {"folder"}),
    ]


def test_evaluate_lodbrok_on_the_reference_set(folder: Path) -> None:
    result = call(folder / "other", "evaluate", "--model", "lodbrok")
    assert "Spam Editor Account" in result.output
    assert "the reference set" in result.output.replace("\n", " ")


def test_evaluate_takes_a_file_and_names_wrong_lines(pipeline: Result, folder: Path) -> None:
    file = folder / "labelled.jsonl"
    file.write_text('{"id": 1, "text": "money back refund", "intent": "refund"}\n')
    assert "labelled.jsonl" in call(folder / "state", "evaluate", file, "--model", "intent").output.replace("\n", "")
    table = folder / "labelled.csv"
    table.write_text("id,text,intent\n1,money back refund,refund\n2,what the moon is made of,no class\n")
    assert "labelled.csv" in call(folder / "state", "evaluate", table, "--model", "intent").output.replace("\n", "")
    file.write_text('{"id": 1}\n')
    assert "line 1" in call(folder / "state", "evaluate", file, "--model", "intent", code=1).output


def test_an_artefact_is_taken_on_another_machine(pipeline: Result, folder: Path) -> None:
    (artefact,) = (folder / "out").iterdir()
    assert {path.name for path in artefact.iterdir()} == {
        *("manifest.json", "weights.h5", "labels.json", "metrics.json"),
        *("reference.npz", "features.json", "words.json"),
    }
    manifest = json.loads((artefact / "manifest.json").read_text())
    assert manifest["labels"] == json.loads((artefact / "labels.json").read_text()) == sorted(WORDS)
    assert manifest["data"]
    call(folder / "elsewhere", "weights", "import", artefact)
    assert current(folder / "elsewhere") == current(folder / "state")
    figures = [folder / f"{name}.json" for name in ("here", "there")]
    file = folder / "some.jsonl"
    file.write_text('{"id": 1, "text": "where is the box", "intent": "delivery"}\n')
    for state, out in zip(("state", "elsewhere"), figures, strict=True):
        call(folder / state, "evaluate", file, "--model", "intent", "--json", out)
    assert figures[0].read_text() == figures[1].read_text()


def test_a_damaged_artefact_is_refused_and_changes_nothing(pipeline: Result, folder: Path, tmp_path: Path) -> None:
    call(folder / "state", "weights", "export", "--model", "intent", tmp_path)
    (artefact,) = tmp_path.iterdir()
    words = artefact / "words.json"
    words.write_bytes(words.read_bytes() + b" ")
    result = call(tmp_path / "state", "weights", "import", artefact, code=1)
    assert "words.json is damaged" in result.output.replace("\n", "")
    assert not (tmp_path / "state" / "weights").exists()


def test_a_version_is_exported_once(pipeline: Result, folder: Path) -> None:
    result = call(folder / "state", "weights", "export", "--model", "intent", folder / "out", code=1)
    assert "is there already" in result.output


def test_a_file_of_other_columns_is_refused_with_the_options_that_name_them(tmp_path: Path) -> None:
    file = tmp_path / "raw.csv"
    file.write_text("message,category\ngive it back,refund\n")
    told = call(tmp_path, "data", "ingest", file, code=1).stderr
    assert "no column `intent` and no column `query`; it has message, category. `--class-column` and" in told
    both = call(tmp_path, "data", "ingest", file, "--class-column", "message", "--text-column", "message", code=2)
    assert "--class-column and --text-column are both `message`" in both.stderr
    named = ("--class-column", "category", "--text-column", "message")
    assert "1 message stored" in call(tmp_path, "data", "ingest", file, *named).stdout


def test_bootstrap_without_messages_says_what_to_do(tmp_path: Path) -> None:
    assert "sb-api data ingest" in call(tmp_path, "bootstrap", "--model", "intent", code=1).output


def test_classes_that_look_alike_are_named_and_renamed(tmp_path: Path) -> None:
    file = tmp_path / "raw.csv"
    file.write_text("intent,query\nRefund,my money back\nrefund,return it please\nrefund,pay me again\n")
    told = call(tmp_path, "data", "ingest", file)
    assert "the class 'refund' looks like 'Refund'; `sb-api data rename`" in told.stderr
    assert "'Refund' are of the class 'refund' now" in call(tmp_path, "data", "rename", "Refund", "refund ").stdout
    assert json.loads(call(tmp_path, "data", "ingest", file, "--join", "--json").stdout)["alike"] == []
    call(tmp_path, "data", "rename", "refund", "no class")
    table = open_messages(load_settings({"SB_API_STATE_DIR": str(tmp_path)}))
    assert table.classes() == {"": 3}
    table.close()
    assert "no class 'Refund'" in call(tmp_path, "data", "rename", "Refund", "refund", code=2).stderr


def test_split_refuses_shares_that_leave_nothing(tmp_path: Path) -> None:
    assert "nothing to train on" in call(tmp_path, "data", "split", "--validation", 0.5, "--test", 0.5, code=2).output
