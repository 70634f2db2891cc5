"""What fits no class: the threshold is chosen by a stated wish, on messages that belong to no class of the data."""

from __future__ import annotations

import numpy as np
import pytest

from sb_api.bootstrap import no_class
from sb_api.bootstrap.no_class import (
    LEAST_REFUSED,
    MOST_LOST,
    Unlearned,
    choose_threshold,
    describe_refusal,
    find_right,
    make_no_class,
    measure_crosswise,
    measure_threshold,
)
from sb_api.records import LabelledMessage
from sb_api.synthetic.nothing import generate_nothing

RIGHT = np.linspace(0.5, 1, 1001)[:1000]  # so that each of them is a share of 0.1%
KNOWN = 13  # so many lost of 1,000 show with a confidence of 90% that of others no more than 2% would be


def label(*texts: str) -> list[LabelledMessage]:
    return [LabelledMessage(id=n, text=text, label="a class") for n, text in enumerate(texts)]


def message(text: str, name: str) -> LabelledMessage:
    return LabelledMessage(id=text, text=text, label=name)


def test_the_threshold_refuses_what_is_wished_and_loses_no_more_than_that() -> None:
    outside = np.concatenate([np.full(80, 0.5049), np.full(20, 0.99)])
    choice = choose_threshold(RIGHT, outside)
    assert (choice.refused, choice.lost) == (0.8, 0.01)
    assert choice.keeps_the_wish
    assert np.count_nonzero(choice.threshold > RIGHT) == 1000 * choice.lost
    assert choice.lost <= MOST_LOST


def test_so_few_are_lost_that_others_are_not_either() -> None:
    """What is 2% of those that chose the threshold may by chance be more of others; of few, none is lost."""
    assert choose_threshold(RIGHT, np.full(100, 0.9)).lost == KNOWN / 1000
    assert choose_threshold(RIGHT[::20], np.full(100, 0.9)).lost == 0.0
    rng = np.random.default_rng(1)
    lost = []
    for _ in range(300):
        # Of answers that are spread evenly between 0 and 1, a threshold is the share that it loses.
        lost.append(choose_threshold(np.sort(rng.random(600)), np.full(100, 0.9)).threshold)
    assert np.mean(np.array(lost) <= MOST_LOST) > 0.88


def test_few_right_answers_do_not_raise_the_threshold_above_what_it_has_to_refuse() -> None:
    """The least of 50 is no border: one in fifty is less sure. The least of 1,000 is one."""
    outside = np.concatenate([np.full(99, 0.3), np.full(1, 0.99)])
    few, many = choose_threshold(RIGHT[::20], outside), choose_threshold(RIGHT, outside)
    assert few == (0.300001, 0.99, 0.0)
    assert np.mean(outside < few.threshold) == 0.99
    assert many == (0.5, 0.99, 0.0)
    assert choose_threshold(RIGHT[::20], np.full(100, 0.9)).threshold == 0.5


def test_no_right_answer_is_lost_for_little() -> None:
    outside = np.concatenate([np.full(90, 0.1), np.full(1, 0.5042), np.full(9, 0.99)])
    choice = choose_threshold(RIGHT, outside)
    assert (choice.threshold, choice.refused, choice.lost) == (0.5, 0.9, 0.0)


def test_where_the_wish_cannot_be_kept_no_more_is_lost_all_the_same() -> None:
    choice = choose_threshold(RIGHT, np.full(100, 0.9))
    assert not choice.keeps_the_wish
    assert choice.lost == KNOWN / 1000
    assert choose_threshold(RIGHT[:0], np.full(100, 0.9)).threshold == 0.0


def test_what_is_easily_told_apart_does_not_make_up_for_what_is_not() -> None:
    """Each kind is to be refused as often as is wished; one of few messages tells nothing."""
    outside = np.concatenate([np.full(2900, 0.1), np.full(60, 0.5049), np.full(40, 0.99), np.full(9, 0.99)])
    kinds = ["foreign"] * 2900 + ["chat"] * 100 + ["words"] * 9
    assert choose_threshold(RIGHT, outside).lost == 0.0
    choice = choose_threshold(RIGHT, outside, kinds)
    assert (choice.refused, choice.lost, choice.keeps_the_wish) == (0.6, KNOWN / 1000, False)


