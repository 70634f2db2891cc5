"""The original weights are made from editors: the same for the same seed, with all that goes with them."""

from __future__ import annotations

import json
import shutil
from math import ceil
from pathlib import Path

import numpy as np
import pytest

from sb_api.bootstrap.editors import BOOTSTRAPPING, LEAST_ACCOUNTS, MASKED_COPIES, add_masked, from_verdicts
from sb_api.bootstrap.originals import install_vocabularies, install_weights
from sb_api.config import Settings
from sb_api.errors import InvalidRecords, InvalidTokenizer, InvalidWeights
from sb_api.learning.reference_set import load_reference
from sb_api.models.classifiers import LODBROK as CLASSIFIER
from sb_api.models.networks import get_arrays
from sb_api.models.weights_store import WeightsStore
from sb_api.preprocessing import BIO_WORDS, EMAIL_DOMAINS, WEBSITE_HOSTS
from sb_api.readers.batches import open_records
from sb_api.readers.labelled import read_labelled
from sb_api.records import Verdict
from sb_api.synthetic.editors import SyntheticEditor, generate_editors
from sb_api.synthetic.phrases import languages
from tests.support.factories import VOCABULARIES, lodbrok, same_arrays
from tests.support.originals import COUNT, SEED, Made, bootstrap, bootstrap_once

COPIES, RECIPE = MASKED_COPIES["lodbrok"], BOOTSTRAPPING["lodbrok"]


def read_editors(path: Path) -> list[SyntheticEditor]:
    with path.open("rb") as stream:
        batches = open_records(stream, path.name).batches(100)
        return from_verdicts(read_labelled(batches, Verdict, str(path)))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Made from synthetic editors."""
    return bootstrap_once(tmp_path_factory)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled editors as an operator would export them: what is not known is left out."""
    path = tmp_path_factory.mktemp("file") / "editors.jsonl"
    with path.open("w") as lines:
        for editor in generate_editors(600, seed=9):
            known = {name: value for name, value in editor.record.items() if value}
            lines.write(json.dumps({**known, "verdict": editor.verdict, "reporter": "mod"}) + "\n\n")
    return path


def files(made: Made) -> set[str]:
    return {str(path.relative_to(made.settings.state)) for path in made.settings.state.rglob("*") if path.is_file()}


def test_the_same_seed_gives_the_same_weights_and_figures(made: Made, tmp_path: Path) -> None:
    """So that the shipped original can be made anew by anybody."""
    again = bootstrap(tmp_path)
    assert again.figures == made.figures
    assert again.original.about.version == made.original.about.version
    assert same_arrays(again.original.arrays, made.original.arrays)
    assert same_arrays(again.original.optimizer, made.original.optimizer)
    for name in ("tokenizers/bio.json", "tokenizers/email.json", "tokenizers/website.json"):
        assert (again.settings.state / name).read_bytes() == (made.settings.state / name).read_bytes()
    assert again.card == made.card


def test_weights_tokenizers_reference_set_and_model_card_are_written_and_nothing_else(made: Made) -> None:
    assert files(made) == {
        "weights/original_lodbrok.h5",
        "tokenizers/bio.json",
        "tokenizers/email.json",
        "tokenizers/website.json",
        "reference/lodbrok.npz",
        "docs/model-card-lodbrok.md",
    }


def test_the_card_has_a_row_for_each_language_and_says_what_not_to_do(made: Made) -> None:
    rows = [line.split(" | ") for line in made.card.splitlines() if "%" in line and line.count("|") == 6]
    assert [row[0].strip("| ") for row in rows] == sorted(languages())
    scripts = {row[0].strip("| "): row[1] for row in rows}
    assert (scripts["el"], scripts["en"], scripts["hy"]) == ("Greek", "Latin", "other")
    assert "must not be used" in made.card


def test_what_is_made_fits_together(made: Made) -> None:
    about = made.original.about
    assert about.tokenizers == CLASSIFIER.load_vocabularies(made.settings).fingerprint
    assert (about.classifier, about.labels) == ("lodbrok", list(CLASSIFIER.labels))
    assert (about.number, about.parent, about.task) == (0, None, None)
    assert about.figures.keys() == {"held_out", "reference", "bands"}
    assert about.figures["held_out"] == made.figures
    assert set(made.original.arrays) == set(get_arrays(lodbrok()))


def test_it_learns_something_even_from_few(made: Made) -> None:
    assert made.figures["roc_auc"] > 0.85
    assert made.figures["f1"] > 0.7


