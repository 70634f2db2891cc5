"""Which classes come with messages that are taught, and under which numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sb_api.errors import InvalidRecords
from sb_api.records import NO_CLASS_NAME, LabelledMessage, field_of_label
from sb_api.text.normalization import clean_class, fold_class
from sb_api.versions import MOST_LABELS, Version

LEAST_EXAMPLES = 5  # texts that differ
# What no class may be called: where no class is told of, both are shown.
_NONE = frozenset(map(fold_class, (NO_CLASS_NAME, "null")))


def means_no_class(name: str) -> bool:
    """Whether the name looks like what it is called that a message belongs to no class."""
    return fold_class(name) in _NONE


def name_new_classes(
    messages: Sequence[LabelledMessage], labels: Sequence[str], versions: Sequence[Version], least: int
) -> list[str]:
    """The labels with those classes of n messages behind them that are not among them; the same labels where there are
    none. The numbers below `least` are some class's, though it was rolled back: where none of the `versions` knows its
    name any more, its number stands for it.

    Raises InvalidRecords when a class has too few examples, or no name of its own.
    """
    found: dict[str, list[LabelledMessage]] = defaultdict(list)
    for message in messages:
        if message.label is not None and message.label not in labels:
            found[clean_class(message.label)].append(message)
    new = [name for name in found if name not in labels]
    folded = {fold_class(name): name for name in labels}
    for name in new:
        _check(name, found[name], folded, labels)
        folded[fold_class(name)] = name
    named = list(labels)
    for name in new:
        while name not in named:
            earlier = _find_earlier(named, versions) if len(named) < least else [name]
            called = next((one for one in earlier if one in new), None)
            alike = next((one for one in earlier if folded.get(fold_class(one)) in new), None)
            if called is None and alike is not None:
                like = folded[fold_class(alike)]
                detail = f"{like[:60]!r} looks like {alike[:60]!r}, which was rolled back: send it under that name"
                raise _refusal(detail, found[like])
            named.append(called or next(iter(earlier), f"class {len(named)}, rolled back"))
    if len(named) > MOST_LABELS:
        raise InvalidRecords(f"There would be {len(named)} classes; at most {MOST_LABELS} are possible.", errors={})
    return named


def _check(name: str, messages: Sequence[LabelledMessage], folded: dict[str, str], labels: Sequence[str]) -> None:
    detail = ""
    count = len({" ".join(message.text.casefold().split()) for message in messages})
    if not name:
        detail = "a class needs a name"
    elif means_no_class(name):
        detail = f"{name[:60]!r} is what it is called that a message fits none: send null, or {NO_CLASS_NAME!r}"
    elif (other := folded.get(fold_class(name))) is not None:
        which = "is one" if other in labels else "comes with it"
        detail = f"{name[:60]!r} is no class of the current weights, and looks like {other[:60]!r}, which {which}"
    elif count < LEAST_EXAMPLES:
        detail = (
            f"{name[:60]!r} is new and has {count} of at least {LEAST_EXAMPLES} different examples: "
            f"{LEAST_EXAMPLES - count} missing"
        )
    if detail:
        raise _refusal(detail, messages)


def _refusal(detail: str, messages: Sequence[LabelledMessage]) -> InvalidRecords:
    errors = {str(message.id): {"field": field_of_label(type(message)), "detail": detail} for message in messages}
    return InvalidRecords(f"Nothing was learned: {detail}.", errors=errors)


def _find_earlier(labels: Sequence[str], versions: Sequence[Version]) -> list[str]:
    """What the class behind these labels was called, the latest name first: in the newest of the versions that have it,
    and before, in those that this one came from. A class that was merged into another goes by the name before that."""
    number, taken = len(labels), {fold_class(name) for name in labels}
    known = {about.version: about for about in versions}
    about = next((about for about in versions if len(about.labels) > number), None)
    names: list[str] = []
    while about is not None and len(about.labels) > number:
        taken.update(fold_class(label) for place, label in enumerate(about.labels) if place != number)
        if fold_class(about.labels[number]) not in taken:
            names.append(about.labels[number])
        about = known.pop(about.parent or "", None)
    return names
