"""Accounts of people whose sentences nothing learns: seeded, in many languages, and not the generator's."""

from __future__ import annotations

from collections import Counter

from sb_api.synthetic.people import generate_people, read_sentences
from sb_api.synthetic.phrases import languages


def test_the_same_seed_gives_the_same_accounts() -> None:
    assert list(generate_people(1, 3)) == list(generate_people(1, 3))
    assert list(generate_people(1, 3)) != list(generate_people(1, 4))


def test_each_sentence_is_the_bio_of_so_many_accounts_that_look_like_a_spammers_but_for_it() -> None:
    made = list(generate_people(2, 1))
    assert Counter(editor.record["bio"] for editor in made) == {text: 2 for _, text in read_sentences()}
    assert all(editor.record["website"] and not editor.verdict for editor in made)
    assert len({editor.host for editor in made}) > 0.9 * len(made)


def test_there_are_many_languages_that_the_generator_has_and_none_of_its_sentences() -> None:
    counts = Counter(code for code, _ in read_sentences())
    assert len(counts) >= 25
    assert min(counts.values()) >= 8
    assert counts.keys() <= languages().keys()
    learned = {
        sentence
        for language in languages().values()
        for kind in (language.everyday, language.chat, language.questions, *language.editors.values())
        for sentence in kind
    }
    assert learned.isdisjoint(text for _, text in read_sentences())
