"""The page of the review queue: what waits, what one has claimed, and verdicts on one account or on many."""

from __future__ import annotations

from collections import Counter
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
from flask import Blueprint, Response, render_template, request

from sb_api.auth.access import require
from sb_api.errors import ContentChanged, InvalidParameter, SbApiError, TrainingRefused, Unavailable
from sb_api.judgements import Outcome
from sb_api.pages.history import recall
from sb_api.records import EDITORS
from sb_api.review.entries import (
    MOST_AT_ONCE,
    Claim,
    Digest,
    GiveVerdicts,
    Handle,
    ListQuery,
    Release,
    TakeBack,
    Waiting,
)
from sb_api.review.table import write_table
from sb_api.versions import Version
from sb_api.web.review import (
    claim,
    find_claimant,
    give_verdicts,
    list_entries,
    read_entries,
    release,
    take_back,
)
from sb_api.web.service import Service, get_service, judge, read_chain

reviews = Blueprint("reviews", __name__)

T = TypeVar("T", Claim, ListQuery)

SHOWN = 25  # entries in the list of one page
MOST_PAGES, MOST_EXPORTED = 10_000, 1_000  # entries of one table
MINE = 5  # claimed entries that are shown in full
AGES = {"day": (None, 1), "week": (None, 7), "month": (None, 30), "year": (None, 365), "older": (365, None)}
FILTERS = ("order", "band", "host", "language", "age")
SAID = {"1": 1, "0": 0}


@reviews.get("/page/review.csv")
@require("train")
def export_review() -> Response:
    """What the filters let through, for a spreadsheet."""
    query = msgspec.structs.replace(_query(), limit=MOST_EXPORTED, offset=0)
    table = write_table(list_entries(get_service(), query)[0].entries)
    headers = {"Content-Disposition": 'attachment; filename="review.csv"', "Cache-Control": "no-store"}
    return Response(table, headers=headers, content_type="text/csv; charset=utf-8")


@reviews.route("/page/review", methods=["GET", "POST"])
@require("train")
def show_review() -> tuple[str, int]:
    """What waits; and first what the button says: claim, give back, verdicts, undo. After one verdict, the next."""
    if request.method == "GET":
        return _page()
    try:
        done = _do()
    except ContentChanged as error:
        return _page({"problem": error.problem(), "changed": error.members["entries"]}, error.status)
    except SbApiError as error:
        if error.status >= 500:
            raise
        return _page({"problem": error.problem()}, error.status)
    return _page(done)


def _do() -> dict[str, Any]:
    """What came of a button."""
    service, form, following = get_service(), request.form, _read_filters(Claim)
    if handle := form.get("take"):
        claim(service, Claim(entries=[_handle(handle)]))
        return {}
    if handle := form.get("release"):
        release(service, Release(entries=[_handle(handle)]))
        return _claim_next(following)
    if handle := form.get("undo"):
        return {"undone": take_back(service, TakeBack(entry=_handle(handle), seen=_seen().get(handle)))}
    if "next" in form:
        return _claim_next(following)
    said, handles = SAID.get(form.get("verdict", "")), [_handle(handle) for handle in form.getlist("entry")]
    if said is None or not handles:
        raise InvalidParameter("Choose accounts of the list first, and then say what they are.")
    done = _give_verdicts(dict.fromkeys(handles, said))
    return {"said": said, **done, **(_claim_next(following) if "one" in form else {})}


def _give_verdicts(verdicts: dict[str, int]) -> dict[str, Any]:
    """What became of verdicts: of each entry, and how many came to each state. What the guard refuses is kept."""
    service = get_service()
    seen = {handle: digest for handle, digest in _seen().items() if handle in verdicts}
    try:
        action = msgspec.convert({"verdicts": verdicts, "seen": seen}, GiveVerdicts)
    except msgspec.ValidationError:
        raise InvalidParameter(f"At most {MOST_AT_ONCE} accounts get a verdict at once; choose fewer.") from None
    entries = read_entries(service, list(verdicts))
    try:
        records = give_verdicts(service, action).trained.records
    except TrainingRefused as error:
        records = msgspec.convert(error.members.get("records", {}), dict[str, Outcome])
        if not records:
            raise
    outcomes = [(entry, records[str(entry.editor.id)]) for entry in entries if str(entry.editor.id) in records]
    return {"outcomes": outcomes, "states": Counter(outcome.state for _, outcome in outcomes)}


