"""No text is dearer than its length: every regular expression of the package, and what is built on them, is linear.

Expressions are found in the source. Each is fed its own weak spots, ten times as long each time: what it repeats, what
follows that, and an end that fits nothing. A quadratic one would take a hundred times as long; twenty are allowed.
"""

from __future__ import annotations

import ast
import importlib
import random
import re
import statistics
import time
import timeit
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import pytest

import sb_api
from sb_api import preprocessing
from sb_api.bootstrap.csv_messages import clean_text, same_text
from sb_api.errors import SbApiError
from sb_api.models.explanations import pieces
from sb_api.pages.pastes import read_editors, read_messages
from sb_api.preprocessing import message_words
from sb_api.text import disguises, hosts, masking, normalization, spelling, urls
from sb_api.text.characters import look_alikes

PACKAGE = Path(sb_api.__file__).parent
SHORT = 800  # characters; the long ones have ten times as many
TextOf = Callable[[int], str]  # a text of about so many characters
ALLOWED = 20  # times as long
LEAST = 50e-6  # seconds: what takes less is not measured against
TRIES = 40
METHODS = {"search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn"}
REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT)
ENDS = ("", "\0", "!", " ", "é", "\n", "1", "a", ".", "@", ":")
# Made in functions, from what Python knows of Unicode.
MADE_LATER: dict[tuple[str, str], Callable[[], Any]] = {
    ("sb_api.text.normalization", "_marks"): lambda: normalization._marks(0x1F000),
    ("sb_api.text.characters.look_alikes", "_usual_letters"): look_alikes._usual_letters,
    ("sb_api.preprocessing", "_word"): preprocessing._word,
    ("sb_api.models.explanations.pieces", "_character"): pieces._character,
}


# Found in the source


def texts() -> dict[str, str]:
    """The source of each module."""
    paths = {path: ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in PACKAGE.rglob("*.py")}
    return {
        name.removesuffix(".__init__"): path.read_text("utf-8")
        for path, name in paths.items()
        if not name.endswith("__main__")
    }


# Seen without parsing them all, which takes seconds in every process that tests are run in.
MODULES = sorted(name for name, text in texts().items() if re.search(r"^import re$", text, re.MULTILINE))


@cache
def sources() -> dict[str, ast.Module]:
    return {name: ast.parse(text) for name, text in texts().items()}


def calls_of_re(tree: ast.AST, function: str = "") -> Iterator[tuple[str, ast.Call]]:
    """Every re.compile(...), re.sub(...), ... below the node, with the name of the function it stands in."""
    for node in ast.iter_child_nodes(tree):
        inner = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else function
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
            and node.func.attr != "escape"
        ):
            yield inner, node
        yield from calls_of_re(node, inner)


@cache
def methods_by_name() -> dict[str, set[str]]:
    """What is called of the attributes and variables of the package: {"_HOST": {"sub"}}."""
    found = defaultdict(set)
    for tree in sources().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
                owner = node.value
                found[owner.id if isinstance(owner, ast.Name) else owner.attr].add(node.attr)
    return dict(found)


def patterns_in(value: Any, name: str) -> Iterator[tuple[str, re.Pattern[Any], set[str]]]:
    """The expression that a name stands for, alone, in a named tuple or by one method, and the methods called."""
    if isinstance(value, re.Pattern):
        yield name, value, methods_by_name().get(name, set()) & METHODS
    elif isinstance(getattr(value, "__self__", None), re.Pattern):
        yield name, value.__self__, {value.__name__}
    elif isinstance(value, tuple) and hasattr(value, "_asdict"):
        for part, held in value._asdict().items():
            yield from patterns_in(held, part)


