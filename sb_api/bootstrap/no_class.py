"""What belongs to no class: messages made up for it, and the probability below which a message is of none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from random import Random
from statistics import median
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from sb_api.arrays import Scores, Targets
from sb_api.models.calibration import allowed_false_positives
from sb_api.preprocessing import message_features, message_words
from sb_api.records import LabelledMessage
from sb_api.synthetic.nothing import Nothing, generate_nothing, split_nothing

# The wish: of each kind of what fits no class at least so much is refused, and no more of the right answers is lost for
# it. Of each kind, because what is easily told apart, such as other languages, would make up for what is not.
LEAST_REFUSED, MOST_LOST = 0.7, 0.02
FEW_OF_A_KIND = 30  # messages of which no share can be told
DIGITS = 6  # of a threshold
OWN = "own"  # the kind of messages of no class that are not made up
# Shares of what is refused that a share of the right answers is worth: not more, because what people write is harder to
# tell apart than what is made up, and a step that refuses some more of the latter refuses more than that of the former.
PRICE = 3.0
# Made, and of all kinds if so many would be learned.
LEAST_MADE, MOST_MADE, MOST_OF_ALL_KINDS = 200, 5_000, 8_000
CLAIMED = 0.5  # the share of made-up messages from which on a class that claims them is for all that fits no other
LIKE = 0.5  # the cosine of two texts' words from which the one may well belong to the class of the other
CHUNK = 500  # texts that are compared with all others at once
UNSEEN_SHARE = 0.4
CLASSES_OF_THEM = 10  # that are learned: no more than so many classes have messages on average, nor than there are
CURVE = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # shares of the right answers lost, of a curve's points

Messages = Sequence[LabelledMessage]


class NoClass(NamedTuple):
    """Made-up messages of no class: to learn, to choose by, to measure on; none is a variation of one in another. There
    are none where a class of the data is for all that fits no other, the `catch_all`. `kinds` are theirs by their
    texts."""

    learned: list[LabelledMessage]
    chosen_by: list[LabelledMessage]
    measured: list[LabelledMessage]
    catch_all: str | None = None
    kinds: Mapping[str, str] = MappingProxyType({})

    def kinds_of(self, messages: Messages) -> list[str]:
        """The kinds of n messages of no class, made up or not."""
        return [self.kinds.get(message.text, OWN) for message in messages]


class Choice(NamedTuple):
    """A threshold, the share that it refuses of that kind of what fits no class of which it refuses least, and of the
    right answers that it costs."""

    threshold: float
    refused: float
    lost: float

    @property
    def keeps_the_wish(self) -> bool:
        return self.refused >= LEAST_REFUSED and self.lost <= MOST_LOST


def make_no_class(messages: Messages, seed: int, kinds: Collection[str] = ()) -> NoClass:
    """Made-up messages that belong to no class of n messages, about as many as these, of some `kinds` if not of all.
    What is much like one of them is left out: it may be of its class. None are made where most of them would be of a
    class such as *other*: to learn that they are not would be to unlearn that class."""
    # With more of them little would be learned but to refuse.
    most = min(len(messages), CLASSES_OF_THEM * len(messages) // max(1, len({message.label for message in messages})))
    count = MOST_MADE if kinds else max(MOST_MADE, min(2 * most, MOST_OF_ALL_KINDS))
    made = list(generate_nothing(max(LEAST_MADE, min(count, 2 * len(messages))), seed))
    made = [one for one in made if not kinds or one.kind in kinds]
    if catch_all := _find_catch_all([message.text for message in made], messages, seed):
        return NoClass([], [], [], catch_all)
    unlike = _find_unlike([message.text for message in made], [message.text for message in messages])
    learned, unseen = split_nothing([made[place] for place in unlike], UNSEEN_SHARE, seed)
    chosen_by, measured = split_nothing(unseen, 0.5, seed)
    learned = learned[:most]
    kinds = {one.text: one.kind for one in made}
    return NoClass(_of_no_class(learned), _of_no_class(chosen_by), _of_no_class(measured), None, kinds)


def _of_no_class(made: Sequence[Nothing]) -> list[LabelledMessage]:
    return [LabelledMessage(id=n, text=one.text, label=None) for n, one in enumerate(made)]


def _find_catch_all(texts: Sequence[str], messages: Messages, seed: int) -> str | None:
    """The class of n messages that claims at least `CLAIMED` of some texts that are about nothing, by a linear
    classifier of words and their pairs. None where no class does, or there are but two: each is what the other is not.

    No class is learned with more messages than the middle one of them has, or the largest would claim what nobody
    knows.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC

    by_class: dict[str, list[str]] = defaultdict(list)
    for message in messages:
        if message.label is not None:
            by_class[message.label].append(message.text)
    if len(by_class) < 3 or not texts:
        return None
    random, most = Random(seed), int(median(map(len, by_class.values())))
    drawn = {label: random.sample(mine, min(most, len(mine))) for label, mine in by_class.items()}
    learned = [(text, label) for label, mine in drawn.items() for text in mine]
    vectorizer = TfidfVectorizer(analyzer=_words_and_pairs, sublinear_tf=True)
    rows = vectorizer.fit_transform([text for text, _ in learned])
    classifier = LinearSVC(random_state=0).fit(rows, [label for _, label in learned])
    shares = (classifier.decision_function(vectorizer.transform(texts)) > 0).mean(axis=0)
    place = int(shares.argmax())
    return str(classifier.classes_[place]) if shares[place] >= CLAIMED else None