def test_what_one_half_chooses_is_measured_on_the_other() -> None:
    low, high = RIGHT, RIGHT + 0.2
    kinds = ["chat"] * 40 + ["foreign"] * 60
    outside = np.concatenate([np.full(40, 0.6), np.full(60, 0.1)])
    measured = measure_crosswise((Unlearned(low, outside, kinds), Unlearned(high, outside, kinds)))
    # The second half's threshold is 0.7: it refuses all, and costs the first half 40% of its right answers.
    assert (measured["refused"], measured["lost"]) == (0.8, 0.2)
    assert measured["kinds"] == {"chat": 0.5, "foreign": 1.0}
    told = describe_refusal({"count": 200, "wished": {"refused": 0.7, "lost": 0.02}, **measured})
    assert "80% (50% of the kind refused least) are refused, at 20.0%" in told
    assert told.endswith("More messages would choose the threshold better.")
    nothing = Unlearned(np.zeros(0), np.zeros(0), [])
    assert measure_crosswise((nothing, nothing)) == {"refused": None, "lost": None}


def test_the_kinds_of_made_up_messages_are_known_by_their_texts() -> None:
    made = make_no_class(label(*(f"refund order {n} please" for n in range(100))), 1)
    kinds = [one.kind for one in generate_nothing(300, 1)]
    assert set(made.kinds_of(made.chosen_by)) <= set(kinds)
    assert made.kinds_of(label("what nobody made up")) == ["own"]


def test_only_right_answers_count_as_lost() -> None:
    scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]])
    np.testing.assert_array_equal(find_right(np.array([0, 0, 1]), scores), [0.7, 0.9])


def test_what_a_threshold_is_worth_is_measured_and_told() -> None:
    targets, scores = np.array([0, 0, 1, 1]), np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]])
    measured = measure_threshold(0.65, find_right(targets, scores), np.array([0.5, 0.6, 0.7, 0.99]))
    assert (measured["count"], measured["refused"], measured["lost"]) == (4, 0.5, 0.25)
    assert measured["curve"] == [{"threshold": 0.6, "refused": 0.25, "lost": 0.0}]
    told = describe_refusal(measured)
    assert told.startswith("Of 4 messages that fit no class 50% are refused, at 25.0% of the right answers lost")
    assert f"at least {LEAST_REFUSED:.0%}" in told
    assert "No threshold" in describe_refusal({**measured, "kept": False})
    assert "Nothing" in describe_refusal(measure_threshold(0.5, find_right(targets, scores), np.zeros(0)))


def test_made_up_messages_are_of_no_class_and_what_may_be_of_one_is_left_out() -> None:
    messages = label(*(f"refund order {n} please" for n in range(100)))
    made = make_no_class(messages, 1)
    parts = made[:3]
    assert all(len(part) > 10 and all(message.label is None for message in part) for part in parts)
    assert made.catch_all is None
    assert make_no_class(messages, 1) == made
    like = next(message.text for message in made.learned if len(message.text.split()) > 3)
    others = make_no_class([*messages[1:], *label(like.upper())], 1)[:3]
    texts, before = ({message.text for part in made for message in part} for made in (others, parts))
    assert like in before - texts
    assert len(before - texts) < 10


def test_more_are_made_up_where_more_are_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(no_class, "MOST_MADE", 250)

    def count_made(classes: int) -> tuple[int, int]:
        made = make_no_class([message(f"refund order {n} please", str(n % classes)) for n in range(300)], 1)
        return len(made.learned), sum(map(len, made[:3]))

    learned, made = count_made(6)
    assert learned > 250
    assert made > 500
    learned, made = count_made(60)
    assert learned == no_class.CLASSES_OF_THEM * 300 // 60
    assert made <= 250


def test_where_a_class_is_for_all_that_fits_no_other_none_are_made_up() -> None:
    wants = {"refunds": "refund order {} please", "parcels": "where is parcel {} of mine", "keys": "key {} is lost"}
    asked = [message(want.format(n), name) for name, want in wants.items() for n in range(40)]
    chat = [message(one.text, "other") for one in generate_nothing(300, 2)]
    assert make_no_class(asked, 1).catch_all is None
    assert make_no_class([*asked, *chat], 1)[:4] == ([], [], [], "other")
    # Of two classes, each is what the other is not.
    assert make_no_class([*asked[:40], *chat], 1).catch_all is None

    choice = choose_threshold(RIGHT, np.zeros(0))
    assert (choice.threshold, choice.lost) == (RIGHT[0], 0.0)
    measured = measure_threshold(0.4, np.array([0.9]), np.zeros(0))
    assert describe_refusal({**measured, "catch_all": "other"}).startswith("What fits no other class is of 'other'")
    assert "Nothing" not in describe_refusal({**measured, "catch_all": "other"})