def _claim_next(following: Claim) -> dict[str, Any]:
    """Claim the next entry of the filters; whether there was none."""
    return {} if claim(get_service(), following).entries else {"empty": True}


def _read_filters(choice: type[T], **more: int) -> T:
    """The filters of this request as a choice. Raises InvalidParameter."""
    try:
        return msgspec.convert(_choice() | more, choice, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidParameter(f"The filters cannot be read: {error}.") from None


def _handle(text: str) -> str:
    """The name of an entry, from a form. Raises InvalidParameter."""
    try:
        return msgspec.convert({"entry": text}, TakeBack).entry
    except msgspec.ValidationError:
        raise InvalidParameter("The form names no entry.") from None


def _seen() -> dict[str, str]:
    """What the accounts of the form said when they were shown: digests, by entry. Raises InvalidParameter."""
    pairs = (pair.partition(" ") for pair in request.form.getlist("seen"))
    try:
        return msgspec.convert({handle: digest for handle, _, digest in pairs}, dict[Handle, Digest])
    except msgspec.ValidationError:
        raise InvalidParameter("The form does not say what its accounts said.") from None


def _choice() -> dict[str, Any]:
    """The filters of this request, as the fields of a Choice. Raises InvalidParameter."""
    given = {name: value for name in FILTERS if (value := request.values.get(name, "").strip())}
    age = given.pop("age", "")
    if age and age not in AGES:
        raise InvalidParameter(f"The filters cannot be read: `age` is one of {', '.join(AGES)}, or nothing.")
    least, most = AGES.get(age, (None, None))
    return given | {"min_age": least, "max_age": most}  # None is any


def _query() -> ListQuery:
    """The part of the list that is asked for. Raises InvalidParameter."""
    page = min(max(1, request.values.get("page", 1, type=int)), MOST_PAGES)
    return _read_filters(ListQuery, limit=SHOWN, offset=(page - 1) * SHOWN)


def _page(done: dict[str, Any] | None = None, status: int = 200) -> tuple[str, int]:
    """The page, with what was done. Filters that cannot be read are said to be, and nothing is listed."""
    service = get_service()
    try:
        query = _query()
    except InvalidParameter as error:
        return render_template("review.html", problem=error.problem(), filters={}), error.status
    listed, mine = list_entries(service, query, ListQuery(mine=True, limit=MINE))
    claimant, others = find_claimant(None), (done or {}).get("changed", [])
    changed, beyond = others[:MINE], others[MINE:]
    rest = [entry for entry in mine.entries if entry.entry not in changed]
    first = [*read_entries(service, changed), *rest][:MINE]
    filters = {name: value for name in FILTERS if (value := request.values.get(name, "").strip())}
    shown = {
        "listed": listed,
        "mine": mine.matching,
        "cards": _cards(first),
        "beyond": len(beyond),
        "own": {entry.entry for entry in listed.entries if entry.claimed_by == claimant},
        "filters": filters,
        "languages": [(code, f"{code} ({number})") for code, number in listed.languages.items()],
        "query": urlencode(filters),
        "page": query.offset // SHOWN + 1,
        "pages": max(1, -(-listed.matching // SHOWN)),
        "about": _current(service),
    }
    return render_template("review.html", **shown, **(done or {})), status


def _current(service: Service) -> Version | None:
    """What is known of the current weights, by which bands are explained; None while none are published."""
    try:
        return read_chain(service, EDITORS).find("current")
    except Unavailable:
        return None


def _cards(entries: list[Waiting]) -> list[dict[str, Any]]:
    """What the page shows of claimed entries: as the weights judge them now, with their reasons and past verdicts."""
    if not entries:
        return []
    service, editors = get_service(), [entry.editor for entry in entries]
    judged, history = judge(service, EDITORS, editors, explain=True), recall(service, EDITORS, editors)
    return [
        {
            "entry": entry,
            "record": entry.editor,
            "weights": judged.version,
            "score": judged.scores[position],
            "band": judged.bands[position],
            "reasons": msgspec.to_builtins(judged.reasons[position]) if judged.reasons else [],
            "usual": judged.usual,
            **history.describe(entry.editor),
        }
        for position, entry in enumerate(entries)
    ]
