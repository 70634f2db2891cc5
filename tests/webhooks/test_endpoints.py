"""What SB_API_WEBHOOKS may say, and what it may not."""

from __future__ import annotations

import pytest

from sb_api.config import load_settings
from sb_api.errors import InvalidSettings
from sb_api.verdicts.audit import describe_changes
from sb_api.webhooks.endpoints import MOST_ENDPOINTS, TOPICS, parse_endpoints


def parse(text: str, **settings: str) -> list[tuple[str, str, set[str]]]:
    found = parse_endpoints(load_settings({}, webhooks=text, **settings))
    return [(endpoint.name, endpoint.url, set(endpoint.topics)) for endpoint in found]


def test_urls_are_told_of_all_topics_or_of_those_behind_the_mark() -> None:
    first, second, third = parse(
        "https://Ops.example/hook?key=s3cret#drift,service\n http://127.0.0.1:9/x  http://[::1]:9/x#account"
    )
    assert first[1:] == ("https://Ops.example/hook?key=s3cret", {"drift", "service"})
    assert first[0].startswith("ops.example-")
    assert "s3cret" not in first[0]
    assert second[2] == set(TOPICS)
    assert third[1:] == ("http://[::1]:9/x", {"account"})
    assert parse("http://ops.internal/x", webhook_http="on")[0][1] == "http://ops.internal/x"
    assert parse("") == []
    assert parse("https://a.example/1")[0][0] != parse("https://a.example/2")[0][0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://ops.example/s3cret", "in the clear"),
        ("ftp://ops.example/s3cret", "no https:// URL"),
        ("ops.example/s3cret", "no https:// URL"),
        ("https:///s3cret", "no https:// URL"),
        ("https://ops.example:0/s3cret", "no https:// URL"),
        ("https://ops.example:x/s3cret", "no https:// URL"),
        ("https://[s3cret", "no https:// URL"),
        ("https://ops.example/s3crét", "no https:// URL"),
        ("https://ops.example/\x01s3cret", "no https:// URL"),
        ("https://me:s3cret@ops.example/", "names a user"),
        ("https://ops.example/s3cret#acount", "did you mean `account`"),
        ("https://ops.example/s3cret https://ops.example/s3cret#drift", "twice"),
        (" ".join(f"https://ops.example/s3cret{n}" for n in range(MOST_ENDPOINTS + 1)), "at most"),
    ],
)
def test_what_cannot_be_used_is_said_without_what_may_be_secret(text: str, said: str) -> None:
    with pytest.raises(InvalidSettings, match=said) as error:
        parse(text)
    assert "s3cr" not in error.value.detail


def test_the_audit_log_does_not_show_urls() -> None:
    assert "s3cret" not in describe_changes(load_settings({}, webhooks="https://ops.example/s3cret"))