@cache
def expressions() -> dict[str, tuple[re.Pattern[Any], set[str]]]:
    """Every expression of the package by module and name, and the methods of it that are called."""
    found: dict[str, tuple[re.Pattern[Any], set[str]]] = {}
    for name, tree in sources().items():
        calls = list(calls_of_re(tree))
        if not calls:
            continue
        module = importlib.import_module(name)
        named = [held for key, value in vars(module).items() for held in patterns_in(value, key)]
        at_module_level = sum(not function for function, call in calls if call.func.attr == "compile")  # type: ignore[attr-defined]
        assert len(named) >= at_module_level, f"{name}: expressions of a module have names there"
        for key, make in MADE_LATER.items():
            named += patterns_in(make(), key[1]) if key[0] == name else ()
        found |= {f"{name}:{key}": (pattern, methods) for key, pattern, methods in named}
        for function, call in calls:
            if function and (name, function) not in MADE_LATER:
                text = ast.literal_eval(call.args[0])  # a constant, or this test cannot know it
                method = call.func.attr  # type: ignore[attr-defined]
                found[f"{name}:{call.lineno}"] = re.compile(text), {method}
    return found


# Texts that it finds hard


@dataclass(frozen=True)
class Sampler:
    """Writes what an expression may match, of its own letters and some that many match."""

    rng: random.Random
    letters: str

    def sequence(self, nodes: Any) -> str:
        return "".join(self.node(code, value) for code, value in nodes)

    def node(self, code: Any, value: Any) -> str:
        if code == codes.LITERAL:
            return chr(value)
        if code in (codes.NOT_LITERAL, codes.ANY, codes.IN):
            return self.one_of(as_class(code, value))
        if code == codes.BRANCH:
            return self.sequence(self.rng.choice(value[1]))
        if code == codes.SUBPATTERN:
            return self.sequence(value[-1])
        if code == codes.ATOMIC_GROUP:
            return self.sequence(value)
        if code in REPEATS:
            return self.sequence(value[2]) * max(value[0], min(value[1], self.rng.choice((0, 1, 2))))
        return ""  # positions, looks around, back references

    def one_of(self, one: str) -> str:
        return self.rng.choice(self.all_of(one) or [""])

    def all_of(self, one: str) -> list[str]:
        expression = re.compile(one)
        return [letter for letter in self.letters if expression.fullmatch(letter)]


CATEGORIES = {
    codes.CATEGORY_DIGIT: r"\d",
    codes.CATEGORY_NOT_DIGIT: r"\D",
    codes.CATEGORY_SPACE: r"\s",
    codes.CATEGORY_NOT_SPACE: r"\S",
    codes.CATEGORY_WORD: r"\w",
    codes.CATEGORY_NOT_WORD: r"\W",
}


def as_class(code: Any, value: Any) -> str:
    """The expression of a node that matches one character."""
    if code == codes.ANY:
        return "(?s:.)"
    if code == codes.NOT_LITERAL:
        return f"[^{re.escape(chr(value))}]"
    return f"[{''.join(map(as_item, value))}]"


def as_item(item: tuple[Any, Any]) -> str:
    code, value = item
    if code == codes.NEGATE:
        return "^"
    if code == codes.CATEGORY:
        return CATEGORIES[value]
    if code == codes.RANGE:
        return f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
    return re.escape(chr(value))


def letters_of(nodes: Any) -> set[str]:
    """All letters that the expression names."""
    found = set()
    for code, value in nodes:
        if code in (codes.LITERAL, codes.NOT_LITERAL):
            found.add(chr(value))
        elif code == codes.IN:
            for kind, held in value:
                found |= {chr(held)} if kind == codes.LITERAL else set(map(chr, held)) if kind == codes.RANGE else set()
        for sequence in inner(code, value):
            found |= letters_of(sequence)
    return found


def inner(code: Any, value: Any) -> list[Any]:
    """The sequences of nodes inside a node."""
    if code == codes.BRANCH:
        return list(value[1])
    if code in (codes.SUBPATTERN, codes.ASSERT, codes.ASSERT_NOT):
        return [value[-1]]
    if code == codes.ATOMIC_GROUP:
        return [value]
    return [value[2]] if code in REPEATS else []


