"""What the train process is asked to do: one job, done and written down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from sb_api.broker.jobs import Answer, Claim, Job, Promotion, Renaming, Replay, Training, Withdrawal, unknown_classifier
from sb_api.errors import LeaseLost, SbApiError, TrainingRefused
from sb_api.judgements import AuditEntry, AuditKind, Status, VerdictQuery, now, say_overruled
from sb_api.learning.lookups import look_up
from sb_api.processes.worker import Worker
from sb_api.records import decode_payload
from sb_api.review.deciding import note_verdicts, note_withdrawal
from sb_api.webhooks.noting import note_event

if TYPE_CHECKING:
    from sb_api.broker.shared_state import Broker
    from sb_api.learning.trainer import Trainer
    from sb_api.verdicts.audit import AuditLog
    from sb_api.verdicts.log_schema import LoggedVerdict

KINDS_OF_ENTRIES: dict[str, AuditKind] = {
    "train": "verdicts",
    "withdraw": "withdrawal",
    "rollback": "rollback",
    "replay": "replay",
    "let back": "let back",
    "rename": "renaming",
    "stage": "staged",
    "promote": "promoted",
    "drop": "dropped",
}
SET_ASIDE = "its trainings were refused again and again; `sb-api let-back` lets it back"
COUNTING: tuple[Status, ...] = ("learning", "learned", "refused", "held", "waiting")  # verdicts that are not over
NAMES_TOLD = 5  # reporters of one training that the audit log names


@dataclass
class Deed:
    """What a job has done so far, for the audit log."""

    count: int = 0
    names: list[str] = field(default_factory=list)
    forced: bool = False
    version: str = ""
    detail: str = ""
    set_aside: str = ""


def do_job(trainers: dict[str, Trainer], worker: Worker, claim: Claim, audit: AuditLog) -> Answer:
    """Train, roll back, replay or measure anew, as the job says. Raises SbApiError when it cannot be done; then nothing
    changes."""
    job = claim.job
    trainer = trainers.get(job.classifier)
    if trainer is None:
        raise unknown_classifier(job.classifier)
    if job.operation == "compare":
        from sb_api.learning.staging.promotion import describe_staged

        trainer.staging.synchronize()
        return Answer(status="completed", data=describe_staged(trainer))
    if job.operation == "measure":
        trainer.publication.publish_quality()
        return Answer(status="completed")
    with (
        worker.instruments.training(job.classifier, job.operation),
        worker.alone(f"train:{job.classifier}") as check,
        audited(job, audit) as deed,
        telling(job, deed, worker.consumer.broker),
    ):
        trainer.publication.synchronize()
        trainer.staging.synchronize()

        def tell(progress: dict[str, Any]) -> None:
            worker.consumer.mark_processing([claim], progress)

        if job.operation == "train":
            training = decode_payload(job.body, Training)
            verdicts = decode_payload(training.verdicts, list[trainer.classifier.record_type.verdict])  # type: ignore[name-defined]
            deed.count = len(verdicts)
            deed.names = sorted({verdict.reporter or "" for verdict in verdicts} - {"", job.actor.credential})
            deed.forced = training.force

            def logged() -> None:
                worker.consumer.acknowledge(claim)
                note_verdicts(worker.consumer.broker, job.classifier, verdicts)

            # Here, so that it is told to whoever waits, to whoever asks later, and with a refusal.
            note = say_overruled(training.overruled)
            try:
                data = trainer.train(job.task, verdicts, check, training.force, logged, training.new_classes)
            except TrainingRefused as refused:
                refused.detail += note and f" {note}."
                raise
            data["response"] += note and f". {note}"
        elif job.operation == "replay":
            from sb_api.learning.replay import replay

            asked = decode_payload(job.body, bool | Replay)
            wanted = Replay(asked) if isinstance(asked, bool) else asked  # older web processes send `force` alone
            deed.forced = wanted.force
            data = replay(trainer, job.task, check, wanted.force, tell, wanted.with_undone)
            deed.count = data["learned"]
        elif job.operation == "let back":
            deed.names = [decode_payload(job.body, str)]
            data = trainer.let_back(deed.names[0])
        elif job.operation == "rename":
            from sb_api.learning.classes.renaming import rename_classes

            renaming = decode_payload(job.body, Renaming)
            deed.forced = renaming.force
            data = rename_classes(trainer, job.task, renaming, check, renaming.force)
        elif job.operation in ("stage", "promote", "drop"):
            data = _do_staging(trainer, job, deed, check, tell)
        elif job.operation == "withdraw":
            from sb_api.learning.undo.withdrawal import withdraw

            withdrawal = decode_payload(job.body, Withdrawal)
            deed.names = sorted({withdrawal.reporter} - {"", job.actor.credential})
            data = withdraw(trainer, job.task, withdrawal, check)
            digest = data.pop("digest")  # for the queue alone
            deed.count = data["withdrawn"]
            if data["withdrawn"] and not _is_judged(trainer, withdrawal.record, digest):
                note_withdrawal(worker.consumer.broker, job.classifier, withdrawal.record, digest)
        else:
            version = trainer.store.chain().resolve(decode_payload(job.body, str))
            # Kept, so that a job that is done twice does not go back two steps.
            data = trainer.roll_back(worker.consumer.remember(job, version), check)
        deed.version = data["weights"]["version"]
        deed.detail = data.get("response", "")
        return Answer(status="completed", data=data)


def _do_staging(
    trainer: Trainer, job: Job, deed: Deed, check: Callable[[], None], tell: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    # Here, as with withdrawals: a train process that waits for its first job carries no numbers.
    from sb_api.learning.staging.promotion import promote_staged
    from sb_api.learning.staging.staging import drop_staged, stage_kept

    if job.operation == "stage":
        return stage_kept(trainer, decode_payload(job.body, str))
    if job.operation == "drop":
        return drop_staged(trainer, decode_payload(job.body, str))
    promotion = decode_payload(job.body, Promotion)
    deed.forced = promotion.force
    data = promote_staged(trainer, job.task, promotion, check, tell)
    deed.count = data["learned"]
    return data


def _is_judged(trainer: Trainer, record: str, digest: str) -> bool:
    """Whether anybody's verdict on a record with content of this digest still counts; those of older releases, which
    have none, are on any."""
    found = look_up(trainer.intake.log, trainer.store, VerdictQuery(record=record, statuses=[*COUNTING], limit=0))
    return any(not digest or one["digest"] in ("", digest) for one in found["verdicts"])


@contextmanager
def audited(job: Job, audit: AuditLog) -> Iterator[Deed]:
    """Write down what comes of a job, in the end."""
    deed, outcome = Deed(), "done"
    try:
        yield deed
    except LeaseLost:
        outcome = ""  # another process does it, and writes it down
        raise
    except SbApiError as error:
        # What a refusal says is figures. What other errors say may name a record, and no record belongs in here.
        refused = isinstance(error, TrainingRefused)
        outcome, deed.detail = ("refused", error.detail) if refused else ("failed", error.title)
        deed.set_aside = str(error.members.get("set_aside", ""))
        raise
    except Exception as error:
        outcome, deed.detail = "failed", type(error).__name__
        raise
    finally:
        if outcome:
            entry = _entry(job, deed, outcome)
            audit.append(entry)
            if deed.set_aside:
                about = {"name": deed.set_aside, "count": 0, "outcome": "done", "detail": SET_ASIDE}
                audit.append(msgspec.structs.replace(entry, kind="set aside", **about))


@contextmanager
def telling(job: Job, deed: Deed, broker: Broker) -> Iterator[None]:
    """Have others told when the guard refuses what a job has made. What that says is figures."""
    try:
        yield
    except TrainingRefused as error:
        about = {"classifier": job.classifier, "operation": job.operation, "verdicts": deed.count}
        note_event(broker, "training.refused", {**about, "detail": error.detail})
        raise


def describe_retry(trainer: Trainer, rows: Sequence[LoggedVerdict]) -> AuditEntry:
    """What the audit log says of kept verdicts that are learned now and that nobody has sent again."""
    reporters = sorted({row.reporter for row in rows})
    return AuditEntry(
        kind="verdicts",
        moment=now(),
        classifier=trainer.classifier.name,
        count=len(rows),
        version=trainer.publication.version,
        detail=f"kept before and learned now, of {len(reporters)} reporter{'' if len(reporters) == 1 else 's'}: "
        + _name_some([reporter or "nobody named" for reporter in reporters]),
    )


def _name_some(names: Sequence[str]) -> str:
    told, more = names[:NAMES_TOLD], len(names) - NAMES_TOLD
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def _entry(job: Job, deed: Deed, outcome: Any) -> AuditEntry:
    return AuditEntry(
        kind=KINDS_OF_ENTRIES[job.operation],
        moment=now(),
        credential=job.actor.credential,
        name=_name_some(deed.names),
        address=job.actor.address,
        classifier=job.classifier,
        count=deed.count,
        outcome=outcome,
        version=deed.version,
        detail=f"forced: {deed.detail}" if deed.forced else deed.detail,
    )
