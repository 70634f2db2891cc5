"""The synthetic accounts: the same for the same seed, spam and editors overlapping in every field, hosts kept apart."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from datetime import datetime
from statistics import mean

import pytest
from disposable_email_domains import blocklist

from sb_api.synthetic.accounts import BEGINNER, BEGINNERS_SINCE
from sb_api.synthetic.editors import (
    CAMPAIGNS,
    REFERENCE_TIME,
    SyntheticEditor,
    generate_campaign,
    generate_editors,
    generate_in_language,
    split_by_host,
)
from sb_api.synthetic.parts import build_pools, free_mail_domains
from sb_api.synthetic.phrases import (
    COMMON_HOST_WORDS,
    MUSIC_HOST_WORDS,
    PUBLIC_HOSTS,
    SOCIAL_HOSTS,
    SPAM_HOST_WORDS,
    TRADE_HOST_WORDS,
    languages,
)
from sb_api.synthetic.split import owners

DATES = ("birth_date", "member_since", "email_confirm_date", "last_updated", "last_login_date")
KEYS = {"id", "name", "email", "website", "bio", "area", "privs", "gender", *DATES}
URL = re.compile(r"https?://(?:www\.)?([^/\s\]|\"'<>)]+)|\bwww\.", re.IGNORECASE)


@pytest.fixture(scope="module")
def editors() -> list[SyntheticEditor]:
    return list(generate_editors(9000, seed=11))


@pytest.fixture(scope="module")
def shared_domains() -> frozenset[str]:
    return free_mail_domains(build_pools()) | set(PUBLIC_HOSTS)


def fingerprint() -> str:
    made = [*generate_editors(300, seed=5), *generate_campaign(3, 30, seed=5)]
    made += split_by_host(made, 0.3, seed=5)[1]
    text = json.dumps([(editor.record, editor.verdict, editor.kind, editor.host) for editor in made])
    return hashlib.sha256(text.encode()).hexdigest()


def mail_domain(editor: SyntheticEditor) -> str:
    return str(editor.record["email"] or "").rpartition("@")[2]


def own_hosts(editor: SyntheticEditor, shared: frozenset[str]) -> set[str]:
    linked = (found.rstrip(".,").lower() for found in URL.findall(str(editor.record["bio"] or "")))
    return {host for host in (editor.host, mail_domain(editor), *linked) if host and host not in shared}


def hours(editor: SyntheticEditor, name: str) -> float:
    since, date = editor.record["member_since"], editor.record[name]
    if since is None or date is None:
        return -1 if since else -2
    return (datetime.fromisoformat(str(date)) - datetime.fromisoformat(str(since))).total_seconds() / 3600


def roc_auc(spam: Iterable[float], others: Iterable[float]) -> float:
    """The area under the ROC curve of one feature, read in its better direction."""
    spam, ordered = list(spam), sorted(others)
    wins = sum((bisect_left(ordered, value) + bisect_right(ordered, value)) / 2 for value in spam)
    area = wins / (len(spam) * len(ordered))
    return max(area, 1 - area)


FEATURES: dict[str, Callable[[SyntheticEditor], float]] = {
    "e-mail": lambda editor: editor.record["email"] is not None,
    "disposable e-mail": lambda editor: mail_domain(editor) in blocklist,
    "gmail": lambda editor: mail_domain(editor) == "gmail.com",
    "mail domain is the website": lambda editor: bool(editor.host) and mail_domain(editor) == editor.host,
    "website": lambda editor: editor.record["website"] is not None,
    "public website": lambda editor: editor.host in PUBLIC_HOSTS,
    "bio": lambda editor: editor.record["bio"] is not None,
    "bio length": lambda editor: len(str(editor.record["bio"] or "")),
    "URL in bio": lambda editor: bool(URL.search(str(editor.record["bio"] or ""))),
    "area": lambda editor: editor.record["area"] is not None,
    "privs": lambda editor: editor.record["privs"] != 0,
    "gender": lambda editor: editor.record["gender"] is not None,
    "gender other than male": lambda editor: editor.record["gender"] in (2, 3),
    "beginner": lambda editor: bool(int(str(editor.record["privs"])) & BEGINNER),
    "user name": lambda editor: editor.record["name"] is not None,
    "digits in the user name": lambda editor: any(letter.isdigit() for letter in str(editor.record["name"] or "")),
    "length of the user name": lambda editor: len(str(editor.record["name"] or "")),
    "area as text": lambda editor: isinstance(editor.record["area"], str),
    "birth date": lambda editor: editor.record["birth_date"] is not None,
    "registered": lambda editor: int(str(editor.record["member_since"] or "2000")[:4]),
    "confirmation delay": lambda editor: hours(editor, "email_confirm_date"),
    "update delay": lambda editor: hours(editor, "last_updated"),
    "login delay": lambda editor: hours(editor, "last_login_date"),
}


def test_same_seed_gives_the_same_editors_in_any_process() -> None:
    program = "from tests.synthetic.test_editors import fingerprint; print(fingerprint())"
    for hash_seed in ("1", "4321"):
        answer = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert answer.stdout.strip() == fingerprint()


def test_different_seeds_give_different_editors() -> None:
    first, second = (list(generate_editors(200, seed)) for seed in (1, 2))
    assert sum(a.record == b.record for a, b in zip(first, second, strict=True)) == 0
    assert [editor.record for editor in generate_campaign(0, 20, 1)] != [
        editor.record for editor in generate_campaign(0, 20, 2)
    ]


@pytest.mark.parametrize("spam_share", [0.0, 0.07, 0.5, 1.0])
def test_the_share_of_spam_is_exactly_as_asked(spam_share: float) -> None:
    made = list(generate_editors(301, seed=2, spam_share=spam_share))
    assert len(made) == 301
    assert sum(editor.verdict for editor in made) == round(301 * spam_share)


def test_records_are_json_editors_with_exactly_the_contract_keys(editors: list[SyntheticEditor]) -> None:
    campaigns = [editor for index in range(len(CAMPAIGNS)) for editor in generate_campaign(index, 20, seed=1)]
    for editor in editors + campaigns:
        record = editor.record
        assert json.loads(json.dumps(record)) == record
        assert record.keys() == KEYS
        assert type(record["id"]) is int
        assert type(record["privs"]) is int
        assert all(record[name] != "" for name in KEYS)
        assert editor.verdict in (0, 1)
        assert bool(editor.host) == (record["website"] is not None)
        assert editor.host in str(record["website"] or "")
        for name in DATES:
            if record[name] is not None:
                assert datetime.fromisoformat(str(record[name])) <= REFERENCE_TIME
    identities = [editor.record["id"] for editor in editors + campaigns]
    assert len(set(identities)) == len(identities)


@pytest.mark.parametrize("name", FEATURES)
def test_no_single_field_tells_spam_from_editors(editors: list[SyntheticEditor], name: str) -> None:
    feature = FEATURES[name]
    spam = [feature(editor) for editor in editors if editor.verdict]
    others = [feature(editor) for editor in editors if not editor.verdict]
    assert roc_auc(spam, others) < 0.85
    # Neither side is all of one value, or that value's absence would tell.
    assert len(set(spam)) > 1
    assert len(set(others)) > 1


def test_disposable_and_free_mail_are_on_both_sides_in_different_shares(editors: list[SyntheticEditor]) -> None:
    disposable = FEATURES["disposable e-mail"]
    spam = mean(disposable(editor) for editor in editors if editor.verdict)
    others = mean(disposable(editor) for editor in editors if not editor.verdict)
    assert spam > 3 * others > 0.06
    assert 0.15 < mean(mail_domain(editor) == "gmail.com" for editor in editors if not editor.verdict) < 0.6
    assert 0.05 < mean(mail_domain(editor) == "gmail.com" for editor in editors if editor.verdict) < 0.4


def test_bios_are_as_common_and_as_long_as_promised(editors: list[SyntheticEditor]) -> None:
    for verdict, lowest, highest in ((0, 0.35, 0.45), (1, 0.55, 0.85)):
        bios = [editor.record["bio"] for editor in editors if editor.verdict == verdict]
        lengths = [len(str(bio)) for bio in bios if bio is not None]
        assert lowest < len(lengths) / len(bios) < highest
        assert 200 < mean(lengths) < 400
        assert max(lengths) > 1500


def test_trade_words_and_scripts_are_on_both_sides(editors: list[SyntheticEditor]) -> None:
    for pattern in ("casino", "pharmacy", "bitcoin", "essay", "[а-я]{4}", "[\u4e00-\u9fff]{2}", "[\u0600-\u06ff]{3}"):
        sides = {e.verdict for e in editors if re.search(pattern, str(e.record["bio"] or ""), re.IGNORECASE)}
        assert sides == {0, 1}, pattern


def test_privileges_are_those_that_musicbrainz_gives(editors: list[SyntheticEditor]) -> None:
    """Every new account has been a beginner since 2024; the mark of a flagged spammer would be the verdict itself."""
    assert not any(int(str(editor.record["privs"])) & 4096 for editor in editors)
    shares = []
    for verdict in (0, 1):
        born = [
            (str(e.record["member_since"]), e) for e in editors if e.verdict == verdict and e.record["member_since"]
        ]
        before = [editor for since, editor in born if since < BEGINNERS_SINCE.isoformat()]
        after = [FEATURES["beginner"](editor) for since, editor in born if since >= "2024-06"]
        # A wrong date of registration is one of the odd ones.
        assert mean(FEATURES["beginner"](editor) for editor in before) < 0.01
        shares.append(mean(after))
    assert min(shares) > 0.5


def test_nobody_is_a_spammer_by_gender(editors: list[SyntheticEditor]) -> None:
    for gender, share in ((1, 0.6), (2, 0.3), (3, 0.1)):
        for verdict in (0, 1):
            given = [e.record["gender"] for e in editors if e.verdict == verdict and e.record["gender"] is not None]
            assert mean(each == gender for each in given) == pytest.approx(share, abs=0.05)


def test_every_public_site_is_of_both_sides(editors: list[SyntheticEditor]) -> None:
    """A page at a site that few spammers use must not make any text innocent."""
    for hosts in (set(SOCIAL_HOSTS), set(PUBLIC_HOSTS) - set(SOCIAL_HOSTS)):
        verdicts = [editor.verdict for editor in editors if editor.host in hosts]
        assert 0.25 < mean(verdicts) < 0.75


def test_the_keywords_of_a_small_language_occur() -> None:
    bios = [str(e.record["bio"]).lower() for e in generate_in_language("el", 900, 1) if e.verdict]
    keywords = [keyword.lower() for kind in languages()["el"].keywords.values() for keyword in kind]
    assert mean(any(keyword in bio for bio in bios) for keyword in keywords) > 0.45


def test_who_fills_in_a_profile_at_once_may_be_innocent(editors: list[SyntheticEditor]) -> None:
    """A bio and a website of one's own within ten minutes of registration: what a newcomer does."""
    quick = [
        editor
        for editor in editors
        if editor.record["bio"]
        and editor.host not in ("", *PUBLIC_HOSTS)
        and 0 <= hours(editor, "last_updated") < 1 / 6
    ]
    assert len(quick) > 200
    assert mean(editor.verdict for editor in quick) < 0.88


