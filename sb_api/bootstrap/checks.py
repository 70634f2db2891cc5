"""Labelled editors looked over before anything is learned from them: what cannot be used, and what should be known."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations

import msgspec
import numpy as np
import numpy.typing as npt

from sb_api.records import DATES, Editor, content_digest
from sb_api.synthetic.editors import SyntheticEditor
from sb_api.text.dates import parse_moments
from sb_api.text.hosts import email_domain, registered_domain, split_email, split_website, website_host
from sb_api.text.words import split_words

# A single feature by which so many of either verdict are told from the others is more likely how they were collected
# than how they are.
TELLS_ALONE = 0.98
SPAMMER = 4096  # of `privs`: a moderator has judged the account already
_PRIVILEGES = 16  # bits of `privs` that are looked at
_FIELDS = ("name", "email", "website", "bio", "area", "gender", *DATES)
_TELLING = ("name", "email", "website", "bio")
_DAY, _MINUTE = 86_400, 60  # seconds
_BEGINNING = 255  # characters: in a longer text the rest is written as its beginning is
_DIGITS, _LETTERS = re.compile(r"\d+"), re.compile(r"[^\W\d_]+")
Numbers = npt.NDArray[np.float64]
Verdicts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Checked:
    """The editors that can be used; why the others are not, by their ids; and what should be known of those used."""

    editors: list[SyntheticEditor]
    unused: list[str]
    warnings: list[str]


def check_editors(editors: Sequence[SyntheticEditor]) -> Checked:
    """Leave out repeated ids and accounts of one content under both verdicts, and find what tells the verdict alone."""
    unused: list[str] = []
    left = _without_contradictions(_without_repeated_ids(editors, unused), unused)
    return Checked(left, unused, [*_find_marked(left), *_find_leaks(left)])


def same_content(editor: SyntheticEditor) -> str:
    """The same for accounts that say the same, in whatever form they say it: the `content_digest` of one form of it."""
    known = {name: _in_one_form(name, value) for name in _FIELDS if (value := editor.record.get(name)) is not None}
    return content_digest(msgspec.convert({"id": 0, **known}, Editor))


def _in_one_form(name: str, value: object) -> object:
    """A value of a field with single blanks, a date in UTC, a website without its scheme, `www.` and a slash at the
    end."""
    if not isinstance(value, str):
        return value
    text = " ".join(value.split())
    if name in DATES:
        try:
            moment = datetime.fromisoformat(text)
            return (moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
        except (ValueError, OverflowError):  # before Christ, or on the last day of the calendar
            return text
    host, page = split_website(text) if name == "website" else ("", "")
    return f"{host}/{page}".rstrip("/") if host else text


def _without_repeated_ids(editors: Sequence[SyntheticEditor], unused: list[str]) -> list[SyntheticEditor]:
    same: dict[str, list[SyntheticEditor]] = defaultdict(list)
    for editor in editors:
        same[str(editor.record["id"])].append(editor)
    kept = []
    for identity, rows in same.items():
        if len({row.verdict for row in rows}) > 1:
            unused.append(f"id {identity[:40]}: stands {len(rows)} times, under both verdicts; none of them is used")
            continue
        kept.append(rows[0])
        if len(rows) > 1:
            unused.append(f"id {identity[:40]}: stands {len(rows)} times; the first is used")
    return kept


def _without_contradictions(editors: Sequence[SyntheticEditor], unused: list[str]) -> list[SyntheticEditor]:
    """Accounts that say nothing look alike, and both verdicts on them are right; they are used."""
    same: dict[str, list[SyntheticEditor]] = defaultdict(list)
    for editor in editors:
        if any(editor.record.get(name) for name in _TELLING):
            same[same_content(editor)].append(editor)
    wrong: set[str] = set()
    for rows in same.values():
        if len({row.verdict for row in rows}) > 1:
            wrong.update(str(row.record["id"]) for row in rows)
            named = ", ".join(f"{row.record['id']} ({'spam' if row.verdict else 'not spam'})" for row in rows[:6])
            more = f" and {len(rows) - 6} more" if len(rows) > 6 else ""
            unused.append(f"ids {named}{more}: the same account under both verdicts; none of them is used")
    return [editor for editor in editors if str(editor.record["id"]) not in wrong]


def _find_marked(editors: Sequence[SyntheticEditor]) -> Iterator[str]:
    marked = Counter(editor.verdict for editor in editors if _privileges(editor) & SPAMMER)
    if marked:
        yield (
            f"{marked[1]} spam accounts and {marked[0]} others have {SPAMMER} (spammer) in `privs`: moderators had "
            "judged them, so it is the verdict itself. --architecture wide-deep-3 does not look at it; lodbrok does, "
            "and new spam will not have it. Export them without it."
        )


def _find_leaks(editors: Sequence[SyntheticEditor]) -> Iterator[str]:
    verdicts = np.array([editor.verdict for editor in editors])
    if len(np.unique(verdicts)) < 2:
        return
    for name, values in _features(editors, verdicts):
        share = _told_by(values, verdicts)
        if share >= TELLS_ALONE:
            yield (
                f"{name} alone tells {share:.1%} of the verdicts (mean of both): it may say how the accounts were "
                "collected, not how spam is. If so, leave it out: the figures below are then too good, and mean "
                "nothing for others."
            )


def _features(editors: Sequence[SyntheticEditor], verdicts: Verdicts) -> Iterator[tuple[str, Numbers]]:
    """What can be asked of an account with one question, by name: a number (n,) each, NaN where it is missing."""
    records = [editor.record for editor in editors]
    for name in _FIELDS:
        yield f"whether `{name}` is set", np.array([record.get(name) not in (None, "") for record in records], float)
    privileges = np.array([*map(_privileges, editors)])
    for bit in range(_PRIVILEGES):
        yield f"the bit {1 << bit} of `privs`", (privileges >> bit & 1).astype(float)
    texts = {name: [str(record.get(name) or "") for record in records] for name in _FIELDS}
    yield from _moment_features({name: parse_moments([date or None for date in texts[name]]) for name in DATES})
    for name in _TELLING:
        yield f"the length of `{name}`", np.array([*map(len, texts[name])], float)
    for name in ("bio", "name"):
        words = [set(split_words(text)) for text in texts[name]]
        if word := _most_telling(words, [editor.verdict for editor in editors]):
            yield f"the word {word[:40]!r} of `{name}`", np.array([word in some for some in words], float)
    mailboxes = [split_email(email)[1][:_BEGINNING] for email in texts["email"]]
    written = {"`name`": texts["name"], "the mailbox of `email`": mailboxes, "`bio`": texts["bio"]}
    for name, some in written.items():
        yield f"the share of capitals in {name}", _shares(some, str.isupper, str.isalpha)
        yield f"the share of digits in {name}", _shares(some, str.isdigit, bool)
    for name, values in _values(texts, mailboxes).items():
        yield f"the {name}", _common_values(values, verdicts)


def _moment_features(moments: Mapping[str, Numbers]) -> Iterator[tuple[str, Numbers]]:
    """Dates (n,), in seconds, by themselves and one after the other."""
    for name, seconds in moments.items():
        yield f"the date `{name}`", seconds
        # Of a bulk import, or of a script that runs at certain times.
        yield f"the time of day of `{name}`", seconds % _DAY
        yield f"the seconds in `{name}`", seconds % _MINUTE
    for (first, begin), (second, end) in combinations(moments.items(), 2):
        yield f"the time from `{first}` to `{second}`", end - begin


def _values(texts: Mapping[str, Sequence[str]], mailboxes: Sequence[str]) -> dict[str, list[str]]:
    """What an account has one of many of, such as a mail domain, of n accounts, by name."""
    hosts = {"email": [*map(email_domain, texts["email"])], "website": [*map(website_host, texts["website"])]}
    values = {f"value of `{name}`": [*texts[name]] for name in ("area", "gender")}
    for name, some in hosts.items():
        values[f"domain of `{name}`"] = [*map(registered_domain, some)]
        values[f"top-level domain of `{name}`"] = [host.rpartition(".")[2] for host in some]
    values["beginning of `website`"] = [website.partition("://")[0][:_BEGINNING] for website in texts["website"]]
    values["mailbox of `email` without its digits"] = [_DIGITS.sub("0", mailbox) for mailbox in mailboxes]
    values["`name` without its digits"] = [_DIGITS.sub("0", name[:_BEGINNING]) for name in texts["name"]]
    for name in ("name", "email", "website", *DATES):
        values[f"form of `{name}`"] = [_form(text[:_BEGINNING]) for text in texts[name]]
    values["first character of `bio`"] = [_form(bio[:1]) for bio in texts["bio"]]
    values["last character of `bio`"] = [_form(bio[-1:]) for bio in texts["bio"]]
    return values


def _form(text: str) -> str:
    """How a text is written, without what it says: `a@a0.a` for ann@host7.org."""
    return _LETTERS.sub("a", _DIGITS.sub("0", text))


def _shares(texts: Sequence[str], counts: Callable[[str], bool], among: Callable[[str], bool]) -> Numbers:
    """The share of some characters among others at the beginnings of n texts (n,); NaN where there are no others."""
    found = [[counts(char) for char in text[:_BEGINNING] if among(char)] for text in texts]
    return np.array([sum(some) / len(some) if some else np.nan for some in found])


def _most_telling(words: Sequence[set[str]], verdicts: Sequence[int]) -> str | None:
    """The word that stands in most texts of one verdict and in fewest of the other; None where there are no words."""
    counts = (Counter[str](), Counter[str]())
    for some, verdict in zip(words, verdicts, strict=True):
        counts[verdict].update(some)
    texts = Counter(verdicts)

    def difference(word: str) -> float:
        return abs(counts[0][word] / texts[0] - counts[1][word] / texts[1])

    # Of equal ones the first in the alphabet: a set has no order that would be the same tomorrow.
    return max(sorted({*counts[0], *counts[1]}), key=difference, default=None)


def _common_values(values: Sequence[str], verdicts: Verdicts) -> Numbers:
    """Values as numbers (n,), in the order of the share of spam among those who have them, in which one border is
    enough (Breiman et al., Classification and Regression Trees, 1984, 4.2.2); NaN where they are rare."""
    counts = Counter(values)
    spam = Counter(value for value, verdict in zip(values, verdicts, strict=True) if verdict)
    common = [value for value in counts if counts[value] >= _least(verdicts)]
    numbers = {value: float(n) for n, value in enumerate(sorted(common, key=lambda each: spam[each] / counts[each]))}
    return np.array([numbers.get(value, np.nan) for value in values])


def _least(verdicts: Verdicts) -> int:
    """Accounts that a value, or an answer, must have at least: what tells fewer is learned by heart."""
    return max(5, len(verdicts) // 50)


def _told_by(values: Numbers, verdicts: Verdicts) -> float:
    """The mean of the shares of both verdicts that the best question of a few about one number tells."""
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.tree import DecisionTreeClassifier

    missing = np.isnan(values)
    columns = np.stack([np.where(missing, 0.0, values), missing], axis=1)
    if (columns == columns[0]).all():
        return 0.5
    tree = DecisionTreeClassifier(
        max_depth=3, min_samples_leaf=_least(verdicts), class_weight="balanced", random_state=0
    )
    return float(balanced_accuracy_score(verdicts, tree.fit(columns, verdicts).predict(columns)))


def _privileges(editor: SyntheticEditor) -> int:
    privileges = editor.record.get("privs")
    return privileges if isinstance(privileges, int) else 0
