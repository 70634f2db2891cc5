"""What commands print does nothing to a terminal, counts rightly, and helps whoever mistypes."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from sb_api.cli import main
from sb_api.cli.terminal import exit_codes
from sb_api.cli.terminal.output import Screen, count, escape_controls, show_note
from tests.client.test_http import scripted
from tests.support.service import ROOT, clean_environment

# A title, the clipboard (OSC 52), a cleared screen, a line of its own, the 8-bit form of ESC [, writing turned round.
HOSTILE = "\x1b]0;owned\x07\x1b]52;c;cm0gLXJm\x07\x1b[2J\nError: all is lost\r\x9b31m\u202e"
ESCAPED = r"\x1b]0;owned\x07\x1b]52;c;cm0gLXJm\x07\x1b[2J\nError: all is lost\r\x9b31m\u202e"


def run(*arguments: object, address: str = "http://127.0.0.1:1", **options: object) -> tuple[int, str, str]:
    done = CliRunner(env={"SB_API_URL": address}).invoke(main, [str(each) for each in arguments], **options)
    return done.exit_code, done.stdout, done.stderr


def test_control_characters_are_shown_and_letters_kept() -> None:
    assert escape_controls(HOSTILE) == ESCAPED
    assert escape_controls("Ünï ‘a’ 日本 שלום \u00a0") == "Ünï ‘a’ 日本 שלום \u00a0"
    assert escape_controls("\udcff") == r"\udcff"


def test_what_a_service_answers_does_nothing_to_the_terminal() -> None:
    named = dict.fromkeys(("version", "parent", "tokenizers", "classifier"), HOSTILE)
    version = named | {"created": "2026-01-01T00:00:00", "labels": [], "learned": 1}
    slots = dict.fromkeys(("original", "previous", "current"), HOSTILE)
    weights = json.dumps({"success": True, "model": "lodbrok", "slots": slots, "versions": [version]}).encode()
    refused = json.dumps({"type": "urn:sb_api:problem:forbidden", "detail": HOSTILE}).encode()
    with scripted((200, {}, weights), (403, {}, refused), (403, {}, refused)) as server:
        for arguments in (("weights",), ("weights",), ("weights", "--json")):
            _, out, err = run(*arguments, address=server.address)
            assert "owned" in out + err
            assert not {character for character in out + err if character != "\n" and not character.isprintable()}
            assert len((out + err).splitlines()) == 1


def test_what_a_file_names_does_nothing_to_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "raw.csv"
    file.write_text('verdict,"id\x1b]0;owned\x07"\n1,one\n')
    done = CliRunner(env={"SB_API_STATE_DIR": str(tmp_path / "state")}).invoke(main, ["evaluate", str(file)])
    assert r"\x1b]0;owned\x07" in done.stderr
    assert "\x1b" not in done.output


def test_names_of_classes_hold_nothing_that_a_terminal_acts_on(tmp_path: Path) -> None:
    file = tmp_path / "raw.csv"
    file.write_text('intent,query\n"x\x1b]0;owned\x07",one text\n"y\x1b[2J",one text\n')
    done = CliRunner(env={"SB_API_STATE_DIR": str(tmp_path / "state")}).invoke(main, ["data", "ingest", str(file)])
    assert "a text that stands under x]0;owned and y[2J" in done.stderr
    assert "\x1b" not in done.output


def test_results_on_a_terminal_do_nothing_to_it() -> None:
    stream = io.BytesIO()
    Screen(stream).write(b'"x\x1b[2J\xc2\x9b",spam,0.5\r\n2,"\xc3\xa9"\r\n')
    assert stream.getvalue().decode() == r'"x\x1b[2J\x9b",spam,0.5' + '\n2,"é"\n'


def test_a_note_has_one_mark_at_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    show_note("`webiste` is no field: did you mean `website`?", as_json=False)
    show_note("`colour` is no field", as_json=False)
    assert capsys.readouterr().err.splitlines() == [
        "Note: `webiste` is no field: did you mean `website`?",
        "Note: `colour` is no field.",
    ]


@pytest.mark.parametrize(("number", "said"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows")])
def test_one_row_is_no_rows(number: int, said: str) -> None:
    assert count(number, "row") == said


@pytest.mark.parametrize(("typed", "meant"), [("predcit", "predict"), ("wieghts", "weights"), ("Status", "status")])
def test_who_mistypes_a_command_is_asked_for_the_one_that_is_meant(typed: str, meant: str) -> None:
    code, _, err = run(typed)
    assert code == exit_codes.USAGE
    assert f"did you mean `{meant}`?" in err
    assert f"did you mean `{meant}`?" in json.loads(run(typed, "--json")[2])["detail"]


def test_who_mistypes_a_setting_is_asked_for_the_one_that_is_meant() -> None:
    done = CliRunner(env={"SB_API_PROT": "1"}).invoke(main, ["token", "list"])
    assert done.stderr.rstrip().endswith("Did you mean SB_API_PORT?")


@pytest.mark.parametrize("arguments", [("predict",), ("train",), ("weights",)])
def test_a_service_that_is_away_is_said_while_it_is_waited_for(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Without a terminal too; the command goes on asking."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-m", "sb_api", *arguments],
            cwd=ROOT,
            env=clean_environment(SB_API_URL=address, SB_API_STATE_DIR=str(tmp_path)),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b'{"id": 1, "verdict": 1}\n')
        process.stdin.close()
        began = time.monotonic()
        said = process.stderr.readline().decode()
        took = time.monotonic() - began
        process.kill()
        process.wait(30)
        process.stderr.close()
    assert f"there is no service at {address}; asking again" in said
    assert took < 20  # 5 s, but for the time that Python takes to start on a machine that is busy