def test_bots_odd_dates_and_many_kinds_occur(editors: list[SyntheticEditor]) -> None:
    kinds = {verdict: {editor.kind for editor in editors if editor.verdict == verdict} for verdict in (0, 1)}
    assert len(kinds[1]) >= 10
    assert {"silent", "collector", "musician", "label", "worker", "bot", "veteran"} <= kinds[0]
    assert {"person", "chatter", "linker", "trade", "wordless"} <= kinds[0]
    assert not kinds[0] & kinds[1]
    for verdict in (0, 1):
        side = [editor for editor in editors if editor.verdict == verdict]
        assert any(editor.record["member_since"] is None for editor in side)
        assert any(hours(editor, "last_updated") < -2 for editor in side)


def test_campaigns_share_no_word_host_or_mail_domain_with_the_editors(
    editors: list[SyntheticEditor], shared_domains: frozenset[str]
) -> None:
    words = {word for editor in editors for word in re.findall(r"\w+", str(editor.record["bio"] or "").lower())}
    hosts = {host for editor in editors for host in own_hosts(editor, shared_domains)}
    host_words = {*build_pools().words, *COMMON_HOST_WORDS, *MUSIC_HOST_WORDS, *TRADE_HOST_WORDS}
    host_words |= {word for kind_words in SPAM_HOST_WORDS.values() for word in kind_words}
    assert len(CAMPAIGNS) >= 12
    for index, campaign in enumerate(CAMPAIGNS):
        made = list(generate_campaign(index, 40, seed=1))
        text = " ".join(str(editor.record["bio"] or "") for editor in made).lower()
        assert all(editor.verdict == 1 and editor.kind == campaign.name for editor in made)
        assert not words & set(campaign.marks)
        assert all(mark in text for mark in campaign.marks)
        assert not host_words & set(campaign.host_words)
        assert not hosts & {host for editor in made for host in own_hosts(editor, shared_domains)}


