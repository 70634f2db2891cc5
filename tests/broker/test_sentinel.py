"""Where Redis is, said in one URL; a wrong one is told in plain words, without its password."""

from __future__ import annotations

import pytest

from sb_api.broker.connection import connect
from sb_api.broker.sentinel import parse_sentinels
from sb_api.config import load_settings
from sb_api.errors import InvalidSettings


@pytest.mark.parametrize("url", ["redis://host:6379/1", "rediss://u:p@host?ssl_ca_certs=/ca.pem", "unix:///run/redis"])
def test_a_url_of_redis_itself_names_no_sentinels(url: str) -> None:
    assert parse_sentinels(url) is None


def test_sentinels_are_hosts_with_ports_and_the_service_that_they_watch() -> None:
    found = parse_sentinels("redis+sentinel://one,two:26380,[::1]:26381,[::2]/spam")
    assert found is not None
    assert found.hosts == [("one", 26379), ("two", 26380), ("::1", 26381), ("::2", 26379)]
    assert (found.service, found.url, found.password) == ("spam", "redis://master/0", None)


def test_user_password_database_and_options_are_those_of_the_master() -> None:
    found = parse_sentinels("rediss+sentinel://u:p%40@one/spam/3?ssl_ca_certs=%2Fca.pem&sentinel_password=s%26")
    assert found is not None
    assert found.url == "rediss://u:p%40@master/3?ssl_ca_certs=%2Fca.pem"
    assert found.password == "s&"


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        "http://host",
        "redis+sentinel://secret@one",
        "redis+sentinel://:secret@one:port/spam",
        "redis+sentinel://:secret@one:0/spam",
        "redis+sentinel://:secret@,two/spam",
        "redis+sentinel://:secret@/spam",
        "redis+sentinel://:secret@one/spam/x",
        "redis+sentinel://:secret@one/spam/1/2",
        "redis://:sec#ret@host/0",
        "redis://u:sec/ret@host/0",
        "redis://:secret@host:port/0",
        "unix:///run/a#b/redis.sock",
    ],
)
def test_another_form_is_a_wrong_setting_and_its_password_is_not_told(url: str) -> None:
    with pytest.raises(InvalidSettings, match="SB_API_REDIS_URL") as caught:
        connect(load_settings({"SB_API_REDIS_URL": url}))
    assert "secret" not in caught.value.detail
    assert "ret@" not in caught.value.detail
