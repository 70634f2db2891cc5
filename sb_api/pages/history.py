"""What was said of records before: who gave which verdict, what became of it, and which of them is one's own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sb_api.auth.access import current_identity
from sb_api.errors import SbApiError
from sb_api.judgements import PastVerdict, VerdictQuery
from sb_api.records import RecordType, content_digest
from sb_api.web.service import Service, ask_verdicts

PATIENCE = 1.5  # seconds: a page does not wait for a training
MOST = 500  # verdicts on the records of one page
GONE = ("superseded", "withdrawn", "undone")  # what their reporter no longer says, or would have to say again
BUSY = "What was said of them before is not shown: the train process is busy or away. It will be there in a moment."


@dataclass(frozen=True)
class History:
    """Past verdicts by record, newest first; `missing` says why they are not known, "" where they are."""

    verdicts: dict[str, list[PastVerdict]] = field(default_factory=dict)
    missing: str = ""

    def describe(self, record: Any) -> dict[str, Any]:
        """What the page shows of one record: all verdicts, each with whether it was on the same content; the one that
        whoever asks gives it now (None: none); and whether there is one of theirs to undo: that, or one that they took
        back and that the weights know all the same."""
        digest, me = content_digest(record), current_identity().name
        found = self.verdicts.get(str(record.id), ())
        same = [verdict for verdict in found if verdict.digest in ("", digest)]
        past = [{"verdict": verdict, "same": verdict in same, "mine": verdict.reporter == me} for verdict in found]
        mine = [verdict for verdict in same if verdict.reporter == me]
        given = next((verdict for verdict in mine if verdict.status not in GONE), None)
        known = any(verdict.known for verdict in mine[:1])
        return {"past": past, "given": given, "undoable": given is not None or known}


def recall(service: Service, record_type: RecordType, records: Sequence[Any]) -> History:
    """The verdicts on records, for those who may give some. Nothing that goes wrong keeps anybody from the page."""
    if not records or not current_identity().may("train"):
        return History()
    try:
        if not any(beat.role == "train" for beat in service.broker.registry.alive()):
            return History(missing=BUSY)
        query = VerdictQuery(records=[str(record.id) for record in records], limit=MOST)
        found, _ = ask_verdicts(service, record_type, query, PATIENCE)
    except SbApiError as error:
        return History(missing=error.detail if error.status == 500 else BUSY)
    verdicts = defaultdict(list)
    for verdict in found:
        verdicts[verdict.record].append(verdict)
    return History(dict(verdicts))