def test_every_editor_is_learned_from_or_held_out_for_one_purpose(made: Made) -> None:
    """The figures are of editors that neither the fitting nor the thresholds have seen."""
    with np.load(made.settings.state / "reference" / "lodbrok.npz") as file:
        guard, calibration, replay = (file[name] for name in ("vectors", "calibration", "replay"))
    learned, test = made.original.about.learned, made.figures["count"]
    assert learned + test + len(guard) + len(calibration) == COUNT
    assert min(test, len(guard), len(calibration)) > 50
    assert 0.8 < learned / COUNT < 0.9
    assert 0 < len(replay) <= learned
    held_out = {row.tobytes() for row in [*guard, *calibration]}
    # Accounts of which next to nothing is known look alike, and are on both sides.
    assert len(held_out & {row.tobytes() for row in replay}) < 0.2 * len(held_out)


def test_the_reference_set_holds_as_many_of_either_kind(made: Made) -> None:
    reference = load_reference(made.settings.find("reference/lodbrok.npz"), CLASSIFIER).guard
    counts = np.bincount(reference.targets)
    assert len(counts) == 2
    assert counts[0] == counts[1] >= 50
    assert {name: array.shape for name, array in reference.arrays.items()} == {
        "main_input": (len(reference.targets), 9),
        "email_input": (len(reference.targets), 1),
        "website_input": (len(reference.targets), 1),
        "bio_input": (len(reference.targets), 512),
    }


def test_the_scaling_of_the_main_inputs_is_part_of_the_weights(made: Made) -> None:
    """Bio lengths and times by their logarithm, all of them by mean and deviation of what was learned from."""
    arrays = made.original.arrays
    logarithmic = [column for column, unit in enumerate(arrays["main_scaling/log"]) if unit > 0]
    assert {4, 6, 7, 8} <= set(logarithmic) <= {4, 5, 6, 7, 8}
    assert arrays["main_scaling/mean"][4] > 1
    assert (arrays["main_scaling/deviation"] > 0).all()


def test_copies_of_what_is_learned_lack_words_and_nothing_else() -> None:
    vectors = np.random.default_rng(1).uniform(1, 2, (500, 524)).astype(np.float32)
    masked = add_masked(vectors, COPIES, seed=3)
    assert masked.shape == (500 * (1 + COPIES), 524)
    np.testing.assert_array_equal(masked[:500], vectors)
    copies = masked[500:]
    again = np.tile(vectors, (COPIES, 1))
    np.testing.assert_array_equal(copies[:, :12], again[:, :12])
    words, whole = copies[:, 12:], again[:, 12:]
    np.testing.assert_array_equal(words[words != 0], whole[words != 0])
    shares = (words == 0).mean(axis=1)
    assert 0.25 < (shares == 0).mean() < 0.35
    # As often few of the words as most of them.
    assert np.histogram(shares[shares > 0], 4, (0, 1))[0].min() > 150
    assert (shares[:500] != shares[500:1000]).any()


def test_the_optimizer_state_is_kept_for_the_trainings_to_come(made: Made) -> None:
    rows = made.original.about.learned * (1 + COPIES)
    steps = RECIPE.epochs * ceil(rows / RECIPE.batch_size)
    assert made.original.optimizer["adam/iteration"] == steps
    assert any("momentum" in path and array.any() for path, array in made.original.optimizer.items())


def test_the_vocabularies_leave_out_what_few_accounts_have(made: Made) -> None:
    """A domain or host of a handful of accounts tells only who they are."""
    vocabularies = CLASSIFIER.load_vocabularies(made.settings)
    for name, size in (("bio", BIO_WORDS), ("email", EMAIL_DOMAINS), ("website", WEBSITE_HOSTS)):
        assert 0 < len(vocabularies[name].words) <= size
    assert len(vocabularies["bio"].words) == BIO_WORDS
    for name in ("email", "website"):
        assert min(count for _, count in vocabularies[name].words) >= LEAST_ACCOUNTS


def test_the_model_card_says_what_the_figures_are_worth(made: Made) -> None:
    card = made.card
    assert "**Synthetic.**" in card
    assert "No real account was seen." in card
    assert f"seed {SEED}" in card
    assert made.original.about.version in card
    assert made.original.about.tokenizers in card
    assert "759,618 trainable parameters" in card
    for name in ("precision", "recall", "f1", "roc_auc", "accuracy", "false_positives_per_thousand"):
        assert f" {made.figures[name]} " in card
    for row in made.figures["confusion"]:
        assert f"| {row[0]} | {row[1]} |" in card