def weak_spots(nodes: Any, before: str, sampler: Sampler) -> Iterator[tuple[str, str]]:
    """What comes before something that may be repeated (20 times or more), and what is repeated."""
    for code, value in nodes:
        if code in REPEATS and value[1] >= 20:
            body = value[2]
            if len(body) == 1 and body[0][0] in (codes.IN, codes.ANY, codes.NOT_LITERAL):
                every = sampler.all_of(as_class(*body[0]))
                yield from ((before, pump) for pump in sampler.rng.sample(every, min(len(every), 12)))
            yield from ((before, sampler.sequence(body)) for _ in range(3))
        for sequence in inner(code, value):
            yield from weak_spots(sequence, before, sampler)
        before += sampler.node(code, value)


def hard_texts(pattern: re.Pattern[Any], rng: random.Random) -> Iterator[TextOf]:
    """Texts by their length."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    tree = parser.parse(source, pattern.flags & ~re.UNICODE if isinstance(pattern.pattern, bytes) else pattern.flags)
    named = sorted(letters_of(tree))
    sampler = Sampler(rng, "".join(rng.sample(named, min(len(named), 40))) + "xX1 .-@:é/#(\n")
    spots = [spot for _ in range(3) for spot in weak_spots(tree, "", sampler)]
    for before, pump in dict.fromkeys(spot for spot in spots if spot[1]):
        yield from (partial(ending, before, pump, end) for end in rng.sample(ENDS, 3))
        yield partial(repeated, before + pump)
        # Half of it begins again and again, half is what each beginning runs through.
        yield partial(begun_and_run_through, before or pump, pump, rng.choice(ENDS))
    for _ in range(4):
        yield partial(repeated, sampler.sequence(tree) or " ")
        yield partial(repeated, sampler.sequence(tree)[:-1] or "a")
    alphabet = "".join(sampler.sequence(tree) for _ in range(20)) + " a1.-"
    for size in (2, 3, 6, 20, 100):
        yield partial(repeated, "".join(rng.choices(alphabet, k=size)))


def ending(before: str, pump: str, end: str, length: int) -> str:
    return before + pump * (length // len(pump)) + end


def repeated(unit: str, length: int) -> str:
    return (unit * (length // len(unit) + 1))[:length]


def begun_and_run_through(unit: str, pump: str, end: str, length: int) -> str:
    return unit * (length // 2 // len(unit)) + pump * (length // 2 // len(pump)) + end


# Timed


def seconds(run: Callable[[], Any]) -> float:
    """Of this thread on the processor. timeit holds the garbage collector back: what else is loaded would count."""
    return timeit.timeit(run, number=1, timer=time.thread_time)


def is_linear(run: Callable[[str], Any], text_of: TextOf) -> bool:
    run(text_of(40))  # what is loaded once is not measured
    # The shortest first: what is worse than quadratic would take for ever with the longest.
    return all(is_in_bounds(run, text_of(length), text_of(10 * length)) for length in (SHORT // 10, SHORT))


def is_in_bounds(run: Callable[[str], Any], short: str, long: str) -> bool:
    """One try of many is enough: on a busy machine a thread's own time holds what others took from it.

    A quadratic one misses by five times, so that it fails them all.
    """
    times = [LEAST]
    for _ in range(TRIES):
        if seconds(lambda: run(long)) <= ALLOWED * max(LEAST, statistics.median(times)):
            return True
        times.append(seconds(lambda: run(short)))
    return False


def user_of(pattern: re.Pattern[Any], methods: set[str]) -> Callable[[str], Any]:
    """Uses it in the ways that the code does; from any place on where that is not known."""

    def use(text: str) -> None:
        subject = text.encode("utf-8", "surrogatepass") if isinstance(pattern.pattern, bytes) else text
        for method in methods & {"match", "fullmatch"}:
            getattr(pattern, method)(subject)
        if not methods or methods - {"match", "fullmatch"}:
            for _ in pattern.finditer(subject):
                pass

    return use


def test_there_are_expressions_to_be_tried() -> None:
    assert len(expressions()) > 60
    assert {
        "sb_api.text.masking:_EMAIL",
        "sb_api.text.pg_copy:COPY_HEADER",
        "sb_api.text.normalization:combining",
    } <= set(expressions())


def test_all_of_them_are_in_modules_that_are_gone_through() -> None:
    assert {name.partition(":")[0] for name in expressions()} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_the_expressions_of_a_module_are_linear(module: str) -> None:
    hard = {}
    for name, (pattern, methods) in expressions().items():
        if name.partition(":")[0] == module:
            use = user_of(pattern, methods)
            texts_of = hard_texts(pattern, random.Random(name))
            hard[name] = [text_of(40) for text_of in texts_of if not is_linear(use, text_of)]
    assert {name: found for name, found in hard.items() if found} == {}


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+", "sub"),
        (r"COPY\s+\S+\s*\(([^)]*)\)\s+FROM\s+stdin;?", "fullmatch"),
        (r"\border((?:\s+no)?\s*[:#]*\s*)\d{4,}", "sub"),
        (r"\s+$", "sub"),
    ],
)
def test_a_quadratic_expression_would_be_found(pattern: str, method: str) -> None:
    """What stood in the code, or could."""
    compiled = re.compile(pattern)
    texts = hard_texts(compiled, random.Random(1))
    assert not all(is_linear(user_of(compiled, {method}), text_of) for text_of in texts)


# What is built on them

HARD_UNITS = [
    *("1234 order ", "order  ", "order-", "orderab-", "1.1.1.1x", "1.1.", "a.", "a.com@", "x.com.", "-.", "a-", "1-"),
    *("(", ")", "COPY (", "COPY a(", "@", "a@", "a@b.", "://", "http://", "http://a@", "www.", "localhost.", "1:"),
    *("&", "&amp;", "&#", "&#38;", "&amp", ";", "<", "<a>", "[", "]", "{", '"', "'", "\\", "\t", "\n", " ", "  \n"),
    *("GB29", "GB29 ", "4111 1111 ", "+49 30 1234567 ", "+1", "(212) 555-2368 ", "1234567/", "12345 ext ", "#1234"),
    *("a ", "a b ", "c-", "c - ", "a" * 50 + " ", "a\u0301", "\u0301", "\u200b", "a\u200b", "\ufdfa", "\u0430a"),
    *("\u4e2d", "\u0e01\u0e34", "\u0e34", "\u3042.com", "\u201c", "\U0001f3b0", "a\U0001f3b0", "\u0915\u093f"),
    *("\u0430 ", "e.g. ", "::", "1 ", "aa", "ca-si ", "c4s1 ", "\u1ea1", "a-"),
    *("\u0301\u0323", "\u0f73\u0301", "\u0301\xad\u0323", "&#769;&#803;"),
    *("%", "%D0", "%D0%9A", "%F0%9F%8E", "%CC%81%CC%A3"),
    *("a<b>", "a<b ", "a[i]", "a[i=", "a<!-", "<i></i>", "a<i> </i>b", "a</", "a''", "''", "**", "a__b", "&lt;i&gt;a"),
]
FUNCTIONS: dict[str, Callable[[str], Any]] = {
    "mask_personal_data": masking.mask_personal_data,
    "message_words": message_words,
    "has_url": urls.has_url,
    "normalize_text": normalization.normalize_text,
    "join_spelt_out": spelling.join_spelt_out,
    "hidden_words": disguises.hidden_words,
    "separate_words": spelling.separate_words,
    "website_host": hosts.website_host,
    "email_domain": hosts.email_domain,
    "clean_class": normalization.clean_class,
    "fold_class": normalization.fold_class,
    "clean_text": clean_text,
    "same_text": same_text,
    "read_editors": lambda text: refused(read_editors, text),
    "read_messages": lambda text: refused(read_messages, text),
}


def refused(read: Callable[[str, int], Any], text: str) -> None:
    with suppress(SbApiError):
        read(text, 10)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_built_on_them_is_linear(name: str) -> None:
    rng = random.Random(name)
    pairs = ["".join(rng.choices(HARD_UNITS, k=2)) for _ in range(30)]
    mixtures = ["".join(rng.choices(HARD_UNITS, k=8)) for _ in range(20)]
    texts = [partial(repeated, unit) for unit in (*HARD_UNITS, *pairs, *mixtures)]
    assert [text_of(40) for text_of in texts if not is_linear(FUNCTIONS[name], text_of)] == []
