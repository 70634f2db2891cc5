"""What the shipped weights say of what people paste into a profile, and of adverts that hide among innocent words."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec
import numpy as np
import pytest

from sb_api.models.predictor import Predictor
from sb_api.records import Editor
from sb_api.synthetic.editors import generate_editors
from sb_api.synthetic.people import read_sentences
from tests.support.service import Shipped

NEW = {
    "privs": 8192,
    "email": "pat@gmail.com",
    "member_since": "2024-05-01T10:00:00",
    "email_confirm_date": "2024-05-01T10:12:00",
    "last_updated": "2024-05-01T10:20:00",
    "last_login_date": "2024-05-02T10:00:00",
}
PASTED = [
    "Tape 1, side A\n1. Blue Monday 7:29\n2. Age of Consent 5:16\n3. Your Silent Face 6:00\n"
    "Side B\n4. 586 7:31\n5. Leave Me Alone 4:40",
    "Top 5:\n* Kid A 5/5\n* Low 5/5\n* Spirit of Eden 4/5\n* Laughing Stock 5/5\n* Remain in Light 4/5",
    "Seen live: 14.06.1997 Radiohead (RDS), 03.09.2003 Sigur Ros, 21.11.2008 Leonard Cohen, 30.07.2012 Low",
    "My first tape, still the best:\n01 - Intro (0:52)\n02 - River Man (4:21)\n03 - Cello Song (4:49)\n"
    "04 - Thoughts of Mary Jane (3:22)",
    "e|-----0-----0-----|\nB|---1---1---1---1-|\nG|-----2-----2-----|\nD|---2---2---2---2-|\nA|-0---------------|\nE|-----------------|",
    "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQENBFd3bH0BCAC1xZ4kq0pJ8wq3aM2hT7vY5nQe9rL6sD1fG8jK0lZ3xC5vB7nM\n"
    "qW2eR4tY6uI8oP0aS1dF3gH5jK7lZ9xC2vB4nM6qW8eR0tY1uI3oP5aS7dF9gH2j\n-----END PGP PUBLIC KEY BLOCK-----",
    "Wanted on vinyl: FACT 75, 4AD CAD 709, WARPLP92, Creation CRELP 076, ECM 1064; doubles of SST 134",
    "last played: Nick Drake (1971), Vashti Bunyan (1970), Karen Dalton (1969), Jackson C. Frank (1965)",
    "1. beatles 2. stones 3. kinks 4. who 5. small faces 6. them 7. animals 8. zombies",
    "https://musicbrainz.org/release/4f3b1a52-9c37-4d0e-8a14-2a5f6a2f0c11 is mine",
]


def judge(model: Predictor, bios: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    editors = [msgspec.convert({"id": number, **NEW, "bio": bio}, Editor) for number, bio in enumerate(bios)]
    scores, _ = model.judge(editors)
    return scores[:, 1], model.bands(scores)


def test_lists_codes_tablature_and_keys_are_no_spam(shipped: Shipped) -> None:
    scores, bands = judge(shipped.model, PASTED)
    assert "certain spam" not in bands
    assert (scores >= 0.5).sum() <= 1, dict(zip(PASTED, scores.round(3).tolist(), strict=True))


@pytest.mark.parametrize(("before", "after"), [(0, 6), (6, 0), (3, 3)])
def test_an_advert_is_seen_among_innocent_sentences_wherever_it_stands(
    before: int, after: int, shipped: Shipped
) -> None:
    """Of which more than half of the account's bio is made; a few hundred characters fill what can be looked at."""
    english = [text for language, text in read_sentences() if language == "en"]
    spam = [editor.record for editor in generate_editors(2500, seed=77) if editor.verdict and editor.record["bio"]]
    random = Random(5)

    def recall(before: int, after: int) -> float:
        padded = []
        for record in spam:
            said = random.sample(english, before + after)
            bio = " ".join([*said[:before], str(record["bio"]), *said[before:]])
            padded.append(msgspec.convert({**record, "bio": bio}, Editor))
        return float((shipped.model.judge(padded)[0][:, 1] >= 0.5).mean())

    assert recall(before, after) >= 0.75 * recall(0, 0)
