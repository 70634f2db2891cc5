"""The wide member's features are those of plain loops, and the same for what means the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sb_api import preprocessing
from sb_api.config import Settings
from sb_api.models import editor_bins, wide_features
from sb_api.models.classifiers import WIDE_DEEP
from sb_api.models.editor_bins import COLUMNS
from sb_api.models.wide_features import ACCOUNTS, FEATURES, FIELDS, RESERVED, SLOT_FIELDS, SLOTS
from sb_api.records import Editor
from sb_api.synthetic.editors import generate_editors
from sb_api.text.dates import parse_moments
from sb_api.text.hashing import mix
from tests.support.plain_features import plain_features

MAILS = st.sampled_from(["ann@example.org", "spam4u@mail.win-casino.co.uk", "no address", "a@b@c.de", " X@Y.COM. "])
SITES = st.sampled_from(
    [
        "http://win-casino.co.uk/play/now?x=1",
        "www.Example.ORG",
        "https://user.blogspot.com/",
        "1.2.3.4",
        "not a url",
        "/",
    ]
)
BIOS = st.text(max_size=300) | st.sampled_from(
    [
        "Best c-a-s-i-n-o bonus http://x.example",
        "Ich höre gern Musik.\nUnd du?",
        "日本の音楽が好きです",
        "fr\u0435\u0435 &#119;in",
    ]
)
DATES = st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds")) | st.sampled_from(
    ["2024-01-01T10:00:00", "2024-01-01T12:00:00+02:00", "2024-01-01", "2000-W01-1T14:22:08", "2024-01-01T10:00:00.5"]
)
FIELDS_OF_EDITORS = {
    "name": st.text(max_size=120) | st.sampled_from(["casino", "win casino", "ann"]),
    "bio": BIOS | st.just("word " * 700),
    "email": MAILS,
    "website": SITES,
    "area": st.integers(0, 9) | st.sampled_from(["Deutschland", " ", "New York"]),
    "gender": st.integers(0, 3) | st.sampled_from(["male", ""]),
    "privs": st.sampled_from([0, 1, 8192, 4097, 12288, ""]),
    **dict.fromkeys(("birth_date", "member_since", "email_confirm_date", "last_updated", "last_login_date"), DATES),
}
EDITORS = st.lists(
    st.fixed_dictionaries({}, optional={name: st.none() | value for name, value in FIELDS_OF_EDITORS.items()}).map(
        lambda fields: Editor(id=1, **fields)
    ),
    max_size=4,
)


def features(*records: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    editors = [msgspec.convert({"id": 1, **record}, Editor) for record in records]
    buckets = wide_features.wide_features(editors, np.zeros(len(editors), np.bool_))
    return buckets, wide_features.weigh_features(buckets)


def column(buckets: np.ndarray, name: str) -> np.ndarray:
    return buckets[:, [SLOTS - len(COLUMNS) + place for place, called in enumerate(COLUMNS) if called == name]]


@settings(max_examples=60, deadline=None)
@given(EDITORS, st.data())
@example([Editor(id=1), Editor(id=2, bio="x", name="x")], None)
def test_features_are_those_of_plain_loops(editors: list[Editor], data: st.DataObject | None) -> None:
    has_url = np.array([data.draw(st.booleans()) if data else False for _ in editors], np.bool_)
    buckets = wide_features.wide_features(editors, has_url)
    weights = wide_features.weigh_features(buckets)
    plain_buckets, plain_weights = plain_features(editors, has_url.tolist())
    np.testing.assert_array_equal(buckets, plain_buckets)
    np.testing.assert_allclose(weights, plain_weights, rtol=1e-6)


def test_many_editors_have_the_features_of_each_alone() -> None:
    records = [{**editor.record, "id": number} for number, editor in enumerate(generate_editors(150, seed=9))]
    editors = msgspec.convert(records, list[Editor])
    has_url = np.arange(len(editors)) % 2 == 0
    plain_buckets, plain_weights = plain_features(editors, has_url.tolist())
    together = wide_features.wide_features(editors, has_url)
    alone = [wide_features.wide_features([one], has_url[[row]]) for row, one in enumerate(editors)]
    np.testing.assert_array_equal(together, plain_buckets)
    np.testing.assert_array_equal(together, np.concatenate(alone))
    np.testing.assert_allclose(wide_features.weigh_features(together), plain_weights, rtol=1e-6)


def test_editors_in_several_parts_have_what_they_have_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    editors = [Editor(**editor.record) for editor in generate_editors(40, seed=9)]
    vocabularies = WIDE_DEEP.load_vocabularies(Settings())
    whole = WIDE_DEEP.preprocess(editors, vocabularies)
    monkeypatch.setattr(preprocessing, "PART", 16)
    parts = WIDE_DEEP.preprocess(editors, vocabularies)
    assert WIDE_DEEP.vectors is not None
    features = WIDE_DEEP.vectors(editors, vocabularies)[:, preprocessing.VECTOR_LENGTH :]
    np.testing.assert_array_equal(features, whole["feature_input"])
    for name, array in whole.items():
        np.testing.assert_array_equal(parts[name], array)


VISITED = {
    "name": "Ann",
    "bio": "I like music",
    "website": "http://a.example/ann",
    "email": "ann@a.example",
    "area": "New York",
    "gender": "female",
    "birth_date": "1980-01-01",
    "member_since": "2012-03-04T05:06:07",
    "email_confirm_date": "2012-03-04T06:00:00",
    "last_updated": "2013-01-01T00:00:00",
    "last_login_date": "2014-01-01T00:00:00",
}


def places(*records: dict[str, Any]) -> list[tuple[int, int]]:
    return [(first, second) for first, second in wide_features.number_accounts(features(*records)[0]).tolist()]


@pytest.mark.parametrize(
    "changes",
    [
        {"last_login_date": "2024-05-06T07:08:09"},
        {"last_login_date": None},
        {"last_updated": "2024-05-06T07:08:09", "last_login_date": "2024-05-07T07:08:09"},
        {"email_confirm_date": None},
        {"privs": 1},
        {"member_since": "2012-03-04T05:08:00"},
        {"bio": "  I like music\n", "website": " http://a.example/ann", "email": "ann@a.example ", "name": "Ann "},
        {"website": "http://A.Example/ann", "area": "NEW YORK", "gender": "Female"},
    ],
)
def test_the_places_of_an_account_are_the_same_whenever_it_was_seen(changes: dict[str, Any]) -> None:
    (before,) = places(VISITED)
    assert places({"bio": "another"}, VISITED | changes, {}, VISITED)[1::2] == [before, before]


@pytest.mark.parametrize(
    "changes",
    [
        {"bio": "I like musics"},
        {"bio": "music I like"},
        {"bio": None},
        {"name": "Anna"},
        {"website": "http://a.example/bob"},
        {"email": "anna@a.example"},
        {"area": "York"},
        {"gender": "male"},
        {"member_since": "2013-03-04T05:06:07"},
    ],
)
def test_an_account_that_says_something_else_has_other_places(changes: dict[str, Any]) -> None:
    before, after = places(VISITED, VISITED | changes)
    assert before[0] != after[0]
    assert before[1] != after[1]


@settings(max_examples=60, deadline=None)
@given(EDITORS, DATES, DATES)
def test_every_account_has_two_places_that_no_visit_changes(editors: list[Editor], updated: str, login: str) -> None:
    has_url = np.zeros(len(editors), np.bool_)
    visited = [msgspec.structs.replace(one, last_updated=updated, last_login_date=login) for one in editors]
    before, after = (
        wide_features.number_accounts(wide_features.wide_features(some, has_url)) for some in (editors, visited)
    )
    np.testing.assert_array_equal(before, after)
    assert before.shape == (len(editors), 2)
    assert ((before >= 1) & (before < ACCOUNTS)).all()


def test_hardly_two_accounts_share_a_place() -> None:
    found = np.array(places(*(editor.record for editor in generate_editors(400, seed=9))))
    assert all(len(set(column)) >= 398 for column in found.T.tolist())


def test_accounts_that_share_one_place_share_the_other_no_more_than_any() -> None:
    buckets = np.random.default_rng(0).integers(0, FEATURES, (6000, SLOTS), np.int32)
    found = wide_features.number_accounts(buckets) % 100
    for first, second in ((0, 1), (1, 0)):
        of_one = found[found[:, first] == 7, second]
        assert 35 < len(of_one) < 90
        assert len(set(of_one.tolist())) > 0.5 * len(of_one)


def test_what_is_common_is_what_so_many_accounts_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocessing, "PART", 16)
    editors = [Editor(**editor.record) for editor in generate_editors(60, seed=9)]
    has_url = np.zeros(len(editors), np.bool_)
    hashes = wide_features.wide_features(editors, has_url, number=mix).tolist()
    hashed = SLOTS - len(COLUMNS)
    accounts = Counter(value for row in hashes for value in set(row[:hashed]))
    common = wide_features.find_common(editors, has_url, 3)
    assert common[:, hashed:].all(), "a bin is no rare thing"
    assert common[:, :hashed].tolist() == [[accounts[value] >= 3 for value in row[:hashed]] for row in hashes]
    assert 0.05 < common[:, :hashed][np.array(hashes)[:, :hashed] != 0].mean() < 0.95


def test_a_word_that_one_account_repeats_is_no_common_one() -> None:
    editors = [Editor(id=number, bio="rare rare rare" if number else "usual") for number in range(2)]
    common = wide_features.find_common(editors, np.zeros(2, np.bool_), 2)
    filled = wide_features.wide_features(editors, np.zeros(2, np.bool_))[:, : SLOTS - len(COLUMNS)] > 0
    assert filled.any(axis=1).all()
    assert not common[:, : SLOTS - len(COLUMNS)][filled].any()


@settings(max_examples=20, deadline=None)
@given(EDITORS)
def test_every_feature_has_its_place(editors: list[Editor]) -> None:
    buckets = wide_features.wide_features(editors, np.zeros(len(editors), np.bool_))
    weights = wide_features.weigh_features(buckets)
    assert buckets.shape == weights.shape == (len(editors), len(SLOT_FIELDS))
    assert ((weights > 0) == (buckets > 0)).all()
    bins = buckets[:, SLOTS - len(COLUMNS) :]
    assert ((bins > 0) & (bins < RESERVED)).all()
    hashed = buckets[:, : SLOTS - len(COLUMNS)]
    assert ((hashed == 0) | ((hashed >= RESERVED) & (hashed < FEATURES))).all()
    assert editor_bins.BINS < RESERVED
    assert set(FIELDS) == set(SLOT_FIELDS)


FILLINGS = (" ", "\n", "\r\n", "\t", "\xa0", "\u200b \n")
BLANKS = ("\u200b", "\ufeff", "\u3164", "\u2800", "&nbsp;", "\0")
SAME = [
    ({"website": "http://www.last.fm"}, {"website": "https://LAST.FM."}),
    ({"email": "a@Mail.Example.org."}, {"email": "a@mail.example.org"}),
    ({"bio": "Caf\u00e9"}, {"bio": "Cafe\u0301"}),
    ({"bio": "  "}, {}),
    ({"bio": "\ufeff", "name": "\u200b"}, {}),
    ({"bio": "\ufeffmusic"}, {"bio": "music"}),
    ({"bio": "music", "area": None, "gender": ""}, {"bio": " music\n", "area": "", "website": ""}),
    ({"member_since": "2024-01-01T10:00:00"}, {"member_since": "2024-01-01 12:00:00+02:00"}),
    *(({"bio": "best casino\n" + filling * 2_500}, {"bio": "best casino"}) for filling in FILLINGS),
    *(({"bio": filling * 2_500 + "best casino"}, {"bio": "best casino"}) for filling in FILLINGS),
    *(({name: blank}, {}) for name in ("website", "area", "gender", "email") for blank in BLANKS),
    ({"bio": "a\r\nb"}, {"bio": "a\nb"}),
    ({"bio": "ca<b></b>si[b][/b]n<wbr>o"}, {"bio": "casino"}),
    ({"area": 118701}, {"area": "118701"}),
    ({"area": "New  York"}, {"area": "New York"}),
    ({"name": "\u200b" * 300 + "win"}, {"name": "win"}),
    ({"website": "http://a.example/x"}, {"website": "\ufeffhttp:/a.example\\x"}),
    ({"privs": 0}, {"privs": 8192}),
    ({"privs": None}, {"privs": 12288}),
    ({"privs": 1}, {"privs": 8193}),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_meaning_has_the_same_features(one: dict[str, Any], other: dict[str, Any]) -> None:
    buckets, weights = features(one, other)
    np.testing.assert_array_equal(buckets[0], buckets[1])
    np.testing.assert_array_equal(weights[0], weights[1])


def test_trust_is_told_from_none() -> None:
    buckets, _ = features({"privs": 8192}, {"privs": 1}, {"privs": 8193})
    trust = column(buckets, editor_bins.PRIVILEGES)[:, 0]
    assert trust[0] != trust[1] == trust[2]


def test_a_difference_of_minus_one_hour_is_not_never() -> None:
    since = {"member_since": "2024-01-01T10:00:00"}
    buckets, _ = features(
        since, {**since, "last_updated": "2024-01-01T09:00:00"}, {"last_updated": "2024-01-01T09:00:00"}
    )
    never, before, unknown = column(buckets, editor_bins.UPDATED)[:, 0]
    assert before != never == unknown


def test_lengths_of_zero_and_shares_of_nothing_differ() -> None:
    buckets, _ = features({}, {"bio": "abc"}, {"bio": "a1c"})
    digits = column(buckets, editor_bins.CHARACTERS)[:, 0]
    assert len(set(digits.tolist())) == 3


def test_repeated_words_do_not_outweigh_the_others() -> None:
    _, weights = features({"bio": "casino " * 50}, {"bio": "casino music"}, {"bio": "casino"})
    words = weights[:, : int(wide_features.WORDS[0])]
    np.testing.assert_allclose((words**2).sum(axis=1), 1.0, rtol=1e-6)


@given(st.lists(st.none() | st.just("") | DATES, max_size=5), st.booleans())
def test_moments_are_those_of_the_standard_library(dates: list[str | None], many: bool) -> None:
    from tests.support.plain_features import moment

    dates = [*dates, *(["2024-01-01T10:00:00"] * 100 if many else [])]  # many are read together
    expected = [np.nan if moment(date) is None else moment(date) for date in dates]
    np.testing.assert_array_equal(parse_moments(dates), np.array(expected, np.float64))


def test_what_stands_at_the_end_of_a_long_bio_is_read_as_well_as_its_beginning() -> None:
    long, short = (find_bio_words({"bio": text}) for text in ("old records " * 300 + "best casino", "best casino"))
    assert short <= long


def find_bio_words(record: dict[str, Any]) -> set[int]:
    return set(features(record)[0][0, : int(wide_features.WORDS[0])].tolist()) - {0}