def _find_unlike(texts: Sequence[str], others: Sequence[str]) -> list[int]:
    """The places of those texts that share few words and pairs of words with each of the others."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer=_words_and_pairs, sublinear_tf=True)
    rows = vectorizer.fit_transform([*texts, *others]).tocsr()
    mine, theirs = rows[: len(texts)], rows[len(texts) :].T.tocsc()
    found: list[int] = []
    for start in range(0, len(texts), CHUNK):
        nearest = (mine[start : start + CHUNK] @ theirs).max(axis=1).toarray().ravel()
        found += (start + np.flatnonzero(nearest < LIKE)).tolist()
    return found


def _words_and_pairs(text: str) -> list[str]:
    return message_features(message_words(text))[0]


def find_right(targets: Targets, scores: Scores) -> Scores:
    """The probabilities of the right ones among the answers of n scores (n, labels), ascending."""
    return np.sort(scores.max(axis=1)[scores.argmax(axis=1) == targets])


class Unlearned(NamedTuple):
    """What a network says of messages that it has not learned: the probabilities of answers that are right, ascending,
    and the largest ones of messages that fit no class, with their kinds."""

    right: Scores
    outside: Scores
    kinds: list[str]

    def join(self, other: Unlearned) -> Unlearned:
        right = np.sort(np.concatenate([self.right, other.right]))
        return Unlearned(right, np.concatenate([self.outside, other.outside]), [*self.kinds, *other.kinds])


def measure_crosswise(parts: tuple[Unlearned, Unlearned]) -> dict[str, Any]:
    """What a threshold is worth that both parts choose together: the shares that are `refused`, also of the `kinds`,
    and `lost` when each part is measured by what the other one alone chooses. None where there is nothing to measure
    on."""
    right, outside = [], []
    for chosen_by, measured in (parts, parts[::-1]):
        threshold = choose_threshold(*chosen_by).threshold
        right.append(measured.right < threshold)
        outside.append(measured.outside < threshold)
    lost, refused = np.concatenate(right), np.concatenate(outside)
    of_kinds = divide_by_kind(refused.astype(np.float32), [kind for part in parts[::-1] for kind in part.kinds])
    return {
        "refused": round(float(refused.mean()), 6) if len(refused) else None,
        **({"kinds": {kind: round(float(each.mean()), 6) for kind, each in of_kinds.items()}} if of_kinds else {}),
        "lost": round(float(lost.mean()), 6) if len(lost) else None,
    }


def choose_threshold(right: Scores, outside: Scores, kinds: Sequence[str] = ()) -> Choice:
    """The threshold that suits the wish best, by the probabilities of answers that are right, ascending, and the
    largest ones of messages that fit no class, of some `kinds`; both of messages that were not learned.

    No more of them are lost than shows, with a confidence of 90%, that of others no more than `MOST_LOST` would be;
    where they are too few to show it, none. Of the thresholds that keep the wish so it is the one that refuses most for
    its price. Where none does, as much is refused as that allows. Where there is nothing to refuse, nothing is lost.

    The least sure of few right answers is no border, as others are less sure: where none is to be lost, the threshold
    is no higher than it has to be for what it refuses.
    """
    if not len(right):
        return Choice(0.0, 0.0, 0.0)
    if not len(outside):
        return _choose(right, [], 0)
    told_apart = [outside, *divide_by_kind(outside, kinds).values()]
    most = max(0, allowed_false_positives(len(right), MOST_LOST))
    choices = [_choose(right, told_apart, place) for place in range(most + 1)]
    kept = [choice for choice in choices if choice.keeps_the_wish]
    best = max(kept, key=lambda choice: choice.refused - PRICE * choice.lost) if kept else choices[-1]
    return best if most else _lower(best, outside)


def _lower(choice: Choice, outside: Scores) -> Choice:
    """The lowest threshold of `DIGITS` that refuses what this one does, if that is anything."""
    refused = outside[outside < choice.threshold]
    if not len(refused):
        return choice
    above = (int(float(refused.max()) * 10**DIGITS) + 1) / 10**DIGITS
    return choice._replace(threshold=min(choice.threshold, above))


def divide_by_kind(outside: Scores, kinds: Sequence[str]) -> dict[str, Scores]:
    """The scores of n messages by their kinds, but for kinds of few messages."""
    names, each = np.unique(np.array(kinds, str), return_inverse=True)
    divided = {str(name): outside[each == place] for place, name in enumerate(names)}
    return {name: scores for name, scores in divided.items() if len(scores) >= FEW_OF_A_KIND}


def _choose(right: Scores, outside: Sequence[Scores], lost: int) -> Choice:
    """The threshold that loses so many right answers; what it refuses is told of the messages refused least."""
    threshold = float(right[lost])
    refused = min((_share_below(threshold, scores) for scores in outside), default=0.0)
    return Choice(threshold, refused, lost / len(right))


def _share_below(threshold: float, scores: Scores) -> float:
    return float((scores < threshold).mean())


def measure_threshold(threshold: float, right: Scores, outside: Scores) -> dict[str, Any]:
    """What a threshold is worth on the probabilities of right answers, ascending, and on the largest ones of `count`
    messages that fit no class: the shares that are `refused` of these and `lost` of the right answers, beside what is
    wished, and as a `curve` what other thresholds would give. None where there is nothing to measure on."""
    return {
        "wished": {"refused": LEAST_REFUSED, "lost": MOST_LOST},
        "count": len(outside),
        "refused": round(_share_below(threshold, outside), 6) if len(outside) else None,
        "lost": round(_share_below(threshold, right), 6) if len(right) else None,
        "curve": _draw_curve(right, outside),
    }


def describe_refusal(figures: Mapping[str, Any]) -> str:
    """The sentence on what a threshold refuses and costs, of what `measure_threshold` gives; `kept` in it says whether
    any threshold keeps the wish, `catch_all` which class is for all that fits no other, and `kinds` what is refused of
    each kind."""
    if figures.get("catch_all") is not None:
        said = (
            f"What fits no other class is of {figures['catch_all']!r}: made-up messages about nothing are like its own."
        )
        rest = {name: value for name, value in figures.items() if name != "catch_all"}
        return said if figures["refused"] is None else f"{said} {describe_refusal(rest)}"
    if figures["refused"] is None or figures["lost"] is None:
        return "Nothing could be measured of what fits no class."
    wished, kinds = figures["wished"], figures.get("kinds", {})
    least = f" ({min(kinds.values()):.0%} of the kind refused least)" if kinds else ""
    told = (
        f"Of {figures['count']} messages that fit no class {figures['refused']:.0%}{least} are refused, at "
        f"{figures['lost']:.1%} of the right answers lost; wished are at least {wished['refused']:.0%} at no more than "
        f"{wished['lost']:.0%}."
    )
    if not figures.get("kept", True):
        return f"{told} No threshold gives both: this one costs no more."
    # Each half alone chose so; where there are few, that is less than they know together.
    return f"{told} More messages would choose the threshold better." if figures["lost"] > wished["lost"] else told


def _draw_curve(right: Scores, outside: Scores) -> list[dict[str, float]]:
    """What the threshold may be: at each share of the right answers that is lost, how much is refused of what fits no
    class."""
    if not len(right) or not len(outside):
        return []
    choices = (_choose(right, [outside], lost) for lost in dict.fromkeys(int(share * len(right)) for share in CURVE))
    return [{name: round(value, 6) for name, value in choice._asdict().items()} for choice in choices]
