"""Learning that a human can trust and undo: guarded, replayed, rebuilt, and rolled back when errors rise."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import pytest

import sb_api.train
from sb_api.broker.jobs import Promotion, Withdrawal
from sb_api.broker.shared_state import Broker
from sb_api.errors import JobFailed, NotSetAside, TrainingRefused
from sb_api.judgements import VerdictQuery
from sb_api.learning import trainer as learning_trainer
from sb_api.learning.kept import has_kept, try_kept
from sb_api.learning.lookups import look_up
from sb_api.learning.replay import replay
from sb_api.learning.staging.promotion import promote_staged
from sb_api.learning.staging.staging import stage_kept
from sb_api.learning.trainer import Trainer
from sb_api.learning.undo.restoration import purge
from sb_api.learning.undo.withdrawal import withdraw
from sb_api.models.calibration import calibrated
from sb_api.records import Verdict, content_digest
from sb_api.synthetic.editors import generate_campaign, generate_editors
from sb_api.verdicts.log_schema import LoggedVerdict
from tests.support.jobs import Jobs
from tests.support.service import RECIPE, SHIPPED, Bare


@pytest.fixture
def make_trainer(jobs: Jobs, bare: Bare, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trainer]:
    """Makes trainers of one state directory that replay few records, with part of the guard's. They share a network,
    and what they only read."""
    monkeypatch.setattr(learning_trainer, "Fitting", lambda *_: bare.fitting)
    monkeypatch.setattr(Trainer, "reference", bare.reference)

    def make(**settings: Any) -> Trainer:
        few = msgspec.structs.replace(jobs.settings, **{"replay_rows": RECIPE.replay_rows, **settings})
        return Trainer(Broker.of(jobs.redis, few), SHIPPED)

    return make


def proceed() -> None:
    """A lease that is never lost."""


def campaign(count: int, start: int = 0, reporter: str = "ann") -> list[Verdict]:
    """Verdicts on a campaign's accounts and as many ordinary ones, all of them right."""
    spam = list(generate_campaign(0, start + count, seed=3))[start:]
    fine = list(generate_editors(start + count, seed=9, spam_share=0.0))[start:]
    return [
        msgspec.convert({**editor.record, "verdict": editor.verdict, "reporter": reporter}, Verdict)
        for editor in [*spam, *fine]
    ]


def everyone(count: int) -> list[Verdict]:
    """Right verdicts on editors like those that the weights were made from."""
    return [
        msgspec.convert({**editor.record, "verdict": editor.verdict, "reporter": "ann"}, Verdict)
        for editor in generate_editors(count, seed=17)
    ]


def flipped(verdicts: list[Verdict]) -> list[Verdict]:
    return [msgspec.structs.replace(verdict, verdict=1 - verdict.verdict, reporter="mallory") for verdict in verdicts]


def statuses(trainer: Trainer) -> list[str]:
    assert trainer.intake.log is not None
    return [row.status for row in trainer.intake.log.find()][::-1]


def purge_all(trainer: Trainer, **which: Any) -> tuple[int, int]:
    """Take out all verdicts `which` are meant; how many they are, and how many count again."""
    assert trainer.intake.log is not None
    found = trainer.intake.log.find(**which)
    return len(found), purge(trainer.intake, found, trainer.store.load_current().about)


