"""Percent-encoding (RFC 3986) of letters, as addresses have it that were copied from a browser."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from sb_api.blanks import INVISIBLE

# One character beyond ASCII in UTF-8: how its bytes begin tells how many there are.
_NEXT = "%[89ABab][0-9A-Fa-f]"
_ENCODED = re.compile(f"%(?:[CDcd][0-9A-Fa-f]|[Ee][0-9A-Fa-f]{_NEXT}|[Ff][0-4]{_NEXT}{_NEXT}){_NEXT}")


def decode_letters(text: str) -> str:
    """`text` with the letters, digits and combining marks beyond ASCII that are percent-encoded in it as UTF-8.

    All else stays as it is: a blank ("%20") would break an address in two, and what is decoded is no markup, no percent
    sign and nothing invisible. Time: linear.
    """
    return _ENCODED.sub(lambda match: _decode(match[0]), text) if "%" in text else text


@lru_cache(maxsize=4096)
def _decode(encoded: str) -> str:
    try:
        character = bytes.fromhex(encoded.replace("%", "")).decode()
    except UnicodeDecodeError:  # longer than it need be, half a surrogate pair, beyond Unicode
        return encoded
    return character if _is_letter(character) else encoded


def _is_letter(character: str) -> bool:
    if INVISIBLE.match(character):
        return False
    return unicodedata.category(character)[0] == "M" or unicodedata.normalize("NFKC", character).isalnum()
