"""The classify process: what it answers is what the network says, and one bad record spoils nothing but itself."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from sb_api import classify, preprocessing
from sb_api.broker.jobs import BULK, SMALL, Answer, Claim, Job
from sb_api.broker.shared_state import Broker, Published
from sb_api.classify import Judging, count_labels, judge_claims, load_current, refresh_predictors
from sb_api.config import Settings
from sb_api.errors import InvalidWeights, Unavailable
from sb_api.judgements import Judged
from sb_api.models.calibration import calibrated
from sb_api.models.predictor import RECENT, Predictor
from sb_api.models.weights_file import Weights, dump_weights, named
from sb_api.processes.claiming import SmallFirst
from sb_api.processes.worker import Worker
from sb_api.records import Message, encode_payload
from sb_api.text.tokenizers import Vocabularies, Vocabulary
from tests.conftest import join, wait_until
from tests.support.jobs import Jobs
from tests.support.service import NOT_SPAM, SHIPPED, SPAM, Bare, Service, as_editors, clean_environment, make_editors

FAILED_REASON = "it cannot be turned into numbers"
SPOILT = 13  # the id of a record that the next fixture makes unreadable


@pytest.fixture
def spoilt(bare: Bare, monkeypatch: pytest.MonkeyPatch) -> Predictor:
    """A model whose preprocessing chokes on one record."""

    def preprocess(records: Sequence[Any], vocabularies: Vocabularies) -> Any:
        if any(record.id == SPOILT for record in records):
            raise OverflowError("of ours")
        return SHIPPED.preprocess(records, vocabularies)

    monkeypatch.setattr(bare.model, "classifier", replace(SHIPPED, preprocess=preprocess))
    return bare.model


@pytest.fixture
def models(bare: Bare, monkeypatch: pytest.MonkeyPatch) -> dict[str, Predictor]:
    """The models of a classify process that knows one classifier."""
    monkeypatch.setattr(classify, "CLASSIFIERS", {"lodbrok": SHIPPED})
    return {"lodbrok": bare.model}


def make_claim(
    records: Sequence[Any], number: int, classifier: str = "lodbrok", body: bytes | None = None, keep: int = 0
) -> Claim:
    body = encode_payload(records) if body is None else body
    job = Job(task=str(number), operation="predict", classifier=classifier, body=body, keep=keep)
    return Claim(SMALL, str(number).encode(), job)


def scores_of(answer: Answer) -> np.ndarray[Any, Any]:
    assert isinstance(answer.data, Judged)
    return np.array(answer.data.scores, np.float32)


def make_others(bare: Bare, number: int = 1) -> Weights:
    """Weights that differ from the original's."""
    arrays = {path: array * 0.9 if "output" in path else array for path, array in bare.original.arrays.items()}
    return named(replace(bare.original, arrays=arrays), number)


def publish(jobs: Jobs, weights: Weights, vocabularies: Vocabularies, file: bytes | None = None) -> None:
    documents = {name: vocabulary.to_json() for name, vocabulary in vocabularies.by_name.items()}
    file = dump_weights(weights) if file is None else file
    jobs.registry.publish("lodbrok", Published(weights.about.version, file, documents, b"", b""))


# One model


@pytest.mark.parametrize("count", [1, 2, 9, 70])
def test_it_judges_as_the_network_does(count: int, bare: Bare) -> None:
    editors = as_editors(make_editors(count))
    scores, errors = bare.model.judge(editors)
    inputs = SHIPPED.preprocess(editors, bare.model.vocabularies)
    raw = bare.fitting.network(dict(inputs), training=False).numpy()
    expected = calibrated(raw, bare.original.about.temperature)
    assert scores.shape == (count, 2)
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert errors == {}
    assert count == 1 or len(set(scores[:, 1])) > 1


@pytest.mark.parametrize("part", [512, 6])
def test_a_record_that_cannot_be_preprocessed_is_named_and_the_others_are_judged(
    part: int, spoilt: Predictor, bare: Bare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preprocessing, "PART", part)
    editors = as_editors(make_editors(20))
    scores, errors = spoilt.judge(editors)
    assert errors == {SPOILT: FAILED_REASON}
    assert np.isnan(scores[SPOILT]).all()
    sound = [position for position in range(20) if position != SPOILT]
    inputs = SHIPPED.preprocess([editors[position] for position in sound], bare.model.vocabularies)
    np.testing.assert_allclose(scores[sound], bare.model.score(inputs), atol=1e-6)


