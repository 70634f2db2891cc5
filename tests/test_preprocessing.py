"""Editors -> 524 numbers, column by column against values worked out by hand; whatever passes the checks is judged.

`The original` in a docstring is the project that sb_api continues; its known faults are each shown absent.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from math import log
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb_api.config import Settings
from sb_api.json_bodies import decode_records
from sb_api.models.classifiers import CLASSIFIERS
from sb_api.preprocessing import (
    BIO_WORDS,
    EMAIL_DOMAINS,
    NO_EMAIL,
    NO_WEBSITE,
    UNKNOWN_EMAIL,
    UNKNOWN_WEBSITE,
    WEBSITE_HOSTS,
    editor_vectors,
    name_inputs,
    preprocess_editor,
    preprocess_editors,
)
from sb_api.records import Editor, Verdict
from sb_api.synthetic.editors import generate_editors
from sb_api.text.hosts import email_domain, website_host
from sb_api.text.tokenizers import Vocabularies, Vocabulary
from sb_api.text.urls import has_url
from sb_api.text.words import split_words
from tests.support.factories import BIO, EMAIL, VOCABULARIES, WEBSITE, call_network, lodbrok, make_inputs
from tests.support.plain_preprocessing import plain_vectors

VERDICT, AREA, GENDER, BIRTH_DATE, PRIVS, LENGTH, URL, CONFIRM, UPDATE, LOGIN, EMAIL_TOKEN, WEBSITE_TOKEN = range(12)
BIO_START = 12
SINCE = "2000-07-05T14:22:08"


def vector(**fields: Any) -> Any:
    """The 524 numbers of one editor."""
    return editor_vectors([Editor(**{"id": 1, **fields})], VOCABULARIES)[0]


# The layout


def test_the_layout_is_as_specified_column_by_column() -> None:
    verdict = Verdict(
        id=7,
        verdict=1,
        email="Somebody@Spam.Example",
        website="https://Gmail.com/path",
        bio="Visit the casino, the CASINO! http://example.com/",
        area=222,
        privs=3,
        birth_date="1980-01-01",
        member_since=SINCE,
        email_confirm_date="2000-07-05T15:52:08",
        last_updated="2000-07-04T14:22:08",
    )
    expected = np.zeros(524)
    expected[:12] = [
        1,  # verdict
        1,  # area set
        0,  # gender set
        1,  # birth date set
        1,  # privs != 0
        49,  # bio length
        1,  # bio has a URL
        1.5,  # confirm delta
        -24,  # update delta
        -1,  # login delta: no date
        2,  # rank of the e-mail domain spam.example
        3,  # rank of the website host gmail.com
    ]
    # Words: visit, the, casino, the, casino, http, example, com. Nine documents; see factories.py for the counts.
    expected[BIO_START + 2] = (1 + log(2)) * log(1 + 9 / (1 + 5))  # the
    expected[BIO_START + 3] = (1 + log(2)) * log(1 + 9 / (1 + 2))  # casino
    expected[BIO_START + 4] = (1 + log(1)) * log(1 + 9 / (1 + 0))  # visit
    matrix = editor_vectors([verdict], VOCABULARIES)
    assert matrix.shape == (1, 524)
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(matrix[0], expected, rtol=1e-6)


def test_an_editor_of_whom_nothing_is_known_has_the_values_for_nothing() -> None:
    expected = np.zeros(524)
    expected[:12] = [0, 0, 0, 0, 0, 0, 0, -2, -2, -2, 1023, 1024]
    np.testing.assert_array_equal(vector(), expected)


@pytest.mark.parametrize("name", [name for name in Editor.__struct_fields__ if name != "id"])
def test_null_empty_and_absent_give_the_same_numbers(name: str) -> None:
    for known in ({}, {"member_since": SINCE, "bio": "the music", "email": "a@gmail.com", "website": "gmail.com"}):
        others = {field: value for field, value in known.items() if field != name}
        np.testing.assert_array_equal(vector(**others, **{name: None}), vector(**others))
        np.testing.assert_array_equal(vector(**others, **{name: ""}), vector(**others))


@pytest.mark.parametrize(
    "bio",
    [
        "\ufeffVisit the CASINO",
        "Visit\u200b the cas\xadino",
        "Visit the c\u0430sino",
        "Ｖｉｓｉｔ ｔｈｅ 𝐜𝐚𝐬𝐢𝐧𝐨",
        "Visit&#32;the c&#97;sino",
        "Visit\xa0the\u2003casino",
        "V\u0336isit the casino\u0353",
    ],
)
def test_a_disguised_bio_has_the_numbers_of_a_plain_one(bio: str) -> None:
    np.testing.assert_array_equal(vector(bio=bio), vector(bio="Visit the casino"))


def test_words_in_quotes_spelt_out_or_without_blanks_are_found() -> None:
    plain = vector(bio="visit the casino")[BIO_START:]
    for bio in (
        "“visit”—the «casino»…",
        "visit the c-a-s-i-n-o",
        "v i s i t  the c.a.s.i.n.o",
        "官网visit，the注册casino",
    ):
        np.testing.assert_array_equal(vector(bio=bio)[BIO_START:], plain)


def test_composed_or_not_a_bio_has_the_same_numbers() -> None:
    np.testing.assert_array_equal(vector(bio="Caf\xe9 \u1ed9"), vector(bio="Cafe\u0301 o\u0302\u0323"))


def test_the_verdict_is_0_for_an_editor_without_one() -> None:
    verdicts = [Verdict(id=1, verdict=1), Verdict(id=2, verdict=0), Editor(id=3)]
    assert editor_vectors(verdicts, VOCABULARIES)[:, VERDICT].tolist() == [1, 0, 0]


def test_the_verdict_is_no_input_of_the_network() -> None:
    """It would learn to read the answer."""
    spam, editor = (preprocess_editor(Verdict(id=1, verdict=verdict), VOCABULARIES) for verdict in (1, 0))
    assert all(np.array_equal(spam[name], editor[name]) for name in spam)


@pytest.mark.parametrize("value", [1, 0, 222, "Germany", -1])
@pytest.mark.parametrize(("name", "column"), [("area", AREA), ("gender", GENDER)])
def test_area_and_gender_count_as_set_whatever_they_are(name: str, column: int, value: object) -> None:
    assert vector(**{name: value})[column] == 1


@pytest.mark.parametrize(
    ("privs", "expected"), [(None, 0), ("", 0), (0, 0), (1, 1), (1024, 1), (-1, 1), (2**63 - 1, 1)]
)
def test_privileges_count_when_they_are_not_0(privs: Any, expected: int) -> None:
    assert vector(privs=privs)[PRIVS] == expected


def test_the_birth_date_counts_as_set() -> None:
    assert vector(birth_date="1980-01-01")[BIRTH_DATE] == 1


@pytest.mark.parametrize("bio", ["x", "  spaces count  ", "éèü", "\U0001f600" * 3, "a\nb"])
def test_the_length_of_a_bio_is_in_characters(bio: str) -> None:
    assert vector(bio=bio)[LENGTH] == len(bio)


# Dates


@pytest.mark.parametrize(
    ("name", "column"), [("email_confirm_date", CONFIRM), ("last_updated", UPDATE), ("last_login_date", LOGIN)]
)
@pytest.mark.parametrize(
    ("since", "date", "hours"),
    [
        (SINCE, SINCE, 0),
        (SINCE, "2000-07-05T15:22:08", 1),
        (SINCE, "2000-07-05T14:22:07", -1 / 3600),
        (SINCE, "2000-07-05T14:22:08.500000", 0.5 / 3600),
        (SINCE, "2001-07-05T14:22:08", 365 * 24),
        ("2000-07-05", "2000-07-06", 24),
        ("2000-07-05", "2000-07-05T06:00:00", 6),
        # A date without a zone is UTC.
        (SINCE, "2000-07-05T14:22:08Z", 0),
        (SINCE, "2000-07-05T14:22:08+02:00", -2),
        ("2000-07-05T14:22:08+02:00", SINCE, 2),
        ("2000-07-05T14:22:08-03:30", "2000-07-05T14:22:08+05:30", -9),
        ("2000-07-05T00:00:00+14:00", "2000-07-04T10:00:00", 0),
        ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", 87649415.966389),
        ("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", -87649415.966389),
    ],
)
def test_deltas_are_hours_since_member_since(name: str, column: int, since: str, date: str, hours: float) -> None:
    numbers = vector(member_since=since, **{name: date})
    assert numbers[column] == pytest.approx(hours, rel=1e-6)
    assert [numbers[other] for other in (CONFIRM, UPDATE, LOGIN) if other != column] == [-1, -1]


def test_a_missing_date_is_minus_1_and_a_missing_member_since_minus_2() -> None:
    dates = {"email_confirm_date": SINCE, "last_updated": SINCE, "last_login_date": SINCE}
    assert vector(member_since=SINCE)[CONFIRM : LOGIN + 1].tolist() == [-1, -1, -1]
    assert vector(**dates)[CONFIRM : LOGIN + 1].tolist() == [-2, -2, -2]
    assert vector()[CONFIRM : LOGIN + 1].tolist() == [-2, -2, -2]
    assert vector(member_since=SINCE, last_updated=SINCE)[CONFIRM : LOGIN + 1].tolist() == [-1, 0, -1]


# Tokens


@pytest.mark.parametrize(
    ("email", "token"),
    [
        (None, NO_EMAIL),
        ("", NO_EMAIL),
        ("a@gmail.com", 1),
        ("a@GMAIL.COM", 1),
        ("a@gmail.com ", 1),
        ("a@gmail.com.", 1),
        ("a@mx1.eu.spam.example", 2),
        ("a@notgmail.com", UNKNOWN_EMAIL),
        ("a@spam.example", 2),
        ("a@b@gmail.com", 1),
        ('"a@b"@spam.example', 2),
        ("a@elsewhere.org", UNKNOWN_EMAIL),
        ("a@gmail.com.org", UNKNOWN_EMAIL),
        ("gmail.com", UNKNOWN_EMAIL),
        ("a@", UNKNOWN_EMAIL),
        ("@", UNKNOWN_EMAIL),
        ("@@", UNKNOWN_EMAIL),
        ("gmail.com@", UNKNOWN_EMAIL),
        (" ", NO_EMAIL),
    ],
)
def test_the_email_token_is_the_rank_of_the_domain(email: str | None, token: int) -> None:
    """1023: no e-mail; 1024: unknown. A missing one ended in an error in the original."""
    assert vector(email=email)[EMAIL_TOKEN] == token


@pytest.mark.parametrize(
    ("website", "token"),
    [
        (None, NO_WEBSITE),
        ("", NO_WEBSITE),
        ("http://spam.example", 1),
        ("https://spam.example/", 1),
        ("HTTPS://SPAM.EXAMPLE/PATH?q#f", 1),
        ("spam.example", 1),
        ("spam.example/path", 1),
        ("//spam.example/path", 1),
        (" http://spam.example ", 1),
        ("http://user:password@spam.example:8080/", 1),
        ("http://youtube.com/c/x", 2),
        ("http://gmail.com", 3),
        ("http://www.spam.example", 1),
        ("http://spam.example.", 1),
        ("http://shop.eu.spam.example:80/x", 1),
        ("HTTP://SPAM.example", 1),
        ("http://notspam.example", UNKNOWN_WEBSITE),
        ("http://elsewhere.org/spam.example", UNKNOWN_WEBSITE),
        ("http://", UNKNOWN_WEBSITE),
        ("http://[::1", UNKNOWN_WEBSITE),
        ("http://[foo]/", UNKNOWN_WEBSITE),
        ("http://ex\u2100mple.com", UNKNOWN_WEBSITE),
        ("http://spam.example:port/", 1),
        ("no website at all", UNKNOWN_WEBSITE),
        ("\x00", NO_WEBSITE),
    ],
)
def test_the_website_token_is_the_rank_of_the_host(website: str | None, token: int) -> None:
    """1023: unknown; 1024: no website. The other way round than for e-mail domains, as in the original."""
    assert vector(website=website)[WEBSITE_TOKEN] == token


def test_the_special_tokens_are_those_of_the_original() -> None:
    assert (NO_EMAIL, UNKNOWN_EMAIL, UNKNOWN_WEBSITE, NO_WEBSITE) == (1023, 1024, 1023, 1024)


def test_no_rank_of_a_full_vocabulary_is_a_special_token() -> None:
    def full(size: int) -> Vocabulary:
        return Vocabulary(5000, tuple((f"{number}.example", 1) for number in range(1, size + 1)))

    vocabularies = Vocabularies({"bio": BIO, "email": full(EMAIL_DOMAINS), "website": full(WEBSITE_HOSTS)})
    editors = [Editor(id=n, email=f"a@{n}.example", website=f"{n}.example") for n in range(1, 1024)]
    tokens = editor_vectors(editors, vocabularies)[:, [EMAIL_TOKEN, WEBSITE_TOKEN]]
    assert tokens[:1021].tolist() == [[n, n] for n in range(1, 1022)]
    assert tokens[1021:].tolist() == [[1022, UNKNOWN_WEBSITE], [UNKNOWN_EMAIL, UNKNOWN_WEBSITE]]


def test_the_website_token_does_not_come_from_the_email_domain() -> None:
    """It did in the original."""
    for email in ("a@gmail.com", "a@spam.example", "a@youtube.com", None):
        assert vector(email=email, website="http://youtube.com")[WEBSITE_TOKEN] == 2
        assert vector(email=email)[WEBSITE_TOKEN] == NO_WEBSITE
    for website in ("http://youtube.com", "http://gmail.com", None):
        assert vector(email="a@gmail.com", website=website)[EMAIL_TOKEN] == 1


def test_domain_and_host_are_looked_up_each_in_its_own_vocabulary() -> None:
    numbers = vector(email="a@spam.example", website="http://spam.example")
    assert (EMAIL.ranks["spam.example"], WEBSITE.ranks["spam.example"]) == (2, 1)
    assert (numbers[EMAIL_TOKEN], numbers[WEBSITE_TOKEN]) == (2, 1)


def test_domains_and_hosts_are_lower_cased_alike() -> None:
    assert email_domain("X@ÉXAMPLE.Com") == email_domain("x@éxample.com") == "xn--xample-9ua.com"
    assert website_host("http://ÉXAMPLE.Com/") == website_host("http://éxample.com") == "xn--xample-9ua.com"


@pytest.mark.parametrize(
    "website",
    [
        "example.com/path?a=//b",
        "Example.com?next=http://elsewhere.example/",
        "example.com//path",
        "user@example.com:80/a//b",
        " HTTPS://example.com//a",
        "//example.com/a",
        "web+x.y-z://example.com",
    ],
)
def test_slashes_elsewhere_do_not_hide_the_host_of_a_website(website: str) -> None:
    assert website_host(website) == "example.com"


# Bio


@pytest.mark.parametrize("filtered", list('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'))
def test_the_filter_characters_of_keras_separate_words(filtered: str) -> None:
    assert split_words(f"{filtered}Music{filtered}the{filtered}") == ["music", "the"]


@pytest.mark.parametrize("kept", ["don't", "naïve", "2024", "日本", "a\u200db", "€5"])
def test_other_characters_are_part_of_words(kept: str) -> None:
    assert split_words(f"The {kept}.") == ["the", kept]


@pytest.mark.parametrize("space", [" ", "  ", "\t", "\r\n", "\u00a0", "\u3000"])
def test_words_are_split_at_white_space_of_any_kind(space: str) -> None:
    assert split_words(f"the{space}music") == ["the", "music"]


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_tf_idf_is_that_of_the_keras_tokenizer(count: int) -> None:
    """(1 + ln(count)) ln(1 + documents / (1 + documents with the word))."""
    numbers = vector(bio="casino " * count)
    assert numbers[BIO_START + 3] == pytest.approx((1 + log(count)) * log(1 + 9 / 3), rel=1e-6)
    assert np.flatnonzero(numbers[BIO_START:]).tolist() == [3]


def test_words_that_are_not_in_the_vocabulary_count_for_nothing_but_the_length() -> None:
    numbers = vector(bio="nothing known here")
    assert not numbers[BIO_START:].any()
    assert numbers[LENGTH] == 18


def test_a_full_vocabulary_fills_columns_1_to_511_and_never_column_0() -> None:
    words = [f"w{number}" for number in range(1, BIO_WORDS + 1)]
    bio = Vocabulary(1000, tuple((word, 1) for word in words))
    vocabularies = Vocabularies({"bio": bio, "email": EMAIL, "website": WEBSITE})
    columns = editor_vectors([Editor(id=1, bio=" ".join(words))], vocabularies)[0, BIO_START:]
    assert len(columns) == 512
    assert np.flatnonzero(columns).tolist() == list(range(1, 512))


MILLION = [
    "x" * 10**6,
    "a@b.com," * 125_000,
    "a.b " * 250_000,
    ".com" * 250_000,
    "a.com " * 166_666,
    " ".join(f"a{number}.com." for number in range(90_000)),
    "http://" * 142_857,
    "." * 10**6,
    "localhost" * 111_111,
    "é.é" * 333_333,
    "the " * 250_000,
    "\n.com\t" * 160_000,
    "((((([[[[[" * 100_000,
    "\U0001f600.\U0001f600 " * 250_000,
    " ".join(map(str, range(145_000))),
]


@pytest.mark.parametrize("text", MILLION, ids=[text[:10].encode("unicode_escape").decode() for text in MILLION])
@pytest.mark.parametrize("name", ["bio", "website", "email"])
def test_a_text_of_a_million_characters_is_judged_in_seconds(name: str, text: str) -> None:
    """Whatever it is made of: nobody may hold up a classify process."""
    has_url("warm.example.com")
    start = time.process_time()
    numbers = vector(**{name: text})
    assert time.process_time() - start < 5
    assert np.isfinite(numbers).all()


# Whatever passes the checks

offsets = st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59))
zones = (
    st.none() | st.just(UTC) | offsets.map(lambda offset: timezone(timedelta(minutes=offset // timedelta(minutes=1))))
)
moments = st.datetimes(timezones=zones) | st.sampled_from([datetime.min, datetime.max])
dates = st.one_of(
    st.sampled_from(["", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999-23:59", "2000-W01-1"]),
    moments.map(datetime.isoformat),
    st.dates().map(str),
)
pieces = st.sampled_from(
    [
        "@",
        ".",
        "/",
        "://",
        "http",
        "www.",
        "[",
        "]",
        ":",
        "%",
        "#",
        "?",
        "com",
        "gmail.com",
        "\x00",
        "\u2100",
        " ",
        "the",
        "music ",
        "\u2003casino\xa0",
        "Visit\x1c",
        "MUSIC\x00",
        "İ",
        "\u212a",
    ]
)
texts = st.text(max_size=40) | st.lists(pieces | st.text(max_size=3), max_size=12).map("".join)
numbers = st.integers(-(2**63), 2**63 - 1)
editors = st.builds(
    Editor,
    id=st.just(1),
    **{name: st.none() | texts for name in ("email", "website", "bio")},
    **{name: st.none() | numbers | texts for name in ("area", "gender")},
    privs=st.none() | numbers | st.just(""),
    **{
        name: st.none() | dates
        for name in ("birth_date", "member_since", "email_confirm_date", "last_updated", "last_login_date")
    },
)


@given(editors)
@settings(max_examples=150)
def test_any_record_that_passes_the_checks_gives_524_finite_numbers(editor: Editor) -> None:
    (sound,) = decode_records(msgspec.json.encode([editor]), Editor, 1).all_sound()
    matrix = editor_vectors([sound], VOCABULARIES)
    assert matrix.shape == (1, 524)
    assert np.isfinite(matrix).all()
    assert matrix[0, BIO_START] == 0
    assert 1 <= matrix[0, EMAIL_TOKEN] <= 1024
    assert 1 <= matrix[0, WEBSITE_TOKEN] <= 1024
    assert set(matrix[0, [VERDICT, AREA, GENDER, BIRTH_DATE, PRIVS, URL]]) <= {0, 1}


@given(st.lists(editors, max_size=5))
@settings(max_examples=50)
def test_a_record_gives_the_same_numbers_alone_and_among_others(batch: list[Editor]) -> None:
    """Half of each training batch was memory that nobody had written, in the original."""
    dated = {"member_since": "2000-07-05T14:22:08", "last_updated": "2001-07-05T14:22:09"}
    batch += [Editor(id=number, **dated) for number in range(10)]  # so many dates are read together
    together = editor_vectors(batch, VOCABULARIES)
    assert together.shape == (len(batch), 524)
    for row, editor in zip(together, batch, strict=True):
        np.testing.assert_array_equal(row, editor_vectors([editor], VOCABULARIES)[0])


@given(st.lists(editors, max_size=6))
@settings(max_examples=150)
def test_a_batch_has_the_numbers_of_the_plain_loop(batch: list[Editor]) -> None:
    """To the bit: weights are trained on vectors of either."""
    np.testing.assert_array_equal(editor_vectors(batch, VOCABULARIES), plain_vectors(batch, VOCABULARIES))


def test_made_up_editors_have_the_numbers_of_the_plain_loop() -> None:
    vocabularies = CLASSIFIERS["lodbrok"].load_vocabularies(Settings())
    batch = [Editor(**made.record) for made in generate_editors(500, seed=4)]
    np.testing.assert_array_equal(editor_vectors(batch, vocabularies), plain_vectors(batch, vocabularies))


def test_every_row_of_a_large_batch_is_written() -> None:
    editors = [Editor(id=number, bio="x" * number, member_since=SINCE) for number in range(1, 1001)]
    matrix = editor_vectors(editors, VOCABULARIES)
    assert matrix[:, LENGTH].tolist() == list(range(1, 1001))
    assert not matrix[:, BIO_START:].any()


# Inputs by name


def test_the_inputs_are_named_parts_of_the_vector() -> None:
    vectors = np.arange(2 * 524, dtype=np.float32).reshape(2, 524)
    inputs = name_inputs(vectors)
    assert {name: array.shape for name, array in inputs.items()} == {
        "main_input": (2, 9),
        "email_input": (2, 1),
        "website_input": (2, 1),
        "bio_input": (2, 512),
    }
    assert inputs["main_input"][0].tolist() == list(range(1, 10))
    assert inputs["email_input"][:, 0].tolist() == [10, 524 + 10]
    assert inputs["website_input"][:, 0].tolist() == [11, 524 + 11]
    assert inputs["bio_input"][0].tolist() == list(range(12, 524))
    assert {name for name, array in inputs.items() if array.dtype == np.int32} == {"email_input", "website_input"}


def test_prediction_and_training_see_the_same_inputs() -> None:
    """The original swapped e-mail and website at prediction, and not in training."""
    fields = {"email": "a@spam.example", "website": "http://youtube.com/", "bio": "the casino", "member_since": SINCE}
    predicted = CLASSIFIERS["lodbrok"].preprocess([Editor(id=1, **fields)], VOCABULARIES)
    trained = CLASSIFIERS["lodbrok"].preprocess([Verdict(id=1, verdict=1, **fields)], VOCABULARIES)
    replayed = CLASSIFIERS["lodbrok"].name_inputs(editor_vectors([Verdict(id=1, verdict=1, **fields)], VOCABULARIES))
    assert (predicted["email_input"].item(), predicted["website_input"].item()) == (2, 2)
    for other in (trained, replayed):
        assert other.keys() == predicted.keys()
        assert all(np.array_equal(other[name], predicted[name]) for name in predicted)


def test_the_network_tells_email_and_website_apart() -> None:
    """Had anybody swapped the two columns on the way, the scores would differ: they are not interchangeable."""
    vectors = editor_vectors([Editor(id=1, email="a@gmail.com", website="http://youtube.com/")], VOCABULARIES)
    swapped = vectors.copy()
    swapped[:, [EMAIL_TOKEN, WEBSITE_TOKEN]] = vectors[:, [WEBSITE_TOKEN, EMAIL_TOKEN]]
    assert vectors[0, EMAIL_TOKEN] != vectors[0, WEBSITE_TOKEN]
    network = lodbrok()
    scores = call_network(network, name_inputs(vectors))
    assert np.abs(scores - call_network(network, name_inputs(swapped))).max() > 1e-6


def test_the_network_goes_by_the_names_of_its_inputs_not_by_their_order() -> None:
    network = lodbrok()
    inputs = make_inputs(5)
    scores = call_network(network, inputs)
    np.testing.assert_array_equal(call_network(network, dict(reversed(inputs.items()))), scores)
    np.testing.assert_array_equal(call_network(network, dict(sorted(inputs.items()))), scores)


def test_one_editor_is_a_batch_of_one() -> None:
    editor = Editor(id=1, email="a@gmail.com", bio="music")
    one, many = preprocess_editor(editor, VOCABULARIES), preprocess_editors([editor], VOCABULARIES)
    assert all(np.array_equal(one[name], many[name]) for name in many)
    assert {len(array) for array in one.values()} == {1}


def test_no_editors_are_no_rows() -> None:
    assert editor_vectors([], VOCABULARIES).shape == (0, 524)
