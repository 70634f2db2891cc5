"""The commands: every one explains itself, says in one line what is wrong, and ends with the code that says it too."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

from sb_api import __version__
from sb_api.bootstrap import cross_validation
from sb_api.cli import main
from sb_api.config import load_settings
from sb_api.models.predictor import Predictor
from sb_api.models.weights_store import WeightsStore
from sb_api.processes.serve import hold_state
from sb_api.synthetic.editors import generate_editors
from tests.bootstrap.test_legacy import files  # noqa: F401  what Keras 2 left behind
from tests.support.service import SHIPPED, SPAM, as_editors, as_verdicts

FIELDS = ("bio", "email", "website")
SERVING = ("run", "web", "worker", "trainer")  # what would go on and on if it started


def find_commands(command: click.Command = main, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every command, the groups and the top among them."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from find_commands(child, (*path, name))


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state directory that the commands are told; it is not there yet, and no other setting is made."""
    for name in [name for name in os.environ if name.startswith("SB_API_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SB_API_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def run(*arguments: str | Path) -> Result:
    """Run a command in this process. Fails the test when it ends in an error that is not ours."""
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


def load_model(state: Path) -> Predictor:
    """The model as a classify process would make it of a state directory."""
    settings = load_settings({}, state_dir=str(state))
    return Predictor(SHIPPED, WeightsStore.of(settings, "lodbrok").load_current(), SHIPPED.load_vocabularies(settings))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# All commands


@pytest.mark.parametrize("path", list(find_commands()), ids=lambda path: " ".join(path) or "sb-api")
def test_every_command_explains_itself(path: Sequence[str]) -> None:
    """--help says what the command does and what each of its options is for."""
    result = run(*path, "--help")
    assert result.exit_code == 0
    usage, _, rest = result.stdout.partition("\n\n")
    assert usage.startswith("Usage: ")
    assert rest.strip()
    assert not rest.strip().startswith("Options:")  # a text comes first


def test_the_verbs_of_the_contract_are_there() -> None:
    verbs = {"run", "web", "worker", "trainer", "bootstrap", "tokenizers import", "weights import"}
    assert verbs <= {" ".join(path) for path in find_commands()}


def test_the_version_is_told() -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout.endswith(f", version {__version__}\n")


@pytest.mark.parametrize("verb", [*SERVING, "bootstrap"])
def test_an_unknown_setting_is_refused(state: Path, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """A misspelt name would leave a default in force that the operator thinks changed."""
    monkeypatch.setenv("SB_API_PROT", "4000")
    result = run(verb)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: SB_API_PROT: no such setting; there are ")
    assert "SB_API_PORT" in line
    assert not state.exists()


@pytest.mark.parametrize("verb", ["run", "web"])
def test_what_serves_refuses_an_open_address_without_credentials(
    state: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setenv("SB_API_HOST", "0.0.0.0")
    result = run(verb)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: SB_API_HOST=0.0.0.0: without credentials")
    assert not state.exists()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("SB_API_PORT", "http", "port"),
        ("SB_API_PORT", "65536", "port"),
        ("SB_API_QUEUE_LIMIT", "0", "queue_limit"),
        ("SB_API_LOG_LEVEL", "loud", "log_level"),
    ],
)
@pytest.mark.parametrize("verb", SERVING)
def test_a_wrong_setting_is_refused(
    state: Path, monkeypatch: pytest.MonkeyPatch, verb: str, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    result = run(verb)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert told in line
    assert not state.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("fly",),
        ("run", "--speed", "9"),
        ("run", "--port", "http"),
        ("bootstrap", "not-there.jsonl"),
        ("bootstrap", "--model", "oracle"),
        ("weights", "import", "not-there.h5"),
        ("tokenizers", "import", "not-there.pickle"),
    ],
    ids=" ".join,
)
def test_a_wrong_use_is_told(state: Path, arguments: Sequence[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr
    assert "Error: " in result.stderr
    assert not state.exists()


# Taking over what the original project left behind


def test_what_keras_2_left_behind_is_taken_over(files: Path, state: Path) -> None:  # noqa: F811
    """Tokenizers and weights at once: a state directory from which a model loads that judges as Keras 2 does."""
    pickles = [files / f"{field}.4.pickle" for field in FIELDS]
    taken = run("migrate", *pickles, files / "weights.h5", "--json")
    assert (taken.exit_code, taken.stderr) == (0, "")
    assert json.loads(taken.stdout)["model"] == "lodbrok"
    # From here on they go together, so that each may come alone.
    taken = run("tokenizers", "import", *pickles, "--json")
    assert (taken.exit_code, taken.stderr) == (0, "")
    assert json.loads(taken.stdout)["folder"] == str(state / "tokenizers")
    taken = run("tokenizers", "import", *pickles)
    assert (taken.exit_code, taken.stderr) == (0, "")
    assert f"Imported to {state / 'tokenizers'}." in taken.stdout
    taken = run("weights", "import", files / "whole.h5")
    assert (taken.exit_code, taken.stderr) == (0, "")

    model = load_model(state)
    assert f"Imported as {model.version}, the new original." in taken.stdout
    expected = dict(np.load(files / "predicted.npz"))
    probabilities = expected.pop("probabilities")
    assert probabilities.shape == (64, 2)
    np.testing.assert_allclose(model.score(expected), probabilities, atol=1e-5)
    # The imported vocabularies are those that go with it.
    host = json.loads((state / "tokenizers" / "website.json").read_text())["words"][0][0]
    assert host.startswith("host-")
    scores, errors = model.judge(as_editors([{"id": 1, "website": f"https://{host}/", "bio": "music"}]))
    assert (scores.shape, errors) == ((1, 2), {})


class Hostile:
    """Unpickled, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("content", ["empty", "cut", "hostile", "another"])
@pytest.mark.parametrize("place", range(3), ids=FIELDS)
def test_tokenizers_that_are_not_sound_change_nothing(
    files: Path,  # noqa: F811
    state: Path,
    tmp_path: Path,
    content: str,
    place: int,
) -> None:
    """One line names the field and what is wrong, and nothing in the file is run."""
    sound = [files / f"{field}.4.pickle" for field in FIELDS]
    wrong = tmp_path / "wrong.pickle"
    wrong.write_bytes(
        {
            "empty": b"",
            "cut": sound[place].read_bytes()[:-2000],
            "hostile": pickle.dumps(Hostile(tmp_path / "run")),
            "another": pickle.dumps({"word_index": {"one": 1}}),
        }[content]
    )
    result = run("tokenizers", "import", *sound[:place], wrong, *sound[place + 1 :])
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: The {FIELDS[place]} tokenizer ")
    assert not state.exists()
    assert not (tmp_path / "run").exists()


def test_tokenizers_in_the_wrong_order_are_refused(files: Path, state: Path) -> None:  # noqa: F811
    """A bio's tokenizer finds words, that of e-mails finds domains."""
    result = run("tokenizers", "import", *(files / f"{field}.4.pickle" for field in ("email", "bio", "website")))
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert not state.exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("earliest.h5", "token 1024"),
        ("hard_gates.h5", "hard sigmoids"),
        ("swapped_merge.h5", "another order"),
        ("bio.4.pickle", "not one of Keras 2"),
        ("cut.h5", ""),
    ],
)
def test_weights_that_do_not_fit_change_nothing(files: Path, state: Path, tmp_path: Path, name: str, told: str) -> None:  # noqa: F811
    """One line says what is wrong, and no state directory is begun."""
    wrong = files / name
    if name == "cut.h5":
        wrong = tmp_path / name
        wrong.write_bytes((files / "whole.h5").read_bytes()[:-100_000])
    result = run("weights", "import", wrong)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert told in line
    assert not state.exists()


# New originals


def write_editors(path: Path, count: int, seed: int = 5) -> list[dict[str, Any]]:
    """A file of labelled editors as for /train; returns them."""
    editors = [{**editor.record, "verdict": editor.verdict} for editor in generate_editors(count, seed)]
    path.write_text("".join(json.dumps(editor) + "\n" for editor in editors), "utf-8")
    return editors


def test_a_file_of_labelled_editors_makes_new_originals(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, tokenizers, reference set and model card, from which a model loads that has learned from them."""
    monkeypatch.setattr(cross_validation, "LEAST_STEPS", 80)  # fewer than are worth while, and enough to learn
    file = tmp_path / "editors.jsonl"
    editors = write_editors(file, 400)
    result = run("bootstrap", file, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    model = load_model(state)
    shipped = load_model(tmp_path / "another")
    assert model.version != shipped.version
    assert model.vocabularies.fingerprint != shipped.vocabularies.fingerprint
    document = json.loads(result.stdout)
    assert (document["weights"], document["figures"]["count"]) == (model.version, 400)
    assert document["in_use"]["weights"] == shipped.version
    assert document["budget"]["wanted"] == 0.0025 < document["budget"]["kept"]
    card = (state / "docs" / "model-card-lodbrok.md").read_text("utf-8")
    assert f"| weights | `{model.version}` |" in card
    assert "Synthetic" not in card
    scores, errors = model.judge(as_verdicts(editors))
    assert errors == {}
    spam = np.array([editor["verdict"] for editor in editors]) == 1
    assert np.mean((scores[:, model.about.labels.index(SPAM)] > 0.5) == spam) > 0.65  # 0.5 by chance, give or take 0.03


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what does not hang on how good the weights are that come of it."""
    monkeypatch.setattr(cross_validation, "LEAST_STEPS", 20)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"id": 1, "verdict": 2}', "must be 1 (spam) or 0 (not spam)"),
        ('{"id": 1}', "verdict"),
        ('{"id": 1, "verdict": 0, "bio": 7}', "bio"),
        ('{"id": 1, "verdict": 0', ""),
        ("[" * 100_000, ""),
        ("\udcff", ""),
    ],
    ids=["verdict 2", "no verdict", "bio 7", "cut", "deep", "not UTF-8"],
)
def test_a_wrong_line_is_named(state: Path, tmp_path: Path, line: str, told: str) -> None:
    """By its number in the file, and nothing is made of the others."""
    file = tmp_path / "editors.jsonl"
    write_editors(file, 120)
    lines = file.read_text("utf-8").splitlines()
    lines[66] = line
    file.write_text("\n".join(lines), "utf-8", errors="surrogateescape")
    result = run("bootstrap", file)
    assert result.exit_code == 1
    (error,) = result.stderr.splitlines()
    assert error.startswith(f"Error: 1 line of {file} is wrong: line 67: ")
    assert told in error
    assert contents(state) == {state / "run.lock": b""}