def test_when_every_record_is_spoilt_every_one_is_named(spoilt: Predictor) -> None:
    scores, errors = spoilt.judge(as_editors([{"id": SPOILT}]))
    assert scores.shape == (1, 2)
    assert list(errors) == [0]


def test_a_fault_that_is_of_no_one_record_is_raised(bare: Bare, monkeypatch: pytest.MonkeyPatch) -> None:
    def preprocess(records: Sequence[Any], vocabularies: Vocabularies) -> Any:
        if len(records) > 1:
            raise MemoryError
        return SHIPPED.preprocess(records, vocabularies)

    monkeypatch.setattr(bare.model, "classifier", replace(SHIPPED, preprocess=preprocess))
    with pytest.raises(MemoryError):
        bare.model.judge(as_editors(make_editors(2)))


def test_a_score_that_is_no_number_is_an_error_of_its_record(bare: Bare, monkeypatch: pytest.MonkeyPatch) -> None:
    def preprocess(records: Sequence[Any], vocabularies: Vocabularies) -> Any:
        arrays = dict(SHIPPED.preprocess(records, vocabularies))
        arrays["main_input"] = arrays["main_input"].copy()
        arrays["main_input"][1] = np.inf
        return arrays

    monkeypatch.setattr(bare.model, "classifier", replace(SHIPPED, preprocess=preprocess))
    scores, errors = bare.model.judge(as_editors(make_editors(3)))
    assert errors == {1: "its score is not a finite number"}
    assert np.isfinite(scores[[0, 2]]).all()


def test_weights_that_were_trained_with_other_tokenizers_are_refused(bare: Bare) -> None:
    editors = as_editors(make_editors(5))
    before, _ = bare.model.judge(editors)
    others = Vocabularies({**bare.model.vocabularies.by_name, "bio": Vocabulary(1, (("music", 1),))})
    with pytest.raises(InvalidWeights, match="trained with other tokenizers"):
        bare.model.swap(make_others(bare), others)
    assert bare.model.version == bare.original.about.version
    np.testing.assert_array_equal(bare.model.judge(editors)[0], before)


def test_weights_of_another_network_are_refused_and_the_old_ones_kept(bare: Bare) -> None:
    editors = as_editors(make_editors(5))
    before, _ = bare.model.judge(editors)
    others = make_others(bare)
    path = "output/kernel"
    with pytest.raises(InvalidWeights, match=path):
        bare.model.swap(
            replace(others, arrays={**others.arrays, path: others.arrays[path][:, :1]}), bare.model.vocabularies
        )
    assert bare.model.version == bare.original.about.version
    np.testing.assert_array_equal(bare.model.judge(editors)[0], before)


# Several jobs


def test_every_job_of_a_batch_gets_the_scores_of_its_own_records(bare: Bare) -> None:
    editors = as_editors(make_editors(80))
    batches = [editors[:1], editors[1:4], editors[4:74], editors[74:]]
    answers = judge_claims({"lodbrok": bare.model}, [make_claim(batch, n) for n, batch in enumerate(batches)])
    assert [answer.status for answer in answers] == ["completed"] * 4
    for batch, answer in zip(batches, answers, strict=True):
        np.testing.assert_allclose(scores_of(answer), bare.model.judge(batch)[0][:, 1], atol=1e-6)
        assert answer.data.version == bare.original.about.version
        assert answer.data.errors == {}


def test_entries_of_two_streams_that_have_the_same_id_are_answered_each_with_its_own(bare: Bare) -> None:
    """Redis numbers entries by the millisecond, for each stream by itself."""
    few, many = as_editors(make_editors(3)), as_editors(make_editors(50, 3))
    one = make_claim(few, 7)
    other = msgspec.structs.replace(make_claim(many, 7), stream=BULK)
    for claims in ([one, other], [other, one]):
        answers = dict(
            zip([claim.stream for claim in claims], judge_claims({"lodbrok": bare.model}, claims), strict=True)
        )
        np.testing.assert_allclose(scores_of(answers[SMALL]), bare.model.judge(few)[0][:, 1], atol=1e-6)
        np.testing.assert_allclose(scores_of(answers[BULK]), bare.model.judge(many)[0][:, 1], atol=1e-6)


def test_a_spoilt_record_is_an_error_of_its_own_job_at_its_own_place(spoilt: Predictor) -> None:
    editors = as_editors(make_editors(20))
    batches = [editors[:10], editors[10:15], editors[15:]]
    answers = judge_claims({"lodbrok": spoilt}, [make_claim(batch, n) for n, batch in enumerate(batches)])
    assert [list(answer.data.errors) for answer in answers] == [[], [SPOILT - 10], []]
    assert np.isfinite(scores_of(answers[0])).all()
    assert np.isfinite(scores_of(answers[2])).all()


