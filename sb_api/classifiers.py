"""The classifiers: what differs between them, as data. Everything else is shared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sb_api import networks, preprocessing, scoring
from sb_api.config import Settings
from sb_api.networks import Arrays
from sb_api.records import Editor, Verdict
from sb_api.tokenizers import Vocabularies, load_vocabularies

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Classifier:
    """One kind of record and the network that judges it.

    `labels` are those of a classifier made anew; a trained one goes by the labels that its weights carry, to which the
    `labels` arguments below refer. `preprocess` turns n records into named arrays of n rows, `name_inputs` turns stored
    vectors (n, length) into the same arrays, `target` turns a verdict into the number of its label, `score` is the
    figures of probabilities (n, labels) against n targets, `build` makes the untrained network.
    """

    name: str
    labels: tuple[str, ...]
    record: type[Any]
    verdict: type[Any]
    vocabulary_sizes: Mapping[str, int]
    preprocess: Callable[[Sequence[Any], Vocabularies], Arrays]
    name_inputs: Callable[[Any], Arrays]
    target: Callable[[Any, Sequence[str]], int]
    score: Callable[[Any, Any, Sequence[str]], dict[str, Any]]
    build: Callable[[Sequence[str]], keras.Model]

    def load_vocabularies(self, settings: Settings) -> Vocabularies:
        """The vocabularies of this host: those kept in the state directory, else those shipped."""
        folders = [settings.state / "tokenizers", settings.static / "tokenizers"]
        return load_vocabularies(dict.fromkeys(folders), self.vocabulary_sizes)


CLASSIFIERS = {
    "lodbrok": Classifier(
        name="lodbrok",
        labels=("Non Spam Editor Account", "Spam Editor Account"),
        record=Editor,
        verdict=Verdict,
        vocabulary_sizes={
            "bio": preprocessing.BIO_WORDS,
            "email": preprocessing.EMAIL_DOMAINS,
            "website": preprocessing.WEBSITE_HOSTS,
        },
        preprocess=preprocessing.preprocess_editors,
        name_inputs=preprocessing.name_inputs,
        target=lambda verdict, _: int(verdict.verdict),
        score=lambda targets, scores, _: scoring.score_binary(targets, scores),
        build=lambda _: networks.build_lodbrok(),
    )
}
