"""The credentials file: secrets are kept as salted hashes, changes are whole, a damaged file lets nobody in."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from sb_api.auth.credentials import add_credential, fits, has_credentials, read_credentials, revoke_credential
from sb_api.errors import InvalidCredentials

PASSWORD = "correct horse battery staple"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "credentials.json"


def test_a_new_token_fits_and_no_other_does(file: Path) -> None:
    token = add_credential(file, "spamninja", "predict")
    credential = read_credentials(file)["spamninja"]
    assert (credential.name, credential.role) == ("spamninja", "predict")
    assert fits(token, credential.hash)
    assert not fits(token[:-1], credential.hash)
    assert not fits("", credential.hash)


def test_a_token_tells_its_credential_and_is_long(file: Path) -> None:
    name, _, rest = add_credential(file, "spamninja", "predict").partition(".")
    assert name == "spamninja"
    assert len(rest) >= 43  # 32 bytes of chance


def test_the_file_holds_neither_tokens_nor_passwords_and_is_its_users_alone(file: Path) -> None:
    token = add_credential(file, "one", "predict")
    add_credential(file, "two", "train", PASSWORD)
    content = file.read_text()
    assert token.partition(".")[2] not in content
    assert PASSWORD not in content
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_hashes_are_salted_argon2id(file: Path) -> None:
    add_credential(file, "one", "predict", PASSWORD)
    add_credential(file, "two", "predict", PASSWORD)
    one, two = (credential.hash for credential in read_credentials(file).values())
    assert one.startswith("$argon2id$")
    assert one != two


def test_a_role_may_have_several_credentials(file: Path) -> None:
    for name in ("one", "two"):
        add_credential(file, name, "admin")
    assert {credential.role for credential in read_credentials(file).values()} == {"admin"}
    assert list(read_credentials(file)) == ["one", "two"]


def test_a_revoked_one_is_gone_and_the_others_stay(file: Path) -> None:
    for name in ("one", "two"):
        add_credential(file, name, "admin")
    assert revoke_credential(file, "one") == 1
    assert list(read_credentials(file)) == ["two"]
    assert revoke_credential(file, "two") == 0
    assert file.exists()
    assert not has_credentials(file)


def test_a_name_is_given_once(file: Path) -> None:
    add_credential(file, "one", "predict")
    before = file.read_bytes()
    with pytest.raises(InvalidCredentials, match="revoke it first"):
        add_credential(file, "one", "admin")
    assert file.read_bytes() == before


@pytest.mark.parametrize("name", ["", "a.b", "a b", "a:b", "../a", "ä", "a\n", "x" * 65])
def test_a_name_that_could_be_mistaken_is_refused(file: Path, name: str) -> None:
    with pytest.raises(InvalidCredentials, match="is no name"):
        add_credential(file, name, "predict")
    assert not file.exists()


@pytest.mark.parametrize("password", ["", "elevenchars"])
def test_a_short_password_is_refused(file: Path, password: str) -> None:
    with pytest.raises(InvalidCredentials, match="12 characters"):
        add_credential(file, "one", "predict", password)
    assert not file.exists()


def test_one_that_is_not_there_cannot_be_revoked(file: Path) -> None:
    with pytest.raises(InvalidCredentials, match="no credential 'one'"):
        revoke_credential(file, "one")


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b"\xff", b'{"credentials": [{"name": "one", "role": "root", "hash": "", "created": ""}]}'],
    ids=["empty", "list", "nothing in it", "not UTF-8", "unknown role"],
)
def test_a_damaged_file_is_told_and_never_overwritten(file: Path, content: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(content)
    for damaged in (read_credentials, has_credentials, lambda path: add_credential(path, "two", "admin")):
        with pytest.raises(InvalidCredentials, match=str(file)):
            damaged(file)
    assert file.read_bytes() == content


def test_changes_at_the_same_time_are_all_kept(file: Path) -> None:
    names = [f"name-{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: add_credential(file, name, "predict"), names))
    assert sorted(read_credentials(file)) == names
    assert [path.name for path in file.parent.iterdir()] == ["credentials.json"]


def test_a_hash_that_is_none_fits_nothing() -> None:
    assert not fits("", "")
    assert not fits("plain", "plain")


def test_the_file_is_json_that_says_when(file: Path) -> None:
    add_credential(file, "one", "predict")
    [stored] = msgspec.json.decode(file.read_bytes())["credentials"]
    assert stored["created"].endswith("Z")