def test_too_few_are_refused_before_it_is_said_that_they_are_learned(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "editors.jsonl"
    write_editors(file, 20)
    result = run("bootstrap", file)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: There are ")


@pytest.mark.usefixtures("few_steps")
def test_a_dry_run_tells_all_and_changes_nothing(state: Path, tmp_path: Path) -> None:
    """Also of rows that cannot be used."""
    file = tmp_path / "editors.jsonl"
    first = write_editors(file, 220)[0]
    with file.open("a") as lines:
        lines.write(json.dumps({**first, "verdict": 1 - int(first["verdict"])}) + "\n")
    result = run("bootstrap", file, "--dry-run")
    assert result.exit_code == 0
    assert f"{file}: id {first['id']}: stands 2 times, under both verdicts; none of them is used" in result.stderr
    for words in ("ROC AUC", "spam caught at 5 false alarms in 1,000", "cannot be kept", "Nothing was changed"):
        assert words in result.stdout
    assert contents(state) == {state / "run.lock": b""}


@pytest.mark.parametrize("count", [0, 60])
def test_too_few_editors_are_refused(state: Path, tmp_path: Path, count: int) -> None:
    file = tmp_path / "editors.jsonl"
    spam = sum(editor["verdict"] for editor in write_editors(file, count))
    result = run("bootstrap", file)
    assert result.exit_code == 1
    *_, line = result.stderr.splitlines()
    assert line.startswith(
        f"Error: There are {spam} accounts of spam and {count - spam} that are not; at least 50 of each are needed. "
    )
    assert contents(state) == {state / "run.lock": b""}


@pytest.mark.usefixtures("few_steps")
def test_a_bootstrap_is_staged_while_the_current_weights_stay_and_then_promoted(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "editors.jsonl"
    write_editors(file, 240)
    result = run("bootstrap", file, "--stage", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    shipped = load_model(state)
    assert not (state / "weights" / "original_lodbrok.h5").exists()
    document = json.loads(result.stdout)
    assert document["in_use"]["weights"] == shipped.version
    done = run("weights", "promote", "--stopped", "--json")
    assert json.loads(done.stdout) == {
        "success": True,
        "model": "lodbrok",
        "weights": document["weights"],
        "previous": shipped.version,
    }
    promoted = load_model(state)
    assert promoted.version == document["weights"]
    assert promoted.vocabularies.fingerprint != shipped.vocabularies.fingerprint
    assert run("weights", "promote", "--stopped").exit_code == 1  # nothing is staged any more
    assert run("bootstrap", "--restore", "shipped", "--json").exit_code == 0
    assert load_model(state).version == shipped.version


def test_weights_that_were_never_replaced_cannot_be_brought_back(state: Path) -> None:
    result = run("bootstrap", "--restore", "000003-0123abcd")
    assert result.exit_code == 1
    assert result.stderr == "Error: No weights '000003-0123abcd' were replaced here; there are shipped.\n"


@pytest.mark.parametrize(
    "options",
    [
        ("--dry-run",),
        ("--from", "shipped"),
        ("--restore", "shipped", __file__),
        ("--stage", "--restore", "shipped"),
        ("--restore", "shipped", "--count", "3"),
        ("--restore", "shipped", "--synthetic"),
        ("--restore", "shipped", "--seed", "1"),
        ("--restore", "shipped", "--architecture", "lodbrok"),
        ("--restore", "shipped", "--caution", "4"),
        ("--stage", "--dry-run", __file__),
        ("--count", "7", __file__),
        ("--synthetic", __file__),
        ("--from", "shipped", "--architecture", "lodbrok", __file__),
        ("--encoding", "cp1252"),
        ("--model", "intent", __file__),
        ("--model", "intent", "--count", "100"),
        ("--model", "sentiment", "--caution", "2"),
        ("--model", "intent", "--architecture", "lodbrok"),
    ],
)
def test_options_that_do_not_go_together_are_refused(state: Path, options: tuple[str, ...]) -> None:
    assert run("bootstrap", *options).exit_code == 2
    assert not state.exists()


def test_nothing_is_replaced_while_a_service_holds_the_state_directory(
    files: Path,  # noqa: F811
    state: Path,
    tmp_path: Path,
) -> None:
    """The service would go on with weights and tokenizers that are no longer there."""
    file = tmp_path / "editors.jsonl"
    write_editors(file, 120)
    attempts: list[tuple[str | Path, ...]] = [
        ("bootstrap", file),
        ("tokenizers", "import", *(files / f"{field}.4.pickle" for field in FIELDS)),
        ("weights", "import", files / "whole.h5"),
        ("migrate", *(files / f"{field}.4.pickle" for field in FIELDS), files / "whole.h5"),
        ("run", "--port", "0"),
    ]
    with hold_state(load_settings({}, state_dir=str(state))):
        for attempt in attempts:
            result = run(*attempt)
            assert (result.exit_code, result.stdout) == (1, "")
            (line,) = result.stderr.splitlines()
            assert line.startswith(f"Error: Another sb_api runs in {state}; stop it first")
    assert contents(state) == {state / "run.lock": b""}


ONE_THREAD = """
import os, sys
from click.testing import CliRunner
from sb_api.cli import main
assert "numpy" not in sys.modules
from sb_api import classify
from sb_api.learning import process
classify.classify_process = process.train_process = lambda *_: print(os.environ["OPENBLAS_NUM_THREADS"], flush=True)
for command in ("worker", "trainer"):
    os.environ.pop("OPENBLAS_NUM_THREADS", None)
    print(CliRunner().invoke(main, [command]).output, end="")
os.environ["OPENBLAS_NUM_THREADS"] = "4"
print(CliRunner().invoke(main, ["trainer"]).output, end="")
"""


def test_classify_and_train_processes_calculate_in_one_thread_unless_it_is_said_otherwise(state: Path) -> None:
    """Before numpy is there, which looks at it when it is imported. What would go on and on says what it is given."""
    done = subprocess.run([sys.executable, "-c", ONE_THREAD], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n1\n4\n"
