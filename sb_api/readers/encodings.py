"""What bytes stand for which letters: told by a mark or by the bytes, else guessed by the words that result.

UTF-8 comes first: a file of which most lines that are not plain ASCII are UTF-8 is UTF-8, and its other lines are
damaged. Of the older encodings, each is tried that was in use for some language; the likeliest is the one that makes
the most words that are words of that language (wordfreq's lists). Where none makes enough, nothing is guessed.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain

from sb_api.errors import InvalidParameter

FEW = 0.02  # share of lines that are taken to be damaged where no encoding fits them
SAMPLE_LINES = 2_000  # that are not ASCII, by which an encoding is guessed
# Shares of the words with letters beyond ASCII that are words of the language: with so many an encoding is possible,
# with so many no other is tried. Of languages without blanks, the share of characters that are in use.
LEAST_KNOWN, SURELY_KNOWN, LEAST_KNOWN_CHARACTERS = 0.4, 0.9, 0.95
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# The encodings that were in use for some languages, those in wider use first.
_WEST = ("fr", "de", "es", "pt", "it", "nl", "sv", "da", "nb", "fi", "is", "ca", "en", "id", "ms", "fil")
_EAST = ("pl", "cs", "sk", "hu", "sl", "sh", "ro")
CANDIDATES: tuple[tuple[str, Sequence[str]], ...] = (
    ("cp1252", _WEST),
    ("cp1250", _EAST),
    ("iso8859-2", _EAST),
    ("cp1251", ("ru", "uk", "bg", "mk")),
    ("koi8-r", ("ru",)),
    ("koi8-u", ("uk",)),
    ("iso8859-5", ("ru", "bg", "mk")),
    ("cp866", ("ru",)),
    ("cp1253", ("el",)),
    ("iso8859-7", ("el",)),
    ("cp1254", ("tr",)),
    ("cp1255", ("he",)),
    ("cp1256", ("ar", "fa", "ur")),
    ("iso8859-6", ("ar",)),
    ("cp1257", ("lt", "lv")),
    ("cp1258", ("vi",)),
    ("cp932", ("ja",)),
    ("euc_jp", ("ja",)),
    ("cp949", ("ko",)),
    ("gb18030", ("zh",)),  # the list of Chinese words is of simplified characters, so Big5 cannot be told
    ("iso8859-15", _WEST),
    ("mac_roman", _WEST),
    ("mac_latin2", _EAST),
    ("cp850", _WEST),
    ("cp852", _EAST),
    ("cp857", ("tr",)),
)
_UNSPACED = frozenset({"ja", "ko", "zh"})  # whose words are not between blanks: there characters are counted
_PUNCTUATION = frozenset("‘’“”„–—…•€£©®°«»¿¡½·×²³ªº§\xa0")
DAMAGED = "\udcff"  # half a character, which UTF-8 has no place for
_WORD = re.compile(r"[^\W\d_]{3,}")  # of one or two letters too many are known everywhere
_MIXED = re.compile(r"[A-Za-z][^\W\d_A-Za-z]")


@dataclass(frozen=True, slots=True)
class Encoding:
    """The name of an encoding as Python knows it; when it was guessed, what speaks for it."""

    name: str
    guessed_by: str = ""


def check_encoding(name: str) -> str:
    """`name`, as Python calls the encoding. Raises InvalidParameter when there is no such encoding of text."""
    try:
        "x".encode(name)
        return codecs.lookup(name).name
    except (LookupError, ValueError, TypeError):
        raise InvalidParameter(f"There is no encoding {name[:40]!r}; cp1252 and utf-16 are two.") from None


def find_encoding(sample: bytes) -> Encoding | None:
    """The encoding of text that begins with `sample`; None when it is not UTF-8 and nothing speaks for another."""
    for mark, name in MARKS:
        if sample.startswith(mark):
            return Encoding(name)
    if b"\0" in sample and (name := _find_wide(sample)):
        return Encoding(name, "every other byte of it is 0")
    lines = re.split(rb"[\r\n]", sample)
    # A character may be cut at the end of the sample, so its last line counts only where there is no other.
    beyond = [line for line in lines[:-1] or lines if not line.isascii()] or [lines[-1]]
    damaged = [line for line in beyond if not _is_utf8(line)]
    if len(damaged) <= len(beyond) - len(damaged):
        return Encoding("utf-8")
    guess = _guess(b"\n".join(damaged[:SAMPLE_LINES]))
    if guess is None and len(damaged) < FEW * len(lines):
        return Encoding("utf-8")  # all but ASCII: single bytes are damaged
    return guess


def _find_wide(sample: bytes) -> str:
    """UTF-16 without a mark: line ends, blanks and digits have a byte that is 0."""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if max(even, odd) < len(sample) / 50 or min(even, odd) > max(even, odd) / 10:
        return ""
    name, line_feed = ("utf-16-be", b"\0\n") if even > odd else ("utf-16-le", b"\n\0")
    # Where line feeds are bytes by themselves, the zeros are something else: what some databases write for NULL.
    return name if 2 * sample.count(line_feed) >= sample.count(b"\n") else ""


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _guess(content: bytes) -> Encoding | None:
    if find_spec("wordfreq") is None:
        return None  # an installation that only serves has no words; whoever reads the file names its encoding
    highest, best = LEAST_KNOWN, None
    for name, languages in CANDIDATES:
        # A byte may be damaged; where many cannot be decoded, the letters are others altogether.
        text = content.decode(name, "replace")
        if text.count("\ufffd") > len(text) / 200 or any("\x80" <= character < "\xa0" for character in text):
            continue  # the latter are control characters, which nobody writes
        found = _Found.of(text)
        if not found.letters and name != "cp1252":
            continue  # of punctuation alone only the quotation marks and dashes of Windows are evidence
        for language in languages:
            share = found.known_share(language)
            if share > highest:
                highest, best = share, Encoding(name, found.describe(language))
            if share > SURELY_KNOWN:
                return best
    return best


@dataclass(frozen=True, slots=True)
class _Found:
    """What in a text is not ASCII, once each."""

    words: frozenset[str]
    letters: frozenset[str]
    marks: frozenset[str]
    mixed: int  # places at which a letter follows one that is ASCII

    @classmethod
    def of(cls, text: str) -> _Found:
        words = _WORD.findall(text.replace("İ", "i").casefold())
        beyond = {character for character in text if not character.isascii() and character != "\ufffd"}
        return cls(
            frozenset(word for word in words if not word.isascii()),
            frozenset(character for character in beyond if character.isalpha()),
            frozenset(character for character in beyond if not character.isalpha()),
            len(_MIXED.findall(text)),
        )

    def known_share(self, language: str) -> float:
        """The share that is known: words of the language, or where there are none, punctuation and signs."""
        from wordfreq import get_frequency_dict

        if not self.letters:
            return len(self.marks & _PUNCTUATION) / len(self.marks) if self.marks else 0.0
        words = get_frequency_dict(language, "small")
        strange = len(self.marks - _PUNCTUATION)
        if language not in _UNSPACED:
            return len(self.words & words.keys()) / (len(self.words) + strange) if self.words else 0.0
        if self.mixed > len(self.letters) / 10:
            return 0.0
        known = len(self.letters & set("".join(words))) / len(self.letters)
        # Nearly any two bytes are some character there, and many of them are in use.
        return known if known > LEAST_KNOWN_CHARACTERS else 0.0

    def describe(self, language: str) -> str:
        return (
            f"most of its words are then known ones ({language})" if self.letters else "its punctuation is then sound"
        )


def first_example(sample: bytes, encoding: str) -> tuple[int, str]:
    """The first line of a sample that is not ASCII, or the first of all where there is none, by its number, and as it
    reads in an encoding."""
    lines = re.split(r"\r\n|\r|\n", sample.decode(encoding, "replace"))
    number = next((number for number, line in enumerate(lines) if not line.isascii()), 0)
    return number + 1, lines[number].strip()[:100]


def to_utf8(blocks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The same text in UTF-8, without a byte order mark. What cannot be decoded becomes bytes that are no UTF-8, so
    that whoever decodes the line they are in finds it damaged; the other lines are whole."""
    if encoding in ("utf-8", "utf-8-sig", "ascii"):
        yield from _without_mark(blocks)
        return
    # Half a pair of UTF-16 goes its own way, or a replacement character that was written would be taken for damage.
    paired = encoding.startswith("utf-16")
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass" if paired else "replace")
    first = True
    for block in chain(blocks, [None]):
        try:
            text = decoder.decode(block or b"", block is None)
        except UnicodeDecodeError:  # the file ends within a character of UTF-16
            text = DAMAGED
        if not paired:
            text = text.replace("\ufffd", DAMAGED)
        if first and text:
            text, first = text.removeprefix("\ufeff"), False
        yield text.encode("utf-8", "surrogatepass")


def _without_mark(blocks: Iterable[bytes]) -> Iterator[bytes]:
    rest = iter(blocks)
    start = b""
    while len(start) < len(codecs.BOM_UTF8) and (block := next(rest, b"")):
        start += block
    yield start.removeprefix(codecs.BOM_UTF8)
    yield from rest


def with_line_feeds(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same text, each of whose lines ends in a carriage return alone, with line feeds for them."""
    return (block.replace(b"\r", b"\n") for block in blocks)
