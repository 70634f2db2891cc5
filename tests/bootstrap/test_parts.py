"""Synthetic editors are learned a part at a time, and people's accounts say how high the scores are."""

from __future__ import annotations

import numpy as np
import pytest

from sb_api.bootstrap import editors
from sb_api.bootstrap.originals import to_verdicts
from sb_api.config import Settings
from sb_api.models.classifiers import WIDE_DEEP
from sb_api.models.explain_wide import TABLE
from sb_api.models.predictor import Predictor
from sb_api.models.weights_file import Weights
from sb_api.models.weights_store import WeightsStore
from sb_api.synthetic.people import generate_people

SIZE = 300
STEPS = 30  # of each fitting: fewer than are worth while, and enough to move what a part has by itself
LEVEL = "output/bias"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Settings, Weights, list[str]]]:
    """Weights made of one part, of two, and what was said meanwhile."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(editors, "EDITORS_AT_A_TIME", SIZE)
        patch.setattr(editors, "LEAST_STEPS", STEPS)
        for parts in (1, 2):
            settings, lines = Settings(state_dir=str(tmp_path_factory.mktemp("parts"))), list[str]()
            editors.bootstrap_lodbrok(settings, count=parts * SIZE, seed=2, echo=lines.append)
            found[parts] = settings, WeightsStore.of(settings, "lodbrok").load("original"), lines
    return found


def test_the_second_part_is_in_the_wide_member_alone(made: dict[int, tuple[Settings, Weights, list[str]]]) -> None:
    one, two = (made[parts][1] for parts in (1, 2))
    assert {name for name in one.arrays if not np.array_equal(one.arrays[name], two.arrays[name])} == {TABLE, LEVEL}
    only_in_second = (one.arrays[TABLE] == 0) & (two.arrays[TABLE] != 0)
    only_in_first = (one.arrays[TABLE] != 0) & (two.arrays[TABLE] == one.arrays[TABLE] / 2)
    assert min(only_in_first.sum(), only_in_second.sum()) > 100
    assert any(line.startswith("part 2 of 2") for line in made[2][2])


def test_no_host_of_the_held_out_is_learned_in_another_part(
    made: dict[int, tuple[Settings, Weights, list[str]]],
) -> None:
    one, two = (made[parts][1].about.learned for parts in (1, 2))
    assert 0.5 * SIZE < two - one <= SIZE


def test_two_of_a_hundred_people_are_called_spam(made: dict[int, tuple[Settings, Weights, list[str]]]) -> None:
    settings, weights, _ = made[2]
    people = to_verdicts(list(generate_people(editors.ACCOUNTS_OF_A_SENTENCE, 2)))
    scores, errors = Predictor(WIDE_DEEP, weights, WIDE_DEEP.load_vocabularies(settings)).judge(people)
    assert not errors
    assert (scores[:, 1] >= 0.5).mean() == pytest.approx(editors.PEOPLE_CALLED_SPAM, abs=0.002)


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (300, [300]), (301, [151, 150]), (900, [300] * 3)])
def test_the_parts_are_as_large_as_each_other(count: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editors, "EDITORS_AT_A_TIME", SIZE)
    assert editors.part_sizes(count, WIDE_DEEP) == sizes