def test_it_says_what_it_does(made: Made) -> None:
    said = "\n".join(made.lines)
    assert f"making {COUNT} synthetic editors" in said
    assert "no host on both sides" in said
    assert [line for line in made.lines if line.startswith("epoch")] == [
        f"epoch {number + 1} of {RECIPE.epochs}: {made.original.about.learned} editors"
        for number in range(RECIPE.epochs)
    ]
    assert f"f1 {made.figures['f1']}" in said
    assert made.original.about.version in made.lines[-1]


# Reading editors


def test_editors_are_read_as_they_were_written(file: Path) -> None:
    editors = read_editors(file)
    written = list(generate_editors(600, seed=9))
    assert [editor.verdict for editor in editors] == [editor.verdict for editor in written]
    for editor, other in zip(editors, written, strict=True):
        known = {name: value for name, value in other.record.items() if value}
        assert {name: value for name, value in editor.record.items() if name in known} == known


def test_wrong_lines_are_named_by_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "editors.jsonl"
    path.write_bytes(
        b"\n".join(
            [
                b'{"id": 1, "verdict": 1}',
                b'{"id": 2}',
                b"",
                b'{"id": 3, "verdict": 5}',
                b"not json",
                b'{"id": 4, "verdict": 0, "bio": "\xff"}',
                b'{"id": 5, "verdict": 0, "last_updated": "x"}',
                b"[" * 100_000,
                b'{"id": 6, "verdict": 0}',
            ]
        )
    )
    with pytest.raises(InvalidRecords, match=r"6 lines of .* are wrong: line 2: .*verdict") as caught:
        read_editors(path)
    assert list(caught.value.problem()["errors"]) == [f"line {number}" for number in (2, 4, 5, 6, 7, 8)]
    assert len(caught.value.detail) < 1000


# Taking over what was made elsewhere


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory with vocabularies from elsewhere."""
    state = tmp_path_factory.mktemp("installed")
    install_vocabularies(Settings(state_dir=str(state)), VOCABULARIES)
    return state


def test_vocabularies_from_elsewhere_come_with_a_reference_set_made_with_them(installed: Path) -> None:
    settings = Settings(state_dir=str(installed))
    assert CLASSIFIER.load_vocabularies(settings) == VOCABULARIES
    reference = load_reference(settings.find("reference/lodbrok.npz"), CLASSIFIER).guard
    assert len(reference.targets) == 2000
    assert set(np.unique(reference.arrays["email_input"])) <= {1, 2, 1023, 1024}
    assert list(installed.rglob("*.partial")) == []


def test_weights_from_elsewhere_become_the_original(made: Made, tmp_path: Path) -> None:
    """With the vocabularies in use, their figures on the reference set, and a new chain."""
    settings = Settings(state_dir=str(tmp_path))
    install_vocabularies(settings, CLASSIFIER.load_vocabularies(made.settings))
    version = install_weights(settings, made.original.arrays)
    original = WeightsStore.of(settings, "lodbrok").load("original")
    assert original.about.version == version == made.original.about.version
    assert same_arrays(original.arrays, made.original.arrays)
    assert original.about.tokenizers == made.original.about.tokenizers
    assert original.about.figures["reference"]["count"] == 2000
    assert original.about.figures["reference"]["roc_auc"] > 0.8
    assert original.optimizer["adam/iteration"] == 0
    assert WeightsStore.of(settings, "lodbrok").chain().slots["current"] == version


def test_numbers_of_another_network_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    settings = Settings(state_dir=str(tmp_path))
    with pytest.raises(InvalidWeights):
        install_weights(settings, {"dense/kernel": np.zeros((3, 3), np.float32)})
    assert list(tmp_path.iterdir()) == []


def test_vocabularies_that_the_network_has_no_room_for_are_refused_by_whoever_loads_them(
    installed: Path, tmp_path: Path
) -> None:
    settings = Settings(state_dir=str(tmp_path))
    path = shutil.copytree(installed / "tokenizers", tmp_path / "tokenizers") / "email.json"
    path.write_text(json.dumps({"documents": 5000, "words": [[f"{n}.example", 1] for n in range(1023)]}))
    with pytest.raises(InvalidTokenizer, match="1023 words; the network has room for 1022"):
        CLASSIFIER.load_vocabularies(settings)