def test_a_job_whose_result_is_kept_is_answered_in_the_words_of_the_client(bare: Bare) -> None:
    editors = as_editors(make_editors(3))
    (answer,) = judge_claims({"lodbrok": bare.model}, [make_claim(editors, 1, keep=60)])
    scores, _ = bare.model.judge(editors)
    assert answer.data["predictions"] == {
        str(editor.id): SPAM if row[1] > row[0] else NOT_SPAM for editor, row in zip(editors, scores, strict=True)
    }
    assert answer.data["scores"] == {
        str(editor.id): pytest.approx(float(row[1]), abs=1e-6) for editor, row in zip(editors, scores, strict=True)
    }
    assert answer.data["weights"] == bare.original.about.version


def test_a_kept_answer_names_the_records_that_could_not_be_judged(spoilt: Predictor) -> None:
    (answer,) = judge_claims({"lodbrok": spoilt}, [make_claim(as_editors(make_editors(20)), 1, keep=60)])
    assert answer.data["errors"] == {str(SPOILT): {"field": "", "detail": FAILED_REASON}}
    assert len(answer.data["scores"]) == 19


@pytest.mark.parametrize(
    ("unreadable", "status", "told"),
    [
        (make_claim([], 7, classifier="nobody"), 503, "does not know the classifier 'nobody'"),
        (make_claim([], 7, body=b"\xc1"), 500, "cannot be read"),
        (make_claim([], 7, body=encode_payload([{"email": 5}])), 500, "cannot be read"),
    ],
    ids=["unknown classifier", "not msgpack", "not editors"],
)
def test_a_job_that_cannot_be_read_fails_alone(unreadable: Claim, status: int, told: str, bare: Bare) -> None:
    sound = make_claim(as_editors(make_editors(2)), 1)
    first, bad, last = judge_claims({"lodbrok": bare.model}, [sound, unreadable, replace_entry(sound, 2)])
    assert bad.status == "failed"
    assert bad.problem is not None
    assert (bad.problem["status"], told in bad.problem["detail"]) == (status, True)
    np.testing.assert_array_equal(scores_of(first), scores_of(last))


def replace_entry(claim: Claim, number: int) -> Claim:
    return msgspec.structs.replace(claim, entry=str(number).encode())


# Long tasks


PATIENT = 60.0  # seconds that a slice may take


def judge_in_slices(judging: Judging, claim: Claim) -> tuple[Answer, int]:
    """The answer to a long task, and how many calls it took."""
    for call in range(1, 1000):
        (answer,) = judging.do([claim])
        if answer is not None:
            return answer, call
    raise AssertionError


def make_long(editors: Sequence[Any], number: int = 1) -> Claim:
    claim = make_claim(editors, number, keep=60)
    job = msgspec.structs.replace(claim.job, records=len(editors))
    return msgspec.structs.replace(claim, job=job, stream=BULK)


def test_a_long_task_is_judged_slice_by_slice_and_told_as_if_it_were_judged_at_once(bare: Bare) -> None:
    editors = as_editors(make_editors(100))
    judging = Judging({"lodbrok": bare.model}, 32, PATIENT)
    answer, calls = judge_in_slices(judging, make_long(editors))
    (whole,) = judge_claims(judging.predictors, [make_claim(editors, 1, keep=60)])
    assert calls == 4
    assert answer.status == "completed"
    assert answer.data.keys() == whole.data.keys()
    assert list(answer.data["scores"]) == list(whole.data["scores"])
    assert answer.data["scores"] == pytest.approx(whole.data["scores"], abs=1e-6)
    assert {name: answer.data[name] for name in ("predictions", "bands", "weights")} == {
        name: whole.data[name] for name in ("predictions", "bands", "weights")
    }


def test_a_long_task_whose_records_take_long_is_judged_in_slices_of_few(bare: Bare) -> None:
    """Of 20,000 characters each, 128 took half a second, for which what was small waited."""
    editors = as_editors(make_editors(40))
    judging = Judging({"lodbrok": bare.model}, 32, seconds=1e-9)
    answer, calls = judge_in_slices(judging, make_long(editors))
    assert calls == 1 + 8
    assert list(answer.data["scores"]) == [str(editor.id) for editor in editors]