@pytest.mark.parametrize("test_share", [0.2, 0.5])
def test_the_split_shares_no_host_and_no_own_mail_domain(
    editors: list[SyntheticEditor], shared_domains: frozenset[str], test_share: float
) -> None:
    train, test = split_by_host(editors, test_share, seed=3)
    sides = [{host for editor in side for host in own_hosts(editor, shared_domains)} for side in (train, test)]
    assert all(sides)
    assert not sides[0] & sides[1]
    assert sorted(str(e.record["id"]) for e in train + test) == sorted(str(e.record["id"]) for e in editors)
    assert len(test) == pytest.approx(test_share * len(editors), rel=0.03)
    for side in (train, test):
        assert mean(editor.verdict for editor in side) == pytest.approx(0.5, abs=0.06)
    assert split_by_host(editors, test_share, seed=3) == (train, test)
    assert split_by_host(editors, test_share, seed=4) != (train, test)


def test_the_split_joins_accounts_through_hosts_domains_and_links() -> None:
    def editor(identity: int, host: str, email: str | None, bio: str | None = None) -> SyntheticEditor:
        record: dict[str, object] = dict.fromkeys(KEYS)
        record |= {"id": identity, "website": f"http://www.{host}/" if host else None, "email": email, "bio": bio}
        return SyntheticEditor(record, 0, "musician", host)

    chain = [
        editor(1, "one.com", "a@two.org"),
        editor(2, "", "b@two.org"),
        editor(3, "bandcamp.com", "c@gmail.com", "see [url=https://www.One.com/x]here[/url]"),
    ]
    public = [editor(place, "bandcamp.com", "d@gmail.com") for place in range(10, 50)]
    for seed in range(8):
        train, test = split_by_host(chain + public, 0.5, seed)
        assert {place.record["id"] in (1, 2, 3) for place in train} >= {False}
        assert sum(member in test for member in chain) in (0, 3)
        assert 0 < sum(member in test for member in public) < len(public)


