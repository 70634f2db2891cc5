"""Questions about the logs, answered while a training or a replay goes on: by a thread of the train process, which has
the logs, with connections of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from sb_api.broker.connection import connect
from sb_api.broker.consumer import Consumer
from sb_api.broker.jobs import LOOKUPS, Answer, Claim, unknown_classifier
from sb_api.broker.shared_state import Broker
from sb_api.config import Settings
from sb_api.errors import JobFailed
from sb_api.judgements import VerdictQuery
from sb_api.processes.claiming import AsTheyCome
from sb_api.processes.worker import Worker
from sb_api.records import RECORD_TYPES, decode_payload

if TYPE_CHECKING:
    from sb_api.models.weights_store import WeightsStore
    from sb_api.verdicts.audit import AuditLog
    from sb_api.verdicts.verdict_log import VerdictLog

PATIENCE = 5.0  # seconds for what is under way at the end


class Lookups:
    """Reads the logs and the weights on disk as any process of this host may, whatever the train process does.

    `used` is when (monotonic seconds) it was last asked, None while nothing is loaded for it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.used: float | None = None
        self._open: dict[str, tuple[VerdictLog | None, WeightsStore]] = {}
        consumer = Consumer(Broker.of(connect(settings), settings))
        # It works with no weights, and so says of none that it has them: the train process is alive or not.
        self._worker = Worker(consumer, "train", AsTheyCome(LOOKUPS), do=self.do, refresh=lambda _: {})
        self._thread = threading.Thread(target=self._worker.run, name="lookups", daemon=True)

    @contextmanager
    def answered(self) -> Iterator[None]:
        """Answer for as long as this lasts, or until `stop`."""
        self._thread.start()
        try:
            yield
        finally:
            self.stop()

    def stop(self) -> None:
        """Finish what is under way, and leave the rest to others. May be repeated."""
        self._worker.stopping.set()
        if self._thread.is_alive():
            self._thread.join(PATIENCE)

    def do(self, claims: Sequence[Claim]) -> list[Answer]:
        """Answer claims. Raises SbApiError for what cannot be looked up."""
        try:
            return [Answer(status="completed", data=self._answer(claim)) for claim in claims]
        finally:
            self.used = monotonic()

    def _answer(self, claim: Claim) -> dict[str, Any]:
        job = claim.job
        if job.operation == "audit":
            return {"entries": msgspec.to_builtins(self._audit.latest(decode_payload(job.body, int)))}
        if job.classifier not in RECORD_TYPES:
            raise unknown_classifier(job.classifier)
        log, store = self._opened(job.classifier)
        return look_up(log, store, decode_payload(job.body, VerdictQuery))

    @cached_property
    def _audit(self) -> AuditLog:
        # Opened when it is needed, as are the others: a process that is not asked carries no database.
        from sb_api.verdicts.audit import open_audit_log

        return open_audit_log(self.settings)

    def _opened(self, classifier: str) -> tuple[VerdictLog | None, WeightsStore]:
        from sb_api.models.weights_store import WeightsStore
        from sb_api.verdicts.verdict_log import open_verdict_log

        if classifier not in self._open:
            store = WeightsStore.of(self.settings, classifier)
            self._open[classifier] = open_verdict_log(self.settings, classifier), store
        return self._open[classifier]


def look_up(log: VerdictLog | None, store: WeightsStore, query: VerdictQuery) -> dict[str, Any]:
    """The verdicts that are asked for, newest first, and whether there are more. Raises JobFailed without a log."""
    from sb_api.verdicts.history import find_verdicts

    if log is None:
        raise JobFailed("The verdict log is off.")
    found, more = find_verdicts(log, store.chain(), query)
    return {"verdicts": msgspec.to_builtins(found), "more": more}