def test_a_long_task_waits_until_the_short_ones_that_came_with_it_are_judged(bare: Bare) -> None:
    editors = as_editors(make_editors(50))
    judging = Judging({"lodbrok": bare.model}, 32, PATIENT)
    long, short = make_long(editors, 1), make_claim(editors[:3], 2)
    (none, first), (again,) = judging.do([long, short]), judging.do([long])
    assert none is again is None
    assert first is not None
    np.testing.assert_array_equal(scores_of(first), scores_of(judge_claims(judging.predictors, [short])[0]))
    assert judging.do([long])[0] is not None


def test_a_long_task_names_the_records_that_could_not_be_judged(spoilt: Predictor) -> None:
    answer, _ = judge_in_slices(Judging({"lodbrok": spoilt}, 10, PATIENT), make_long(as_editors(make_editors(40))))
    assert answer.data["errors"] == {str(SPOILT): {"field": "", "detail": FAILED_REASON}}
    assert len(answer.data["scores"]) == 39


def test_a_long_task_is_judged_by_one_version_though_the_weights_change_meanwhile(bare: Bare) -> None:
    """By that of its first slice; by another from the beginning, if that one is no longer at hand."""
    editors = as_editors(make_editors(64))
    judging = Judging({"lodbrok": bare.model}, 16, PATIENT)
    claims = [make_long(editors, number) for number in range(2)]
    (before,) = judge_claims(judging.predictors, [make_claim(editors, 1, keep=60)])
    assert [judging.do([claim]) for claim in claims] == [[None], [None]]
    bare.model.swap(make_others(bare, 1), bare.model.vocabularies)
    answer, calls = judge_in_slices(judging, claims[0])
    assert (answer.data["weights"], calls) == (bare.original.about.version, 3)
    assert answer.data["scores"] == pytest.approx(before.data["scores"], abs=1e-6)
    for number in range(2, 2 + RECENT):
        bare.model.swap(make_others(bare, number), bare.model.vocabularies)
    (after,) = judge_claims(judging.predictors, [make_claim(editors, 1, keep=60)])
    answer, calls = judge_in_slices(judging, claims[1])
    assert (answer.data["weights"], calls) == (bare.model.version, 4)
    assert answer.data["scores"] == pytest.approx(after.data["scores"], abs=1e-6)


def test_a_long_task_that_cannot_be_read_fails(bare: Bare) -> None:
    claim = make_long(as_editors(make_editors(20)))
    for job in (
        msgspec.structs.replace(claim.job, body=b"nothing"),
        msgspec.structs.replace(claim.job, classifier="other"),
    ):
        (answer,) = Judging({"lodbrok": bare.model}, 10, PATIENT).do([msgspec.structs.replace(claim, job=job)])
        assert answer is not None
        assert answer.status == "failed"


# Which weights


def test_while_none_are_published_it_waits_and_says_so(jobs: Jobs) -> None:
    """A worker of its own judged by the shipped weights, whatever the others had learned, and all looked well."""
    models: dict[str, Predictor] = {}
    with pytest.raises(Unavailable, match=r"No weights of lodbrok are published yet.*SB_API_UNPUBLISHED_WEIGHTS=on"):
        refresh(jobs, models)
    assert not models


def test_what_an_older_train_process_does_not_publish_keeps_nothing_else_waiting(jobs: Jobs, bare: Bare) -> None:
    """A release with one more classifier comes to workers first."""
    models = {"lodbrok": bare.model, "intent": bare.model}
    assert refresh_predictors(jobs.broker, models, dict.fromkeys(models, bare.model.version)).keys() == models.keys()
    claims = [make_claim(as_editors(make_editors(1)), 1), make_claim([Message(id=1, text="hm")], 2, "sentiment")]
    (sound, refused) = judge_claims(models, claims)
    assert (sound.status, refused.status) == ("completed", "failed")
    assert refused.problem is not None
    assert refused.problem["status"] == 503
    with pytest.raises(Unavailable, match="No weights of sentiment are published yet"):
        refresh_predictors(jobs.broker, models, {})


def test_while_none_are_published_it_works_with_this_hosts_files_if_it_may(jobs: Jobs, bare: Bare) -> None:
    knowing = msgspec.structs.replace(jobs.settings, unpublished_weights="on")
    weights, vocabularies = load_current(Broker.of(jobs.redis, knowing), SHIPPED)
    assert weights.about == bare.original.about
    assert vocabularies == bare.model.vocabularies


