"""The pages on which people have editors and messages judged, and say what they think of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from flask import Blueprint, render_template, request

from sb_api.auth.access import check_role, current_actor, current_identity, require
from sb_api.broker.jobs import Renaming, Withdrawal
from sb_api.errors import InvalidParameter, InvalidRecords, SbApiError, Unavailable
from sb_api.json_bodies import Records
from sb_api.judgements import Judged, describe_answers
from sb_api.pages.history import History, recall
from sb_api.pages.one_account import (
    EXAMPLE,
    describe_change,
    put_reasons_beside,
    read_before,
    read_form,
    read_names,
    says_little,
    write_json,
)
from sb_api.pages.pastes import read_editors, read_messages
from sb_api.records import (
    EDITORS,
    INTENTS,
    Editor,
    FieldError,
    LabelledMessage,
    RecordType,
    Verdict,
    content_digest,
    find_record_type,
)
from sb_api.versions import BANDS, Version
from sb_api.web.calls.trainings import await_renaming, await_training, await_withdrawal
from sb_api.web.schemas import WantedNames
from sb_api.web.service import Service, get_service, judge, look_up_editors, read_chain

checks = Blueprint("checks", __name__)

SHOWN = 25  # records on one page of results
LONGEST_CLASS = 255  # characters of its name
UNSURE, UNDO = "unsure", "undo"  # what may be said instead of a label, in a field of its own: classes have any name
# On the reference set: what a verdict may change, in the order of the page.
COMPARED = ("precision", "recall", "f1", "false_positives_per_thousand", "accuracy", "macro_f1")


@checks.route("/", methods=["GET", "POST"])
@require("predict")
def check_editors() -> tuple[str, int] | str:
    """Editors, from a form or pasted."""
    if request.method == "GET":
        if "example" in request.args:
            return _check_one(dict(EXAMPLE))
        return render_template("check.html", fields={}, versions=_versions_to_choose())
    if wanted := request.form.get("lookup", "").strip():
        return _look_up(wanted)
    if text := request.form.get("paste"):
        return _results("check.html", EDITORS, text, fields={})
    return _check_one(read_form(request.form))


def _check_one(fields: dict[str, str]) -> tuple[str, int] | str:
    """The account of the form, what has changed since it was last judged, and what other weights say of it."""
    versions = _versions_to_choose()
    if not fields:
        problem = InvalidParameter("Fill in what you know of the account; one field is enough.").problem()
        return render_template("check.html", problem=problem, fields={}, versions=versions), 400
    if against := request.form.get("against", ""):
        check_role("train")  # other weights are loaded for it
    return _results(
        "check.html", EDITORS, write_json(fields), fields=fields, one=True, versions=versions, against=against
    )


def _versions_to_choose() -> list[tuple[Version, str]]:
    """The kept versions beside the current one, newest first, each with the slot that it is in; none for those who may
    not have other weights loaded."""
    if not current_identity().may("train"):
        return []
    try:
        chain = read_chain(get_service(), EDITORS)
    except Unavailable:
        return []
    slots = {version: slot for slot, version in chain.slots.items()}
    return [
        (about, slots.get(about.version, "")) for about in chain.versions if about.version != chain.slots["current"]
    ]


def _judge_by_other(service: Service, wanted: str, record: Editor, card: dict[str, Any]) -> dict[str, Any]:
    """What other weights say of an account, beside what the current ones do."""
    try:
        version = read_chain(service, EDITORS).resolve(wanted)
        judged = judge(service, EDITORS, [record], explain=True, by=version)
    except SbApiError as error:
        if error.status >= 500:
            raise
        return {"problem": error.problem()}
    other = _describe([("", record)], judged)[0]
    return {"version": judged.version, "card": other, "reasons": put_reasons_beside(card, other)}


def _look_up(wanted: str) -> tuple[str, int] | str:
    """Accounts by number, name or address, one a line, from the database of the editors."""
    check_role("train")  # what is found there is more than what a visitor of MusicBrainz sees
    numbers, names = read_names(wanted)
    try:
        found, missing = look_up_editors(get_service(), numbers, names)
    except SbApiError as error:
        if error.status >= 500:
            raise
        return render_template("check.html", problem=error.problem(), fields={}, lookup=wanted), error.status
    faults = {one: {"field": "", "detail": "no editor has this number or name"} for one in missing}
    if not found:
        return render_template("check.html", faults=faults, fields={}, lookup=wanted), 422
    text = msgspec.json.encode(found).decode()
    return _results("check.html", EDITORS, text, faults, fields={}, lookup=wanted)


@checks.route("/page/text", methods=["GET", "POST"])
@require("predict")
def check_messages() -> tuple[str, int] | str:
    """Messages, one a line or pasted as JSON."""
    record_type = _type_of_messages()
    if request.method == "GET":
        return _show_texts(record_type)
    return _results("text.html", record_type, request.form.get("paste", ""), classes=_known_classes(record_type))


def _show_texts(record_type: RecordType, **members: Any) -> str:
    return render_template("text.html", model=record_type.name, classes=_known_classes(record_type), **members)


def _known_classes(record_type: RecordType) -> list[str]:
    """The classes of the current weights, for those who may change them."""
    if not current_identity().may("admin"):
        return []
    try:
        chain = read_chain(get_service(), record_type)
    except Unavailable:
        return []
    current = next(about for about in chain.versions if about.version == chain.slots["current"])
    return sorted(set(current.labels))


def _type_of_messages() -> RecordType:
    """Of which classifier messages this request has. Raises InvalidParameter."""
    record_type = find_record_type(request.values.get("model", INTENTS.name))
    if not record_type.of_messages:
        raise InvalidParameter(f"model={record_type.name!r} judges no messages.")
    return record_type


@checks.post("/page/class")
@require("admin")
def add_class() -> tuple[str, int] | str:
    """A class of messages that is not known yet, with its first examples."""
    service, record_type = get_service(), _type_of_messages()
    name, text = request.form.get("name", "").strip(), request.form.get("examples", "")
    shown = {"class_name": name, "examples": text}
    try:
        records = _read(record_type, service, text).values()
        if not name:
            raise InvalidParameter("The class needs a name.")
        messages = [_verdict(record_type, record, name) for record in records]
        trained = await_training(service, record_type, messages, current_actor(), new_classes=True)
    except SbApiError as error:
        if error.status >= 500:
            raise
        return _show_texts(record_type, class_problem=error.problem(), **shown), error.status
    return _show_texts(record_type, taught={"name": name, **trained})


@checks.post("/page/rename-class")
@require("admin")
def rename_class() -> tuple[str, int] | str:
    """Classes of messages under another name; several are one from then on."""
    service, record_type = get_service(), _type_of_messages()
    sent = {"old": request.form.getlist("old"), "new": request.form.get("new", "")}
    try:
        if not sent["old"]:
            raise InvalidParameter("Choose the class that is to have another name, or several.")
        wanted = msgspec.convert(sent, WantedNames)
        renamed = await_renaming(service, record_type, Renaming(wanted.old, wanted.new), current_actor())
    except msgspec.ValidationError:
        problem = InvalidParameter(f"The name of a class has 1 to {LONGEST_CLASS} characters.").problem()
        return _show_texts(record_type, rename_problem=problem, chosen=sent), 400
    except SbApiError as error:
        if error.status >= 500:
            raise
        return _show_texts(record_type, rename_problem=error.problem(), chosen=sent), error.status
    return _show_texts(record_type, renamed=renamed)


@checks.post("/page/verdict")
@require("train")
def give_verdict() -> str:
    """What a person says of one record: it is learned, and judged again."""
    service = get_service()
    record_type = find_record_type(request.form.get("model", EDITORS.name))
    (key, record), *_ = _read(record_type, service, request.form.get("record", "")).items()
    instead, said = request.form.get("instead"), request.form.get("verdict")
    if instead is None and said is None:
        raise InvalidParameter("The form says nothing of the record.")
    before = judge(service, record_type, [record])
    if instead is not None:
        said_of_it = _do_instead(service, record_type, record, instead)
    else:
        said_of_it = _say(service, record_type, record, said or "")
    after = _judge_with_reasons(service, record_type, [(key, record)])
    history = recall(service, record_type, [record])
    return render_template(
        "verdict.html",
        model=record_type.name,
        card=_describe([(key, record)], after, history)[0],
        about=_about(service, record_type, after.version),
        before=_describe([(key, record)], before)[0],
        said=said,
        weights={"before": before.version, "after": after.version},
        history=history,
        **said_of_it,
    )


def _say(service: Service, record_type: RecordType, record: Any, said: str) -> dict[str, Any]:
    """Have it learned which label a person gives a record. Returns the `state` of that, the `reason` where it is not
    learned, the guard's `detail` where it refused, and `figures` of the weights before and after."""
    verdict = _verdict(record_type, record, said)
    known = {about.version: about for about in read_chain(service, record_type).versions}
    try:
        learned = await_training(service, record_type, [verdict], current_actor())
    except SbApiError as error:
        if error.status != 409:
            raise
        outcome = error.members.get("records", {}).get(str(record.id), {"state": "refused"})
        return {"state": outcome["state"], "reason": outcome.get("reason", ""), "detail": error.detail}
    outcome = learned["records"][str(record.id)]
    parent = known.get(learned["weights"]["previous"] or "")
    figures = _changes(parent.figures.get("reference", {}) if parent else {}, learned.get("reference", {}))
    return {"state": outcome["state"], "reason": outcome.get("reason", ""), "figures": figures}


