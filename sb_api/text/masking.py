"""Personal data in messages is replaced by placeholder tokens before anything is stored or learned."""

from __future__ import annotations

import re
from ipaddress import ip_address

from sb_api.text.urls import top_level_domain

PHONE_REGIONS = (None, "US", "GB", "DE")  # None: numbers with a country code
PHONE_CHARACTERS = 1_000  # of a text that are looked up in numbering plans, which takes up to 50 microseconds each

# Linear in any text: a run of characters is entered at its beginning alone (the lookbehinds) and never given back (++).
_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]++@[\w-]++(?:\.[\w-]++)+")
_URL = re.compile(r"(?<![A-Za-z0-9_])(?:(?:https?|ftp)://|www\.)[^\s<>\"']+", re.IGNORECASE)
_HOST = re.compile(r"(?<![\w@.-])(?:[\w-]++\.)+([^\W\d_]{2,24})\b(?:[/:?][^\s<>\"']*)?")
_IBAN = re.compile(r"\b[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,42}\b")
_CARD = re.compile(r"(?<![\w-])\d(?:[ -]?\d){12,18}(?![\w-])")
_IP = re.compile(r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4})(?![\w:])")
_NAMED_NUMBER = re.compile(
    r"\b(order|invoice|ticket|booking|reservation|reference|case|transaction|tracking|customer|account|confirmation)"
    r"((?:\s++(?:number|no|nr|id|code))?\.?(?:\s++is)?\s*+[:#]*+\s*+#?)([A-Z0-9][A-Z0-9-]{3,})\b",
    re.IGNORECASE,
)
_LONG_NUMBER = re.compile(r"(?<![\w-])(?:#\d{4,}|(?=[A-Z0-9-]*\d{3})[A-Z]{1,5}-?\d[A-Z0-9-]{4,}|\d{7,})(?![\w-])")
_PHONE_LIKE = re.compile(r"[+(]{0,2}\d(?:[-x\s().\[\]/~\u2010-\u2015]{0,4}\d){6,}")
_PHONE_CONTEXT = 12  # characters around it: an extension, or what says that it is none
_DIGIT = re.compile(r"\d")


def mask_personal_data(text: str) -> str:
    """`text` with <email>, <url>, <iban>, <ip>, <card>, <phone> and <order> in the place of such data.

    Card numbers and IBANs are told by their check digits, phone numbers by the numbering plans of the world; an order
    number is one that is called so, or that is long. Whatever cannot be told from an ordinary word stays.
    """
    if "@" in text:
        text = _EMAIL.sub("<email>", text)
    if "." in text or "://" in text:
        text = _URL.sub("<url>", text)
        text = _HOST.sub(_mask_host, text)
    if "::" in text or text.count(":") > 1 or text.count(".") > 2:
        text = _IP.sub(lambda match: "<ip>" if _is_address(match[0]) else match[0], text)
    digits = len(_DIGIT.findall(text))
    if digits >= 12:
        text = _IBAN.sub(_mask_iban, text)
        text = _CARD.sub(lambda match: "<card>" if _is_card(match[0]) else match[0], text)
    if digits >= 4:
        text = _NAMED_NUMBER.sub(_mask_named_number, text)
    if digits >= 7:
        text = _mask_phones(text)
    return _LONG_NUMBER.sub("<order>", text) if digits >= 4 else text


def _mask_host(match: re.Match[str]) -> str:
    name = match[1].lower()
    known = name if name in ("example", "test") else top_level_domain(name)
    # Letters behind it, in a script without blanks, are no part of it.
    return "<url>" + ("" if match.end(1) < match.end() else name[len(known) :]) if known else match[0]


def _mask_named_number(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}<order>" if _DIGIT.search(match[3]) else match[0]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_card(text: str) -> bool:
    from stdnum import luhn

    return bool(luhn.is_valid(re.sub(r"[ -]", "", text)))


def _mask_iban(match: re.Match[str]) -> str:
    from stdnum import iban

    # The words behind an IBAN look like more of it: the longest valid beginning counts.
    ends = [place.start() for place in re.finditer(r"[ -]|$", match[0])]
    for end in reversed(ends):
        if iban.is_valid(match[0][:end]):
            return "<iban>" + match[0][end:]
    return match[0]


def _mask_phones(text: str) -> str:
    """`text` with <phone>; past PHONE_CHARACTERS every number that may be one, without a look at numbering plans."""
    numbers = [*_PHONE_LIKE.finditer(text)]
    borders = [*(number.start() for number in numbers), len(text)]
    pieces, end, asked = [], 0, 0
    for number, following in zip(numbers, borders[1:], strict=True):
        start = max(end, number.start() - _PHONE_CONTEXT)
        stop = min(following, number.end() + _PHONE_CONTEXT)
        asked += stop - start
        if asked > PHONE_CHARACTERS:
            pieces += [text[end : number.start()], "<phone>"]
            end = number.end()
        else:
            pieces += [text[end:start], _look_up_phones(text[start:stop])]
            end = stop
    return "".join([*pieces, text[end:]])


def _look_up_phones(text: str) -> str:
    import phonenumbers

    for region in PHONE_REGIONS:
        for match in reversed(list(phonenumbers.PhoneNumberMatcher(text, region))):
            text = f"{text[: match.start]}<phone>{text[match.end :]}"
    return text