def test_a_host_without_files_works_with_what_is_published(jobs: Jobs, bare: Bare) -> None:
    words = Vocabulary(3, (("published", 2),))
    vocabularies = Vocabularies({"bio": words, "email": words, "website": words})
    others = make_others(bare)
    others = replace(others, about=msgspec.structs.replace(others.about, tokenizers=vocabularies.fingerprint))
    publish(jobs, others, vocabularies)
    weights, found = load_current(jobs.broker, SHIPPED)
    assert weights.about == others.about
    assert found == vocabularies
    np.testing.assert_array_equal(weights.arrays["output/kernel"], others.arrays["output/kernel"])


def refresh(jobs: Jobs, models: dict[str, Predictor]) -> dict[str, str]:
    return refresh_predictors(jobs.broker, models, jobs.registry.published_versions(models))


def test_published_weights_are_swapped_in_between_two_batches(
    jobs: Jobs, bare: Bare, models: dict[str, Predictor]
) -> None:
    claim = make_claim(as_editors(make_editors(5)), 1)
    assert refresh(jobs, models) == {"lodbrok": bare.original.about.version}
    (before,) = judge_claims(models, [claim])
    others = make_others(bare)
    publish(jobs, others, bare.model.vocabularies)
    assert refresh(jobs, models) == {"lodbrok": others.about.version}
    (after,) = judge_claims(models, [claim])
    assert (before.data.version, after.data.version) == (bare.original.about.version, others.about.version)
    assert (scores_of(before) != scores_of(after)).all()
    publish(jobs, bare.original, bare.model.vocabularies)
    refresh(jobs, models)
    np.testing.assert_array_equal(scores_of(judge_claims(models, [claim])[0]), scores_of(before))


@pytest.mark.parametrize("damage", ["file", "tokenizers"])
def test_published_weights_that_cannot_be_used_change_nothing_and_are_logged(
    damage: str, jobs: Jobs, bare: Bare, models: dict[str, Predictor], caplog: pytest.LogCaptureFixture
) -> None:
    others = make_others(bare)
    if damage == "file":
        publish(jobs, others, bare.model.vocabularies, dump_weights(others)[:-1000])
    else:
        words = Vocabulary(3, (("other", 2),))
        publish(jobs, others, Vocabularies({"bio": words, "email": words, "website": words}))
    assert refresh(jobs, models) == {"lodbrok": bare.original.about.version}
    assert f"still working with the weights {bare.original.about.version}" in caplog.text


# A process that dies

KILLED_WITH_A_CLAIM = """
import os, signal
from sb_api import classify
from sb_api.config import load_settings

classify.refresh_predictors = lambda *_: {"lodbrok": "1"}
classify.judge_claims = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
classify.classify_process(load_settings())
"""


def test_a_classify_process_killed_between_claim_and_answer_loses_nothing(
    jobs: Jobs, settings: Settings, models: dict[str, Predictor]
) -> None:
    editors = as_editors(make_editors(3))
    jobs.submit(SMALL, [make_claim(editors, number, keep=60).job for number in range(3)])
    environment = clean_environment(SB_API_REDIS_URL=settings.redis_url, SB_API_STATE_DIR=settings.state_dir)
    killed = subprocess.run([sys.executable, "-c", KILLED_WITH_A_CLAIM], env=environment, timeout=30, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert jobs.pending(SMALL) == 3
    (expected,) = judge_claims(models, [make_claim(editors, 1, keep=60)])
    worker = Worker(
        jobs,
        "classify",
        SmallFirst(),
        do=lambda claims: judge_claims(models, claims),
        refresh=lambda published: refresh_predictors(jobs.broker, models, published),
    )
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: all((answer := jobs.result(str(n))) and answer.status == "completed" for n in range(3)))
    finally:
        worker.stopping.set()
        join(thread)
    for number in range(3):
        answer = jobs.result(str(number))
        assert answer is not None
        assert answer.data["scores"] == pytest.approx(expected.data["scores"], abs=1e-6)


def test_the_process_says_when_it_is_warm_and_with_which_weights(service: Service) -> None:
    slots = service.get("/weights").json()["slots"]
    with service.queue() as jobs:
        wait_until(
            lambda: (
                [beat.versions["lodbrok"] for beat in jobs.registry.alive() if beat.role == "classify"]
                == [slots["current"]]
            )
        )
    assert f"lodbrok is warm with the weights {slots['original']}" in service.log


def test_judged_records_are_counted_by_label_and_those_that_could_not_be_judged_are_not() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [np.nan, np.nan]], np.float32)
    assert count_labels(scores, ["fine", "spam"]) == {"fine": 1, "spam": 2}
    assert count_labels(scores[:0], ["fine", "spam"]) == {"fine": 0, "spam": 0}