def test_right_verdicts_are_learned_and_the_guard_lets_them_pass(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    answer = trainer.train("one", campaign(10), proceed)
    assert answer["learned"] == 20
    assert answer["weights"]["version"] == trainer.publication.version
    assert answer["after"]["accuracy"] >= answer["before"]["accuracy"]
    assert statuses(trainer) == ["learned"] * 20


def test_the_same_verdicts_sent_again_change_nothing(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    version = trainer.train("one", campaign(5), proceed)["weights"]["version"]
    again = trainer.train("two", campaign(5), proceed)
    assert (again["learned"], again["known"]) == (0, 10)
    assert again["weights"]["version"] == trainer.publication.version == version
    assert len(trainer.store.chain().versions) == 2


def pat(label: int, **changes: Any) -> list[Verdict]:
    """A moderator's word on an innocent maker of lutes."""
    record: dict[str, Any] = {
        "id": 9001,
        "email": "pat@gmail.com",
        "bio": "Handmade lutes and theorbos, workshop visits on Saturdays",
        "website": "https://lutes-pat.example",
        "member_since": "2024-05-01T10:00:00",
        "email_confirm_date": "2024-05-01T10:12:00",
        "last_updated": "2024-05-01T10:20:00",
        "last_login_date": "2024-05-02T10:00:00",
        "reporter": "mod A",
    }
    return [msgspec.convert(record | changes | {"verdict": label}, Verdict)]


def spam_scores(trainer: Trainer, verdicts: list[Verdict]) -> Any:
    """What the current weights say of n accounts: their probabilities of spam (n,)."""
    weights = trainer.store.load_current()
    trainer.fitting.load(weights)
    arrays = trainer.classifier.preprocess(verdicts, trainer.vocabularies)
    return calibrated(trainer.fitting.predict(arrays), weights.about.temperature)[:, 1]


def score(trainer: Trainer, verdicts: list[Verdict]) -> float:
    """What the current weights say of the first account: the probability of spam."""
    return float(spam_scores(trainer, verdicts[:1])[0])


@pytest.mark.parametrize(("auto_rollback", "sizes"), [("off", (60,)), ("on", (10, 50))])
def test_after_a_correction_a_record_is_on_its_side_of_where_it_stood(
    auto_rollback: str,
    sizes: tuple[int, ...],
    make_trainer: Callable[..., Trainer],
    bare: Bare,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Many records, called wrongly by one reporter and then rightly by her and a colleague, with trainings of others in
    between: more than are settled, and so few that they are learned by what is their own."""
    monkeypatch.setattr(Trainer, "reference", bare.reference)  # fewer records: what is promised does not hang on them
    trainer = make_trainer(auto_rollback=auto_rollback, guard_tolerance=1.0)
    right = [
        msgspec.convert({**editor.record, "verdict": editor.verdict, "reporter": "ann"}, Verdict)
        for editor in generate_editors(sum(sizes), seed=2026 + len(sizes))
    ]
    starts = np.cumsum([0, *sizes])
    groups = [right[start:end] for start, end in itertools.pairwise(starts.tolist())]
    before = []
    for number, group in enumerate(groups):
        before.append(spam_scores(trainer, group))
        wrong = [msgspec.structs.replace(verdict, verdict=1 - verdict.verdict) for verdict in group]
        trainer.train(f"wrong {number}", wrong, proceed)
    trainer.train("others", campaign(8, reporter="ben"), proceed)
    for number, (group, stood) in enumerate(zip(groups, before, strict=True)):
        reporters = itertools.cycle(("ann", "carol"))
        corrections = [msgspec.structs.replace(v, reporter=who) for v, who in zip(group, reporters, strict=False)]
        assert trainer.train(f"right {number}", corrections, proceed)["learned"] == len(group)
        moved = (spam_scores(trainer, group) - stood) * [1 - 2 * verdict.verdict for verdict in group]
        assert (moved <= 0.01).all(), (len(group), np.sort(moved)[-5:])


def test_a_mind_changed_twice_is_learned_each_time(make_trainer: Callable[..., Trainer]) -> None:
    """A mis-click of one button is undone by the other."""
    trainer = make_trainer()
    answers = [trainer.train(f"task {n}", pat(label), proceed) for n, label in enumerate((1, 0, 1))]
    assert [(answer["learned"], answer["known"], answer["superseded"]) for answer in answers] == [
        (1, 0, 0),
        (1, 0, 1),
        (1, 0, 1),
    ]
    assert statuses(trainer) == ["superseded", "superseded", "learned"]


def test_after_a_rollback_the_same_verdict_is_learned_again(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    before = score(trainer, pat(1))
    trainer.train("one", pat(1), proceed)
    trainer.roll_back("original", proceed)
    assert statuses(trainer) == ["undone"]
    answer = trainer.train("two", pat(1), proceed)
    assert (answer["learned"], answer["known"]) == (1, 0)
    assert statuses(trainer) == ["superseded", "learned"]
    assert score(trainer, pat(1)) > max(before, 0.5)


def test_rolled_back_and_forth_a_verdict_is_learned_as_before(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    trainer.train("one", pat(0), proceed)
    trainer.roll_back("original", proceed)
    trainer.roll_back("previous", proceed)
    assert statuses(trainer) == ["learned"]
    assert trainer.train("two", pat(0), proceed)["known"] == 1


def test_the_same_id_with_another_bio_is_another_verdict(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    trainer.train("one", pat(0, bio="I collect records"), proceed)
    other = trainer.train("two", pat(0, bio="Repair of accordions in the old town, prices on request"), proceed)
    assert (other["learned"], other["known"], other["superseded"]) == (1, 0, 0)
    again = pat(0, bio="I collect records", last_login_date="2024-06-01T10:00:00", privs=1)
    assert trainer.train("three", again, proceed)["known"] == 1, "who only signs in again is the same account"


def test_a_replay_leaves_out_what_is_superseded_and_what_is_undone(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    for number, label in enumerate((1, 0)):
        trainer.train(f"pat {number}", pat(label), proceed)
    trainer.train("one", campaign(2), proceed)
    trainer.roll_back("previous", proceed)
    assert replay(trainer, "replay", proceed, False, lambda _: None)["learned"] == 1
    assert statuses(trainer) == ["superseded", "learned", *["undone"] * 4]
    assert replay(trainer, "all", proceed, False, lambda _: None, with_undone=True)["learned"] == 5
    assert statuses(trainer) == ["superseded", *["learned"] * 5]
    assert trainer.train("again", campaign(2), proceed)["known"] == 4
    trainer.roll_back("previous", proceed)
    assert statuses(trainer) == ["superseded", "learned", *["undone"] * 4]


def test_a_training_that_would_ruin_the_weights_is_refused_with_its_figures(
    make_trainer: Callable[..., Trainer],
) -> None:
    trainer = make_trainer(guard_tolerance=-0.1)  # of what is learned in part, too
    before = trainer.publication.version
    with pytest.raises(TrainingRefused, match="would fall to") as refused:
        trainer.train("bad", flipped(everyone(100)), proceed)
    problem = refused.value.problem()
    assert problem["status"] == 409
    assert {"before", "after", "reference"} <= problem.keys()
    assert "kept" in problem["detail"]
    assert problem["kept"] == 100
    assert {outcome["state"] for outcome in problem["records"].values()} == {"kept"}
    assert trainer.publication.version == before == trainer.store.chain().slots["current"]
    assert len(trainer.store.chain().versions) == 1
    assert statuses(trainer) == ["refused"] * 100


def test_force_learns_against_the_guards_word(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(guard_tolerance=0.0)
    answer = trainer.train("bad", flipped(everyone(100)), proceed, force=True)
    assert answer["weights"]["version"] == trainer.publication.version
    assert statuses(trainer) == ["learned"] * 100


def refuse_any_of(trainer: Trainer, records: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard that finds a loss in every training with one of these records in it."""
    make = trainer.make

    def guarded(current: Any, rows: Any, *arguments: Any) -> Any:
        if records & {row.record for row in rows}:
            raise TrainingRefused("Nothing was changed: it would be worse.")
        return make(current, rows, *arguments)

    monkeypatch.setattr(trainer, "make", guarded)


def have_pat_refused(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict that the guard refuses now, and would let pass later."""
    with monkeypatch.context() as patch:
        refuse_any_of(trainer, {"9001"}, patch)
        with pytest.raises(TrainingRefused):
            trainer.train("one", pat(0), proceed)


def test_who_is_refused_again_and_again_is_set_aside_until_an_admin_lets_them_back(
    make_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whomever they speak for; what they send is kept and not learned, and others are learned from."""
    trainer = make_trainer(refusals_in_a_row=2)
    log = trainer.intake.log
    assert log is not None
    with monkeypatch.context() as patch:
        refuse_any_of(trainer, {"1", "2", "3"}, patch)
        with pytest.raises(TrainingRefused) as refused:
            trainer.train("one", pat(0, id=1, reporter="tool/ann"), proceed)
        assert "set_aside" not in refused.value.members
        assert trainer.train("two", pat(0, id=8, reporter="tool"), proceed)["learned"] == 1
        with pytest.raises(TrainingRefused):
            trainer.train("three", pat(0, id=2, reporter="tool/bob"), proceed)
        assert log.set_aside() == [], "not in a row"
        with pytest.raises(TrainingRefused, match="tool is set aside") as refused:
            trainer.train("four", pat(0, id=3, reporter="tool"), proceed)
        assert refused.value.members["set_aside"] == "tool"
    assert [(one.account, one.refused) for one in log.set_aside()] == [("tool", 2)]
    answer = trainer.train("five", pat(0, id=4, reporter="tool/ann"), proceed)
    assert (answer["learned"], answer["kept"]) == (0, 1)
    assert "set aside" in answer["records"]["4"]["reason"]
    assert trainer.train("six", pat(0, id=5, reporter="tools"), proceed)["learned"] == 1
    assert try_kept(trainer, proceed) == 0
    assert [row.status for row in log.find()][::-1] == [
        *("set aside", "learned", "set aside", "set aside", "set aside"),
        "learned",
    ]
    assert trainer.let_back("tool")["kept"] == 4
    assert try_kept(trainer, proceed) == 4
    with pytest.raises(NotSetAside, match="not set aside"):
        trainer.let_back("tool")


def test_a_refused_request_that_is_sent_again_sets_nobody_aside(
    make_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is a training with something new in it, be it one verdict or another word on the same record."""
    trainer = make_trainer(refusals_in_a_row=3)
    log = trainer.intake.log
    assert log is not None
    refuse_any_of(trainer, {"1", "2"}, monkeypatch)

    def send(task: str, *verdicts: Verdict) -> bool:
        with pytest.raises(TrainingRefused) as refused:
            trainer.train(task, verdicts, proceed)
        return "set_aside" in refused.value.members

    (one,), (two,), (other_word,) = (pat(0, id=1), pat(0, id=2), pat(1, id=1))
    assert not any(send(f"repeated {number}", one) for number in range(4))
    assert not send("one new among them", one, two)
    assert not any(send(f"both {number}", two, one) for number in range(3))
    assert log.set_aside() == []
    assert send("another word", other_word)
    assert [(row.account, row.refused) for row in log.set_aside()] == [("mod A", 3)]


def force(trainer: Trainer, make_trainer: Callable[..., Trainer]) -> Trainer:
    trainer.train("lies", lies(), proceed, force=True)
    return trainer


def promote_by_force(trainer: Trainer, make_trainer: Callable[..., Trainer]) -> Trainer:
    before = trainer.publication.version
    version = trainer.train("lies", lies(), proceed, force=True)["weights"]["version"]
    trainer.roll_back(before, proceed)
    stage_kept(trainer, version)
    promote_staged(trainer, "promoted", Promotion(version, force=True, as_is=True), proceed, lambda _: None)
    return trainer


def lower_the_tolerance(trainer: Trainer, make_trainer: Callable[..., Trainer]) -> Trainer:
    lax = make_trainer(guard_tolerance=1.0)
    lax.train("lies", lies(), proceed)
    return make_trainer()


def lies() -> list[Verdict]:
    return flipped(everyone(100))


@pytest.mark.parametrize("fall", [force, promote_by_force, lower_the_tolerance])
def test_where_the_weights_have_fallen_already_right_verdicts_corrections_and_undo_get_through(
    fall: Callable[[Trainer, Callable[..., Trainer]], Trainer], make_trainer: Callable[..., Trainer]
) -> None:
    """Every later training was refused, for a fall to where the weights were before it, and its reporter set aside."""
    trainer = fall(make_trainer(refusals_in_a_row=1), make_trainer)
    said = lies()
    assert trainer.train("right", pat(0), proceed)["learned"] == 1
    assert trainer.store.load_current().about.fallen, "the guard was not put to the test"
    corrected = msgspec.structs.replace(said[0], verdict=1 - said[0].verdict)
    assert trainer.train("corrected", [corrected], proceed)["learned"] == 1
    assert take_back(trainer, "taken back", said[1])["unlearned"]
    assert trainer.intake.log is not None
    assert trainer.intake.log.set_aside() == []


def test_nothing_that_a_rollback_undid_is_drawn_or_observed_by_what_is_learned_then(
    make_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer()
    log = trainer.intake.log
    assert log is not None
    trainer.train("right", campaign(3), proceed)
    trainer.train("lies", flipped(campaign(3, start=3)), proceed, force=True)
    trainer.roll_back("previous", proceed)
    lies = {row.number for row in log.find(reporter="mallory")}
    assert {row.status for row in log.numbered(lies)} == {"undone"}
    drawn: set[int] = set()
    draw, observe = trainer.intake.draw_log, trainer.intake.observe

    def drawing(earlier: Any, *arguments: Any) -> Any:
        drawn.update(number for number, _ in earlier)
        return draw(earlier, *arguments)

    monkeypatch.setattr(trainer.intake, "draw_log", drawing)
    trainer.train("after", pat(0), proceed)
    assert drawn
    assert not drawn & lies
    observed = observe()
    assert observed is not None
    assert len(observed.targets) == len(log.find()) - len(lies)


def test_what_was_refused_is_learned_along_with_what_follows(
    make_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer()
    have_pat_refused(trainer, monkeypatch)
    answer = trainer.train("two", pat(0, id=9002, bio="Another bio"), proceed)
    assert (answer["learned"], answer["along"], list(answer["records"])) == (1, 1, ["9002"])
    assert answer["response"] == "Successfully retrained the model: 1 kept before and learned now"
    assert statuses(trainer) == ["learned", "learned"]
    assert replay(trainer, "three", proceed, False, lambda _: None)["learned"] == 2


def test_what_a_second_reporter_over_a_cap_releases_is_told_apart_from_what_was_sent(
    make_trainer: Callable[..., Trainer],
) -> None:
    """It said that nothing new was learned, beside one that was learned and new weights."""
    trainer = make_trainer(two_reporters="on", reporter_day_cap=1)
    (spam,) = pat(1)
    spam = msgspec.structs.replace(spam, bio="best online casino bonus", website="http://win-casino.example")
    against = [msgspec.structs.replace(spam, verdict=0, reporter=name) for name in ("bob", "carol")]
    assert trainer.train("one", against[:1], proceed)["waiting"] == 1
    trainer.train("two", pat(0, id=9002, bio="Another bio", reporter="carol"), proceed)
    answer = trainer.train("three", against[1:], proceed)
    assert (answer["learned"], answer["along"], answer["held"]) == (0, 1, 1)
    assert answer["response"] == (
        "Nothing of this request was learned: 1 kept before and learned now, 1 kept, to be learned later"
    )
    dave = msgspec.structs.replace(against[0], reporter="dave")
    assert trainer.train("four", [dave], proceed)["response"] == "Successfully retrained the model"


def test_a_verdict_is_learned_alone_where_those_kept_before_stand_in_its_way(
    make_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer()
    refuse_any_of(trainer, {"9001"}, monkeypatch)
    with pytest.raises(TrainingRefused):
        trainer.train("one", pat(0), proceed)
    answer = trainer.train("two", pat(0, id=9002, bio="Another bio"), proceed)
    assert answer["learned"] == 1
    assert statuses(trainer) == ["refused", "learned"]


def test_kept_verdicts_are_tried_by_themselves_and_one_that_is_wrong_holds_up_no_other(
    make_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer()
    several = [pat(0, id=number, bio=f"Bio {number}")[0] for number in range(1, 5)]
    with monkeypatch.context() as patch:
        refuse_any_of(trainer, {"1", "2", "3", "4"}, patch)
        with pytest.raises(TrainingRefused):
            trainer.train("one", several, proceed)
    assert has_kept(trainer)
    refuse_any_of(trainer, {"2"}, monkeypatch)
    told: list[list[str]] = []
    assert try_kept(trainer, proceed, lambda rows: told.append([row.record for row in rows])) == 3
    assert sorted(record for records in told for record in records) == ["1", "3", "4"]
    assert statuses(trainer) == ["learned", "refused", "learned", "learned"]
    assert try_kept(trainer, proceed) == 0
    assert has_kept(trainer)


def test_replaying_the_untouched_log_gives_the_same_bits_each_time(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    trainer.train("one", campaign(5), proceed)
    trainer.train("two", campaign(5, start=5), proceed)
    told: list[dict[str, Any]] = []
    first = replay(trainer, "three", proceed, False, told.append)
    second = replay(make_trainer(), "four", proceed, False, told.append)
    assert first["learned"] == second["learned"] == 20
    digests = [answer["weights"]["version"].partition("-")[2] for answer in (first, second)]
    assert digests[0] == digests[1]
    assert [(step["done"], step["total"]) for step in told] == [(0, 20), (10, 20), (20, 20)] * 2
    assert all(step["seconds_left"] >= 0 for step in told)
    assert told[0]["seconds_left"] > 0, "as long as its trainings took the first time"


def test_what_was_purged_is_not_in_the_rebuilt_weights(make_trainer: Callable[..., Trainer]) -> None:
    """The weights are those that would have come of the other verdicts alone."""
    trainer = make_trainer()
    trainer.train("one", campaign(5), proceed)
    wanted = replay(trainer, "rebuilt", proceed, False, lambda _: None)["weights"]["version"]
    trainer.train("bad", flipped(campaign(5, start=5)), proceed, force=True)
    assert purge_all(trainer, reporter="mallory") == (10, 0)
    rebuilt = replay(trainer, "again", proceed, False, lambda _: None)
    assert rebuilt["weights"]["version"].partition("-")[2] == wanted.partition("-")[2]
    assert trainer.publication.version == rebuilt["weights"]["version"]


def test_with_everything_purged_the_original_is_current_again(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    original = trainer.publication.version
    trainer.train("one", campaign(5), proceed)
    assert trainer.intake.log is not None
    purge_all(trainer)
    replayed = replay(trainer, "rebuilt", proceed, False, lambda _: None)
    assert (replayed["weights"]["version"], replayed["learned"]) == (original, 0)


def test_without_a_log_trainings_are_learned_and_nothing_can_be_replayed(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(verdict_log="off")
    assert trainer.train("one", campaign(5), proceed)["learned"] == 10
    with pytest.raises(JobFailed, match="verdict log is off"):
        replay(trainer, "two", proceed, False, lambda _: None)


def test_when_errors_rise_the_last_sound_weights_come_back(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(auto_rollback="on", guard_tolerance=1.0)
    sound = trainer.publication.version
    ruined = trainer.train("ruin", flipped(campaign(60)), proceed, force=True)["weights"]["version"]
    log = trainer.intake.log
    assert log is not None
    purge_all(trainer)
    log.add(history(sound, 200, wrong=0.03) + history(ruined, 4, wrong=1.0))
    answer = trainer.train("next", campaign(40, start=100), proceed)
    assert answer["weights"]["previous"] == sound


def test_the_state_of_things_is_published_with_the_weights(make_trainer: Callable[..., Trainer], jobs: Jobs) -> None:
    trainer = make_trainer()
    trainer.train("one", campaign(5), proceed)
    published = jobs.registry.published_about("lodbrok", "quality")
    assert published is not None
    assert msgspec.json.decode(published)["all_time"]["count"] == 10


def history(weights: str, count: int, wrong: float) -> list[LoggedVerdict]:
    errors = np.random.default_rng(1).random(count) < wrong
    return [
        LoggedVerdict(
            classifier="lodbrok",
            task=f"{weights}-{place // 20}",
            record=f"{weights}/{place}",
            reporter="ann",
            label=1,
            predicted=0 if error else 1,
            score=0.5,
            weights=weights,
            received=datetime(2026, 1, 1),
            tokenizers="others",
            vector=b"",
            status="learned",
        )
        for place, error in enumerate(errors)
    ]


def take_back(trainer: Trainer, task: str, verdict: Verdict) -> dict[str, Any]:
    wanted = Withdrawal(verdict.reporter or "", str(verdict.id), content_digest(verdict))
    return withdraw(trainer, task, wanted, proceed)


def test_a_verdict_that_is_taken_back_leaves_the_weights_as_they_were(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    before = trainer.publication.version
    trainer.train("one", pat(1), proceed)
    answer = take_back(trainer, "two", pat(1)[0])
    assert (answer["withdrawn"], answer["unlearned"], answer["weights"]["version"]) == (1, True, before)
    assert trainer.publication.version == before
    assert statuses(trainer) == ["withdrawn"]
    assert take_back(trainer, "two", pat(1)[0])["withdrawn"] == 1, "the same task again"
    answer = take_back(trainer, "three", pat(1)[0])
    assert (answer["withdrawn"], answer["unlearned"], answer["standing"]) == (0, False, None)
    answer = trainer.train("four", pat(1), proceed)
    assert (answer["learned"], answer["known"], answer["superseded"]) == (1, 0, 0)


def test_taken_back_after_others_were_learned_a_record_is_where_it_stood_and_they_are_learned_still(
    make_trainer: Callable[..., Trainer],
) -> None:
    trainer = make_trainer()
    before = score(trainer, pat(1))
    trainer.train("one", pat(1), proceed)
    others = campaign(1)
    trainer.train("two", others, proceed)
    taught = score(trainer, others)
    answer = take_back(trainer, "three", pat(1)[0])
    assert answer["unlearned"]
    assert trainer.publication.version == answer["weights"]["version"] != answer["weights"]["previous"]
    assert abs(score(trainer, pat(1)) - before) < 0.01
    assert abs(score(trainer, others) - taught) < 0.01
    assert statuses(trainer) == ["withdrawn", "learned", "learned"]
    assert take_back(trainer, "three", pat(1)[0])["weights"]["version"] == answer["weights"]["version"]
    assert replay(trainer, "replay", proceed, False, lambda _: None)["learned"] == 2


def is_known(trainer: Trainer) -> bool:
    """Whether the verdict on pat is told to be known to the weights, though it was taken back."""
    told = look_up(trainer.intake.log, trainer.store, VerdictQuery(record=str(pat(1)[0].id), limit=1))["verdicts"]
    return bool(told[0]["known"]) and "know it all the same" in told[0]["reason"]


@pytest.mark.parametrize("between", [0, 1])
def test_what_brings_back_weights_from_before_an_undo_can_be_undone_and_corrected(
    between: int, make_trainer: Callable[..., Trainer]
) -> None:
    """A rollback brings back what the undo had taught away; the verdict stays withdrawn, and can be undone again."""
    trainer = make_trainer()
    before = score(trainer, pat(1))
    for number, verdicts in enumerate((pat(1), campaign(1))[: 1 + between]):
        trainer.train(f"said {number}", verdicts, proceed)
    taught, version = score(trainer, pat(1)), trainer.publication.version
    take_back(trainer, "undo", pat(1)[0])
    assert not is_known(trainer)
    trainer.roll_back(version, proceed)
    assert score(trainer, pat(1)) == taught
    assert is_known(trainer)
    answer = take_back(trainer, "undo again", pat(1)[0])
    assert (answer["withdrawn"], answer["unlearned"]) == (1, True)
    assert not is_known(trainer)
    assert abs(score(trainer, pat(1)) - before) < 0.01
    assert statuses(trainer)[0] == "withdrawn"
    trainer.roll_back(version, proceed)
    assert trainer.train("correction", pat(0), proceed)["learned"] == 1
    assert score(trainer, pat(1)) < before + 0.01


def test_a_correction_and_what_it_corrected_both_taken_back_leave_nothing_after_a_rollback_either(
    make_trainer: Callable[..., Trainer],
) -> None:
    """The wrong verdict counted as the one that stands, though it was taken back: the account came out as spam."""
    trainer = make_trainer()
    before = score(trainer, pat(1))
    for task, verdicts in (("wrong", pat(1)), ("right", pat(0)), ("others", campaign(1))):
        version = trainer.train(task, verdicts, proceed)["weights"]["version"]
    for number in range(2):
        take_back(trainer, f"undo {number}", pat(1)[0])
    assert statuses(trainer)[:2] == ["withdrawn", "withdrawn"]
    trainer.roll_back(version, proceed)
    answer = take_back(trainer, "undo again", pat(1)[0])
    assert (answer["withdrawn"], answer["unlearned"], answer["standing"]) == (1, True, None)
    assert abs(score(trainer, pat(1)) - before) < 0.01
    assert take_back(trainer, "once more", pat(1)[0])["withdrawn"] == 0


def test_the_last_verdict_taken_back_leaves_a_record_as_before_the_first_also_where_others_were_purged_before_a_replay(
    make_trainer: Callable[..., Trainer],
) -> None:
    """It came when another had called the account spam already, and that is where it went back to."""
    trainer = make_trainer()
    log = trainer.intake.log
    assert log is not None
    before = score(trainer, pat(1))
    for reporter in ("mallory", "ann"):
        trainer.train(reporter, by(reporter, 1), proceed)
    assert purge_all(trainer, reporter="mallory") == (1, 0)
    replay(trainer, "replay", proceed, False, lambda _: None)
    assert score(trainer, pat(1)) > 0.5
    assert take_back(trainer, "undo", by("ann", 1)[0])["unlearned"]
    assert abs(score(trainer, pat(1)) - before) < 0.01


def test_what_was_kept_while_another_was_wrong_and_is_learned_after_that_goes_back_to_where_it_was_learned(
    make_trainer: Callable[..., Trainer],
) -> None:
    """A verdict of not spam, taken back, made the account spam, though nobody says so any more."""
    trainer = make_trainer(reporter_day_cap=1)
    before = score(trainer, pat(1))
    trainer.train("others", by("ann", 0, id=5), proceed)
    trainer.train("wrong", by("ben", 1), proceed)
    assert trainer.train("right", by("ann", 0), proceed)["held"] == 1
    take_back(trainer, "ben's undo", by("ben", 1)[0])
    assert make_trainer().train("along", by("cem", 0, id=6), proceed)["along"] == 1
    assert take_back(make_trainer(), "ann's undo", by("ann", 0)[0])["unlearned"]
    assert abs(score(make_trainer(), pat(1)) - before) < 0.03, "others were learned"


@pytest.mark.parametrize("how", ["purged", "kept"])
def test_a_correction_goes_back_to_what_the_weights_said_that_learned_the_wrong_verdict(
    how: str, make_trainer: Callable[..., Trainer]
) -> None:
    """It went back to the score of when that came: another had called the account spam by then, who is purged or has
    taken it back since."""
    trainer = make_trainer()
    log = trainer.intake.log
    assert log is not None
    before = score(trainer, pat(1))
    trainer.train("mallory's", by("mallory", 1), proceed)
    make_trainer(reporter_training_cap=0 if how == "kept" else 500).train("wrong", by("ann", 1), proceed)
    if how == "kept":
        take_back(trainer, "mallory's undo", by("mallory", 1)[0])
        assert try_kept(trainer, proceed) == 1
    else:
        purge_all(trainer, reporter="mallory")
        replay(trainer, "replay", proceed, False, lambda _: None)
    assert is_on_side(trainer, 1)
    assert trainer.train("right", by("ann", 0), proceed)["learned"] == 1
    assert score(trainer, pat(1)) < before + 0.01


def test_a_correction_of_what_was_learned_by_the_weights_that_it_came_to_asks_no_others(
    make_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer()
    for number, verdicts in enumerate((pat(1), campaign(1))):
        trainer.train(f"said {number}", verdicts, proceed)
    asked: list[object] = []
    monkeypatch.setattr("sb_api.learning.undo.hindsight.judge", lambda *about: asked.append(about))
    assert trainer.train("correction", pat(0), proceed)["learned"] == 1
    assert asked == []


@pytest.mark.parametrize("other", [0, 1])
def test_what_was_taken_back_is_not_told_to_be_known_where_another_has_the_last_word(
    other: int, make_trainer: Callable[..., Trainer]
) -> None:
    """To undo it again was recommended, and then nothing was there to take back."""
    trainer = make_trainer()
    for reporter, label in (("ann", other), ("ben", 1)):
        trainer.train(reporter, by(reporter, label), proceed)
    if other == 0:  # so that it is hers again that counts
        trainer.train("again", by("ann", other), proceed)
    take_back(trainer, "undo", by("ben", 1)[0])
    told = look_up(trainer.intake.log, trainer.store, VerdictQuery(record="9001", reporter="ben"))["verdicts"]
    assert [(one["status"], one["known"], one["reason"]) for one in told] == [
        ("withdrawn", False, "Its reporter has taken it back.")
    ]
    assert take_back(trainer, "undo again", by("ben", 1)[0])["withdrawn"] == 0


def test_what_was_kept_of_an_account_is_not_told_as_what_is_sent_of_it_with_another_bio(
    make_trainer: Callable[..., Trainer],
) -> None:
    """Of two verdicts sent two were learned and one was known, and what the weights said of the one bio was told of the
    other."""
    capped = make_trainer(reporter_day_cap=1)
    capped.train("known", pat(0, bio="Lutes and nothing else"), proceed)
    assert capped.train("kept", pat(1), proceed)["held"] == 1
    trainer = make_trainer()
    sent = pat(0, bio="Lutes and nothing else") + pat(0, id=77, bio="Edits jazz")
    answer = trainer.train("sent", sent, proceed)
    assert (answer["learned"], answer["known"], answer["along"]) == (1, 1, 1)
    assert [answer["records"][number]["state"] for number in ("9001", "77")] == ["known", "learned"]


def test_what_is_purged_while_it_is_learned_is_not_taken_for_the_verdict_that_gets_its_number(
    make_trainer: Callable[..., Trainer],
) -> None:
    """A verdict that only waits was known to the weights, and was taken out of them when it was taken back."""
    trainer = make_trainer(two_reporters="on")
    log = trainer.intake.log
    assert log is not None
    trainer.train("purged", by("mallory", 1), proceed, logged=lambda: [purge_all(trainer, reporter="mallory")].clear())
    version = trainer.publication.version
    assert trainer.train("waits", sure(1, "ann"), proceed)["waiting"] == 1
    (verdict,) = log.find()
    assert log.learned_by(trainer.ancestry(), [verdict.number]) == set()
    assert take_back(trainer, "undo", sure(1, "ann")[0])["weights"]["version"] == version


def test_what_is_kept_is_not_learned_against_what_another_has_said_since_until_that_is_taken_back(
    make_trainer: Callable[..., Trainer],
) -> None:
    """With the next verdict on anything else the account went from fine to spam, against the last word."""
    capped = make_trainer(reporter_day_cap=1)
    capped.train("others", by("ann", 0, id=5), proceed)
    assert capped.train("kept", by("ann", 1), proceed)["held"] == 1
    trainer = make_trainer()
    answer = trainer.train("newer", by("ben", 0), proceed)
    assert (answer["learned"], answer["along"]) == (1, 0)
    assert trainer.train("more", by("cem", 0, id=6), proceed)["along"] == 0
    assert (has_kept(trainer), try_kept(trainer, proceed)) == (False, 0)
    assert (is_on_side(trainer, 0), statuses(trainer)) == (True, ["learned", "held", "learned", "learned"])
    take_back(trainer, "undo", by("ben", 0)[0])
    assert try_kept(trainer, proceed) == 1
    assert (is_on_side(trainer, 1), statuses(trainer)) == (True, ["learned", "learned", "withdrawn", "learned"])


def test_who_is_let_back_is_the_second_reporter_of_who_said_the_same_meanwhile(
    make_trainer: Callable[..., Trainer],
) -> None:
    """Both waited for a second reporter, and for ever."""
    trainer = make_trainer(two_reporters="on")
    log = trainer.intake.log
    assert log is not None
    trainer.train("ann's", sure(1, "ann"), proceed)
    log.note_refusal("ann", datetime(2026, 11, 30), 1)
    trainer.train("ben's", sure(1, "ben"), proceed)
    assert statuses(trainer) == ["waiting", "waiting"]
    assert trainer.let_back("ann")["kept"] == 1
    assert statuses(trainer) == ["held", "held"]
    assert try_kept(trainer, proceed) == 2


@pytest.mark.parametrize("first", ["learned", "waiting"])
@pytest.mark.parametrize("how", ["purged", "undone"])
def test_what_counts_again_is_the_second_reporter_of_who_said_the_same_meanwhile(
    how: str, first: str, make_trainer: Callable[..., Trainer]
) -> None:
    """Both waited for a second reporter, or the other one did, and for ever."""
    trainer = make_trainer(two_reporters="on")
    log = trainer.intake.log
    assert log is not None
    (make_trainer() if first == "learned" else trainer).train("ann's", sure(1, "ann"), proceed)
    trainer = make_trainer(two_reporters="on")
    trainer.train("ann's other", sure(0, "ann"), proceed)
    trainer.train("ben's", sure(1, "ben"), proceed)
    assert statuses(trainer) == ["superseded", "learned", "waiting"]
    if how == "purged":
        assert purge_all(trainer, since=log.numbered([2])[0].received, reporter="ann") == (1, 1)
    else:
        take_back(trainer, "undo", sure(0, "ann")[0])
    again = "learned" if first == "learned" else "held"
    assert [row.status for row in log.find(reporter="ann")][-1] == again
    assert [row.status for row in log.find(reporter="ben")] == ["held"]
    assert try_kept(trainer, proceed) == (1 if first == "learned" else 2)


def test_of_kept_verdicts_on_one_account_that_say_the_one_and_the_other_the_newest_is_learned(
    make_trainer: Callable[..., Trainer],
) -> None:
    """Both were learned at once, against each other, and the account stayed as it was."""
    capped = make_trainer(reporter_training_cap=0)
    for reporter, label in (("ann", 0), ("ben", 1)):
        assert capped.train(reporter, by(reporter, label), proceed)["held"] == 1
    trainer = make_trainer()
    assert try_kept(trainer, proceed) == 1
    assert (is_on_side(trainer, 1), statuses(trainer)) == (True, ["held", "learned"])


def test_a_correction_of_what_its_reporter_has_taken_back_goes_back_to_before_it(
    make_trainer: Callable[..., Trainer],
) -> None:
    """Where another says the same, to take it back changes nothing that the weights know."""
    trainer = make_trainer()
    before = score(trainer, pat(1))
    for number, reporter in enumerate(("ann", "ben")):
        trainer.train(f"said {number}", by(reporter, 1), proceed)
    take_back(trainer, "undo", by("ann", 1)[0])
    assert score(trainer, pat(1)) > 0.5
    trainer.train("correction", by("ann", 0), proceed)
    assert score(trainer, pat(1)) < before + 0.01


def test_what_a_rollback_has_undone_is_no_second_reporter_until_it_is_said_again(
    make_trainer: Callable[..., Trainer],
) -> None:
    trainer = make_trainer(two_reporters="on")
    for number, reporter in enumerate(("ann", "ben")):
        trainer.train(f"said {number}", sure(1, reporter), proceed)
    trainer.roll_back("original", proceed)
    assert trainer.train("cem's", sure(1, "cem"), proceed)["learned"] == 0
    assert statuses(trainer) == ["undone", "undone", "waiting"]
    trainer.train("ann's again", sure(1, "ann"), proceed)
    assert statuses(trainer) == ["superseded", "undone", "learned", "learned"]


def test_what_a_purged_verdict_had_replaced_is_learned_by_a_replay(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    log = trainer.intake.log
    assert log is not None
    trainer.train("right", pat(0), proceed)
    right = score(trainer, pat(1))
    trainer.train("wrong", pat(1), proceed)
    assert purge_all(trainer, since=log.find(limit=1)[0].received) == (1, 1)
    assert replay(trainer, "replay", proceed, False, lambda _: None)["learned"] == 1
    assert abs(score(trainer, pat(1)) - right) < 0.01


def test_taking_back_a_correction_leaves_what_it_corrected(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer()
    trainer.train("one", pat(1), proceed)
    before = score(trainer, pat(1))
    trainer.train("two", pat(0), proceed)
    take_back(trainer, "three", pat(0)[0])
    assert score(trainer, pat(1)) == before
    assert statuses(trainer) == ["learned", "withdrawn"]
    assert trainer.train("four", pat(1), proceed)["known"] == 1


def by(reporter: str, label: int, **changes: Any) -> list[Verdict]:
    return pat(label, reporter=reporter, **changes)


def sure(label: int, reporter: str) -> list[Verdict]:
    """A verdict on an account that the weights are sure is fine."""
    editor = next(iter(generate_editors(1, seed=9, spam_share=0.0)))
    return [msgspec.convert({**editor.record, "verdict": label, "reporter": reporter}, Verdict)]


def is_on_side(trainer: Trainer, label: int) -> bool:
    return (score(trainer, pat(label)) > 0.5) == bool(label)


@pytest.mark.parametrize("first", [0, 1])
def test_what_another_says_stands_when_a_verdict_that_says_the_same_is_taken_back(
    first: int, make_trainer: Callable[..., Trainer]
) -> None:
    """Also where the weights that come back had not heard of it; and with the last of them gone, the record is where
    it stood before the first."""
    trainer = make_trainer()
    before = score(trainer, pat(1))
    said = [("ann", first), ("bob", 1 - first), ("cem", first)] if is_on_side(trainer, 1 - first) else [("ann", first)]
    for number, (reporter, label) in enumerate([*said, ("dan", first)]):
        trainer.train(f"said {number}", by(reporter, label), proceed)
    name = trainer.publication.labels[first]
    for number, (reporter, label) in enumerate(said):
        answer = take_back(trainer, f"undone {number}", by(reporter, label)[0])
        assert (answer["unlearned"], answer["standing"], is_on_side(trainer, first)) == (True, name, True)
        assert name in answer["response"]
    assert take_back(trainer, "dan's", by("dan", first)[0])["standing"] is None
    assert abs(score(trainer, pat(1)) - before) < 0.01


def test_a_record_is_taught_what_the_newest_verdict_says_where_it_would_come_back_to_something_else(
    make_trainer: Callable[..., Trainer],
) -> None:
    trainer = make_trainer()
    for number, (reporter, label) in enumerate([("ann", 0), ("bob", 1), ("ann", 1)]):
        trainer.train(f"task {number}", by(reporter, label), proceed)
    take_back(trainer, "bob's", by("bob", 1)[0])
    answer = take_back(trainer, "ann's second", by("ann", 1)[0])
    assert (answer["standing"], is_on_side(trainer, 0)) == (trainer.publication.labels[0], True)
    assert statuses(trainer) == ["learned", "withdrawn", "withdrawn"]
    assert trainer.train("again", by("ann", 0), proceed)["known"] == 1


def test_whoever_said_so_before_can_say_it_again_against_what_another_has_said_since(
    make_trainer: Callable[..., Trainer],
) -> None:
    trainer = make_trainer()
    for number, (reporter, label) in enumerate([("ann", 1), ("bob", 0)]):
        trainer.train(f"task {number}", by(reporter, label), proceed)
    answer = trainer.train("again", by("ann", 1), proceed)
    assert (answer["learned"], answer["known"], is_on_side(trainer, 1)) == (1, 0, True)
    assert trainer.train("once more", by("ann", 1), proceed)["known"] == 1


@pytest.mark.parametrize("seed", [1, 2])
def test_however_verdicts_come_and_go_the_newest_that_counts_has_the_last_word(
    seed: int, make_trainer: Callable[..., Trainer]
) -> None:
    trainer = make_trainer()
    log = trainer.intake.log
    assert log is not None
    before, random = score(trainer, pat(1)), np.random.default_rng(seed)
    steps = []
    for number in range(8):
        reporter, label = str(random.choice(["ann", "bob", "cem"])), int(random.integers(2))
        if random.random() < 0.4:
            steps.append(f"{reporter} undoes")
            take_back(trainer, f"step {number}", by(reporter, 1)[0])
        else:
            steps.append(f"{reporter} says {label}")
            trainer.train(f"step {number}", by(reporter, label), proceed)
            assert is_on_side(trainer, label), steps
        standing = log.standing(["9001"])
        assert all(row.status == "learned" for row in standing)
        if not standing:
            assert abs(score(trainer, pat(1)) - before) < 0.01, steps
        elif steps[-1].endswith("undoes"):
            assert is_on_side(trainer, standing[-1].label), steps


def test_a_kept_verdict_that_a_taken_back_one_had_replaced_is_kept_again(make_trainer: Callable[..., Trainer]) -> None:
    """Each step back is one verdict: the last of them brings back the one that was learned."""
    trainer = make_trainer(reporter_day_cap=1)
    for number, label in enumerate((1, 0, 0)):
        trainer.train(f"said {number}", pat(label), proceed)
    assert statuses(trainer) == ["superseded", "superseded", "held"]
    taught = score(trainer, pat(1))
    answer = take_back(trainer, "one", pat(0)[0])
    fine, spam = trainer.publication.labels
    assert answer["response"] == f"Took the verdict back; what it had replaced, {fine!r}, is kept again"
    assert statuses(trainer) == ["superseded", "held", "withdrawn"]
    assert take_back(trainer, "one", pat(0)[0]) == answer, "the same task again"
    answer = take_back(trainer, "two", pat(0)[0])
    assert (answer["withdrawn"], answer["standing"]) == (1, spam)
    assert statuses(trainer) == ["learned", "withdrawn", "withdrawn"]
    assert score(trainer, pat(1)) == taught


def test_what_waited_for_a_second_reporter_waits_again_once_what_replaced_it_is_taken_back(
    make_trainer: Callable[..., Trainer],
) -> None:
    """Where the second one has come meanwhile, both may be learned."""
    trainer = make_trainer(two_reporters="on")
    before = score(trainer, sure(1, "ann"))
    for number, (reporter, label) in enumerate((("ann", 1), ("ann", 0))):
        trainer.train(f"said {number}", sure(label, reporter), proceed)
    assert statuses(trainer) == ["superseded", "learned"]
    answer = take_back(trainer, "one", sure(0, "ann")[0])
    assert "is kept again" in answer["response"]
    assert statuses(trainer) == ["waiting", "withdrawn"]
    assert score(trainer, sure(1, "ann")) == before
    trainer.train("again", sure(0, "ann"), proceed)
    trainer.train("bob's", sure(1, "bob"), proceed)
    assert statuses(trainer) == ["superseded", "withdrawn", "learned", "waiting"]
    take_back(trainer, "two", sure(0, "ann")[0])
    assert statuses(trainer) == ["held", "withdrawn", "withdrawn", "held"]
    assert try_kept(trainer, proceed) == 2
    assert score(trainer, sure(1, "ann")) > 0.5


def test_what_was_learned_and_rolled_back_is_undone_again_once_what_replaced_it_is_taken_back(
    make_trainer: Callable[..., Trainer],
) -> None:
    trainer = make_trainer()
    trainer.train("one", pat(1), proceed)
    trainer.roll_back("original", proceed)
    trainer.train("two", pat(0), proceed)
    take_back(trainer, "three", pat(0)[0])
    assert statuses(trainer) == ["undone", "withdrawn"]


def test_nobody_takes_back_what_another_said_nor_what_was_said_of_other_content(
    make_trainer: Callable[..., Trainer],
) -> None:
    trainer = make_trainer()
    trainer.train("one", pat(1), proceed)
    assert take_back(trainer, "two", pat(1, reporter="mod B")[0])["withdrawn"] == 0
    assert take_back(trainer, "three", pat(1, bio="I collect records")[0])["withdrawn"] == 0
    assert statuses(trainer) == ["learned"]


def test_a_kept_verdict_that_is_taken_back_is_never_learned(
    make_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer()
    have_pat_refused(trainer, monkeypatch)
    assert take_back(trainer, "two", pat(0)[0])["withdrawn"] == 1
    assert not has_kept(trainer)
    assert statuses(trainer) == ["withdrawn"]


def test_where_the_guard_refuses_to_unlearn_a_verdict_it_counts_no_longer_all_the_same(
    make_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer()
    trainer.train("one", pat(1), proceed)
    version = trainer.train("two", campaign(1), proceed)["weights"]["version"]
    refuse_any_of(trainer, {"9001"}, monkeypatch)
    answer = take_back(trainer, "three", pat(1)[0])
    assert (answer["withdrawn"], answer["unlearned"], answer["weights"]["version"]) == (1, False, version)
    assert "still know it" in answer["response"]
    assert statuses(trainer) == ["withdrawn", "learned", "learned"]
    assert is_known(trainer)


def test_what_the_guard_refuses_to_unlearn_is_known_also_where_another_says_otherwise(
    make_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer()
    for reporter, verdicts in (("ann", by("ann", 0)), ("ben", by("ben", 1)), ("others", campaign(1))):
        trainer.train(reporter, verdicts, proceed)
    find_losses = sb_api.train.find_losses
    monkeypatch.setattr("sb_api.train.find_losses", lambda *_: ["everything would fall"])
    assert not take_back(trainer, "undo", by("ben", 1)[0])["unlearned"]
    ask = VerdictQuery(record="9001", reporter="ben")
    assert look_up(trainer.intake.log, trainer.store, ask)["verdicts"][0]["known"]
    monkeypatch.setattr("sb_api.train.find_losses", find_losses)
    assert take_back(trainer, "undo again", by("ben", 1)[0])["unlearned"]
    (told,) = look_up(trainer.intake.log, trainer.store, ask)["verdicts"]
    assert (told["known"], is_on_side(trainer, 0)) == (False, True)


def test_an_undo_that_the_guard_refused_can_be_tried_again(
    make_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer()
    before = score(trainer, pat(1))
    trainer.train("one", pat(1), proceed)
    trainer.train("two", campaign(1), proceed)
    with monkeypatch.context() as patch:
        refuse_any_of(trainer, {"9001"}, patch)
        for number in range(2):
            answer = take_back(trainer, f"refused {number}", pat(1)[0])
            assert (answer["withdrawn"], answer["unlearned"]) == (1, False)
    answer = take_back(trainer, "again", pat(1)[0])
    assert (answer["withdrawn"], answer["unlearned"]) == (1, True)
    assert abs(score(trainer, pat(1)) - before) < 0.01
    assert take_back(trainer, "again", pat(1)[0])["withdrawn"] == 1, "the same task again"
    assert take_back(trainer, "once more", pat(1)[0])["withdrawn"] == 0
    assert statuses(trainer) == ["withdrawn", "learned", "learned"]


def test_an_undo_that_is_tried_again_takes_back_what_it_was_about_and_not_what_counts_since(
    make_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a verdict had replaced counts again once it is taken back; that is not what was to be undone."""
    trainer = make_trainer()
    trainer.train("first", pat(0), proceed)
    trainer.train("second", pat(1), proceed)
    trainer.train("others", campaign(1), proceed)
    with monkeypatch.context() as patch:
        refuse_any_of(trainer, {"9001"}, patch)
        assert not take_back(trainer, "refused", pat(1)[0])["unlearned"]
    assert is_on_side(trainer, 1)
    assert take_back(trainer, "again", pat(1)[0])["unlearned"]
    assert is_on_side(trainer, 0)
    assert statuses(trainer)[:2] == ["learned", "withdrawn"]
    assert take_back(trainer, "the first", pat(0)[0])["standing"] is None
    assert statuses(trainer)[:2] == ["withdrawn", "withdrawn"]


def test_without_a_log_there_is_nothing_to_take_back(make_trainer: Callable[..., Trainer]) -> None:
    with pytest.raises(JobFailed, match="verdict log is off"):
        take_back(make_trainer(verdict_log="off"), "one", pat(1)[0])


@pytest.mark.parametrize("seed", [10, 11])
def test_however_verdicts_come_and_go_a_correction_goes_back_to_before_the_first_wrong_one(
    seed: int, make_trainer: Callable[..., Trainer]
) -> None:
    """Of two reporters who change their minds, undo and roll back. By version, what its weights have learned: the
    step, who said so, the label and the score before."""
    trainer = make_trainer(guard_tolerance=1.0)
    random = np.random.default_rng(seed)
    learned: dict[str, list[tuple[int, str, int, float]]] = {trainer.publication.version: []}
    counting: dict[str, list[int]] = {"ann": [], "bob": []}  # what each would take back, step by step
    steps: list[str] = []
    for number in range(10):
        reporter, label = str(random.choice(["ann", "bob"], p=[0.8, 0.2])), int(random.integers(2))
        before, stood, chance = trainer.publication.version, score(trainer, pat(1)), random.random()
        if number and chance < 0.25:
            steps.append("back")
            trainer.roll_back("previous", proceed)
        elif chance < 0.35:
            steps.append(f"{reporter} undoes")
            answer = take_back(trainer, f"step {number}", by(reporter, 1)[0])
            after = trainer.publication.version
            taught = after not in learned
            gone = {counting[reporter].pop()} if answer["withdrawn"] else set()
            if taught and answer["standing"] is None:
                gone |= {step for step, *_ in learned[before]}
            learned.setdefault(after, learned[before])
            learned = {v: [said for said in all_said if said[0] not in gone] for v, all_said in learned.items()}
        elif trainer.train(f"step {number}", by(reporter, label), proceed)["learned"]:
            steps.append(f"{reporter} says {label}")
            mine = [said for said in learned[before] if said[1] == reporter]
            runs = [(said, list(run)) for said, run in itertools.groupby(mine, key=lambda said: said[2])]
            wrong = next((run for said, run in reversed(runs) if said != label), None)
            if wrong is not None:
                moved = (score(trainer, pat(1)) - wrong[0][3]) * (1 - 2 * label)
                assert moved <= 0.01, steps
            learned[trainer.publication.version] = [*learned[before], (number, reporter, label, stood)]
            counting[reporter].append(number)


@pytest.mark.parametrize(
    "said",
    [
        ["ann 1", "ann 0", "back", "ann 0"],
        ["ann 1", "ann 0", "back", "ann 1", "ann 0"],
        ["ann 1", "bob 0", "ann 1", "ann 0"],
        ["ann 1", "ann 0", "back", "ann 0", "back", "ann 0"],
    ],
    ids=", ".join,
)
def test_a_correction_goes_back_to_before_the_first_of_the_wrong_verdicts(
    said: list[str], make_trainer: Callable[..., Trainer]
) -> None:
    trainer = make_trainer()
    before = score(trainer, pat(1))
    assert before < 0.2
    for number, step in enumerate(said):
        if step == "back":
            trainer.roll_back("previous", proceed)
        else:
            reporter, label = step.split()
            trainer.train(f"step {number}", by(reporter, int(label)), proceed)
    assert score(trainer, pat(1)) < before + 0.01