def test_hosts_of_many_users_of_both_verdicts_are_nobodys_own() -> None:
    """A shortener that no list has: were it somebody's own, all who link to it would be on the side of training."""

    def editor(identity: int, host: str) -> SyntheticEditor:
        record: dict[str, object] = dict.fromkeys(KEYS)
        record |= {"id": identity, "website": f"https://{host}/{identity}"}
        return SyntheticEditor(record, identity % 2, "given", host)

    for host in ("t.co", "x.com", "youtu.be", "bit.ly", "facebook.com", "soundcloud.com", "short.example"):
        _, test = split_by_host([editor(number, host) for number in range(100)], 0.5, seed=1)
        assert len(test) == 50, host
    one_operator = [editor(2 * number + 1, "spam.example") for number in range(100)]
    assert not split_by_host(one_operator, 0.5, seed=1)[1]


def test_hosts_of_one_registered_domain_are_one_owners_but_for_platforms() -> None:
    def own(*hosts: str) -> int:
        records = [dict.fromkeys(KEYS) | {"id": n, "website": f"https://{host}/"} for n, host in enumerate(hosts)]
        return len(set(owners([SyntheticEditor(record, 1, "given", "") for record in records])))

    assert own("u1.casinohub.net", "u2.casinohub.net", "www.casinohub.net", "CASINOHUB.NET:80") == 1
    assert own("u1.casino.co.uk", "u2.casino.co.uk", "poker.co.uk") == 2
    for platform in ("blogspot.com", "github.io", "wordpress.com", "tumblr.com", "livejournal.com"):
        assert own(f"u1.{platform}", f"u2.{platform}", f"u2.{platform}") == 2, platform


def test_mail_providers_of_many_countries_are_nobodys_own(shared_domains: frozenset[str]) -> None:
    assert {"proton.me", "qq.com", "163.com", "naver.com", "libero.it", "icloud.com", "seznam.cz"} <= shared_domains


def test_accounts_of_one_language_have_bios_of_its_letters_and_both_verdicts() -> None:
    made = list(generate_in_language("el", 100, seed=1))
    assert [editor.verdict for editor in made] == [0, 1] * 50
    assert len({editor.record["id"] for editor in made}) == 100
    greek = [re.search("[\u0370-\u03ff]", str(editor.record["bio"])) is not None for editor in made]
    assert sum(greek) >= 80, "some bios are names and links alone"
    assert made == list(generate_in_language("el", 100, seed=1))
    with pytest.raises(KeyError):
        next(generate_in_language("tlh", 1, seed=1))


@pytest.mark.parametrize(
    "call",
    [
        lambda: generate_editors(-1, 0),
        lambda: generate_editors(1, 0, 1.5),
        lambda: generate_campaign(len(CAMPAIGNS), 1, 0),
        lambda: generate_campaign(-1, 1, 0),
        lambda: generate_campaign(0, -1, 0),
        lambda: split_by_host([], -0.1, 0),
    ],
)
def test_impossible_arguments_are_refused_at_once(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="must"):
        call()


def test_nothing_asked_for_nothing_made() -> None:
    assert list(generate_editors(0, seed=1)) == []
    assert list(generate_campaign(0, 0, seed=1)) == []
    assert split_by_host([], 0.5, seed=1) == ([], [])