def _do_instead(service: Service, record_type: RecordType, record: Any, instead: str) -> dict[str, Any]:
    """What a person does instead of giving a record a label: nothing, or take back the one that they gave. Returns the
    `state` of that. Raises InvalidParameter."""
    if instead == UNSURE:
        return {"state": "unsure"}
    if instead != UNDO:
        raise InvalidParameter(f"`instead` must be {UNSURE} or {UNDO}.")
    wanted = Withdrawal(current_identity().name, str(record.id), content_digest(record))
    undone = await_withdrawal(service, record_type, wanted, current_actor())
    if not undone["withdrawn"]:
        return {"state": "nothing to undo"}
    return {"state": "undone" if undone["unlearned"] else "taken back", "standing": undone.get("standing")}


def _results(
    template: str, record_type: RecordType, text: str, missing: dict[str, Any] | None = None, **members: Any
) -> tuple[str, int] | str:
    """The page with what came of its form, and what is `missing` of it; a page of results holds `SHOWN` records, the
    highest scores first."""
    service = get_service()
    # The script puts in the results alone; the paste, which may be large, is there already.
    paste = "" if "X-Swap" in request.headers else request.form.get("paste", "")
    members = {"paste": paste, "model": record_type.name, **members}
    try:
        records = _records(record_type, service, text)
    except SbApiError as error:
        if error.status >= 500:
            raise
        return render_template(template, problem=error.problem(), **members), error.status
    members["ignored"] = records.ignored
    if not records.sound:
        return render_template(template, faults=records.errors, **members), 422
    keyed = list(records.sound.items())
    judged = judge(service, record_type, list(records.sound.values()))
    faults = (missing or {}) | records.errors
    faults |= {
        keyed[position][0]: {"field": "", "detail": detail} for position, detail in sorted(judged.errors.items())
    }
    order = [position for position in range(len(keyed)) if position not in judged.errors]
    if record_type is EDITORS:
        order.sort(key=lambda position: -judged.scores[position])
    pages = max(1, -(-len(order) // SHOWN))
    page = min(max(1, request.form.get("page", 1, type=int)), pages)
    shown = [keyed[position] for position in order[(page - 1) * SHOWN : page * SHOWN]]
    predictions = describe_answers(list(records.sound.values()), judged)["predictions"]
    history = recall(service, record_type, [record for _, record in shown])
    before = read_before(request.form.get("before", "")) if members.get("one") else None
    earlier = [("", before)] if before and shown else []  # by the same weights as what it has become
    described = (
        _describe([*earlier, *shown], _judge_with_reasons(service, record_type, [*earlier, *shown]), history)
        if shown
        else []
    )
    if shown and members.get("against"):
        members["compared"] = _judge_by_other(service, members["against"], shown[0][1], described[-1])
    return render_template(
        template,
        cards=described[len(earlier) :],
        change=describe_change(*described) if earlier else None,
        history=history,
        count=len(order),
        groups=[(band, judged.bands.count(band)) for band in BANDS]
        if judged.bands
        else Counter(predictions.values()).most_common(),
        faults=faults,
        page=page,
        pages=pages,
        first=(page - 1) * SHOWN + 1,
        weights=judged.version,
        about=_about(service, record_type, judged.version),
        **members,
    )


def _about(service: Service, record_type: RecordType, version: str) -> Version | None:
    """What is known of the weights that judged; None of those that are no longer kept."""
    return next((about for about in read_chain(service, record_type).versions if about.version == version), None)


def _judge_with_reasons(service: Service, record_type: RecordType, keyed: Sequence[tuple[str, Any]]) -> Judged:
    return judge(service, record_type, [record for _, record in keyed], explain=True)


def _describe(keyed: Sequence[tuple[str, Any]], judged: Judged, history: History | None = None) -> list[dict[str, Any]]:
    """What the page shows of judged records."""
    return [
        {
            "key": key,
            "record": record,
            "json": msgspec.json.encode(record).decode(),
            "prediction": judged.predictions[position],
            "score": judged.scores[position],
            "band": judged.bands[position] if judged.bands else None,
            "reasons": msgspec.to_builtins(judged.reasons[position]) if judged.reasons else [],
            "usual": judged.usual,
            "neighbours": msgspec.to_builtins(judged.neighbours[position]) if judged.neighbours else [],
            "sparse": bool(judged.bands) and judged.bands[position] == BANDS[-1] and says_little(record),
            **(history.describe(record) if history else {"past": [], "given": None, "undoable": False}),
        }
        for position, (key, record) in enumerate(keyed)
    ]


def _records(record_type: RecordType, service: Service, text: str) -> Records:
    read = read_editors if record_type is EDITORS else read_messages
    return read(text, service.settings.max_records)


def _read(record_type: RecordType, service: Service, text: str) -> dict[str, Any]:
    records = _records(record_type, service, text)
    records.all_sound()
    return records.sound


def _verdict(record_type: RecordType, record: Any, said: str) -> Verdict | LabelledMessage:
    """What is said of a record, as a verdict. Raises InvalidParameter or InvalidRecords."""
    try:
        return _make_verdict(record_type, record, said)
    except FieldError as error:
        fault = {"field": error.field, "detail": str(error)}
        raise InvalidRecords(f"`{error.field}` {error}.", errors={str(record.id): fault}) from None


def _make_verdict(record_type: RecordType, record: Any, said: str) -> Verdict | LabelledMessage:
    reporter = current_identity().name or None
    if record_type.of_messages:
        if len(said) > LONGEST_CLASS:
            raise InvalidParameter(f"The name of a class has at most {LONGEST_CLASS} characters.")
        labelled: LabelledMessage = record_type.verdict(
            id=record.id, text=record.text, label=said or None, reporter=reporter
        )
        return labelled
    if said not in ("0", "1"):
        raise InvalidParameter("The verdict must be 1 for spam, or 0 for not spam.")
    known = {name: getattr(record, name) for name in Editor.__struct_fields__}
    return Verdict(**known, verdict=int(said), reporter=reporter)


def _changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, tuple[float, float]]:
    return {
        name: (before[name], after[name])
        for name in COMPARED
        if before.get(name) is not None and after.get(name) is not None
    }
