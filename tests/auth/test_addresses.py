"""A client has one address, whichever way it is written; failures are counted by it."""

from __future__ import annotations

import pytest

from sb_api.auth.addresses import UNKNOWN, client_network, is_loopback


@pytest.mark.parametrize(
    ("written", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("[::ffff:203.0.113.7]:4711", "203.0.113.7"),
        ("::ffff:203.0.113.8", "203.0.113.8"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::2", "2001:db8::/64"),
        ("[2001:db8::2]:4711", "2001:db8::/64"),
        ("2001:db8:0:1::2", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", UNKNOWN),
        ("x" * 8000, UNKNOWN),
        ("203.0.113.7, 203.0.113.8", UNKNOWN),
        ("_hidden", UNKNOWN),
    ],
)
def test_failures_are_counted_by_who_the_client_is(written: str, network: str) -> None:
    assert client_network(written) == network


@pytest.mark.parametrize("written", ["127.0.0.1", "127.8.8.8", "::1", "[::1]:80", "::ffff:127.0.0.1", "127.0.0.1:80"])
def test_loopback_however_it_is_written(written: str) -> None:
    assert is_loopback(written)


@pytest.mark.parametrize("written", ["", "localhost", "128.0.0.1", "::2", "::ffff:10.0.0.1", "127.0.0.1.evil.example"])
def test_no_loopback(written: str) -> None:
    assert not is_loopback(written)
