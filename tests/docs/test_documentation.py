"""README.md and docs/ name nothing that is not there, and their figures are those that the benches wrote."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pytest

from sb_api.cli import main
from sb_api.config import describe_settings, load_settings
from sb_api.models.classifiers import CLASSIFIERS
from sb_api.models.weights_store import WeightsStore
from tests.support.service import ROOT

DOCS = ROOT / "docs"
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted(DOCS.rglob("*.md"))
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
CLIENT_SETTINGS = {"SB_API_URL", "SB_API_TOKEN", "SB_API_TOKEN_FILE"}
COMMAND = re.compile(r"(?:^|[ `/(])sb-api ([a-z][^`\n#|]*)")
NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
FIGURES = {
    path.stem: json.loads(path.read_text("utf-8")) for path in sorted((ROOT / "bench" / "results").glob("*.json"))
}

# The rows of tables that hold what a bench wrote: by page and first cell, the results and the figures in them.
ENGINE = [
    f"lodbrok, ONNX Runtime: {figure}"
    for figure in ("one record", "records a second in batches of 512", "memory of the process", "ready")
]
SENTIMENTS = "Sentiment, 2520 made-up messages of sentences that were not learned"
STREAM_OF_PROFILES = "Profiles of one who knew nothing of them, stream of 320 verdicts"
PROFILES = "Shipped weights, profiles of one who knew nothing of them"
SENTENCES = "Shipped weights, sentences that the generator does not have"
NEGATIONS = "Sentiment, 142 sentences with a negation"
QUESTIONS = "Sentiment, 4500 questions of people to an assistant"
MEASURED = {
    "docs/decisions.md": ("engine", {"Lodbrok, ONNX Runtime": ENGINE, "Lodbrok, Keras compiled": ENGINE}),
    "docs/learning.md": (
        "learning",
        {
            "new campaign: recall after 3 batches of 20": ["campaign: recall after 3 batches"],
            "new campaign: points of accuracy lost after 10": ["campaign: points of accuracy lost"],
            "ten campaigns: lowest recall at the end": ["ten campaigns: lowest recall at the end"],
            "ten campaigns: false positives, %": ["ten campaigns: false positives"],
            "ten campaigns: accuracy at the end, %": ["ten campaigns: accuracy on the test set"],
            "1% flipped: certain spam among innocent, reference set, %": [
                "1% flipped: certain spam among innocent, reference"
            ],
            "5% flipped: the same": ["5% flipped: certain spam among innocent, reference"],
            "10% flipped: the same": ["10% flipped: certain spam among innocent, reference"],
            "1, 5, 10% flipped: recall on the campaign": [f"{share}% flipped: recall" for share in (1, 5, 10)],
            "the most of any promoted weights, %": [
                "any promoted weights: most certain spam among innocent, reference"
            ],
            "500 spam verdicts: points of recall the others lose": [
                "500 spam verdicts: points of recall lost by the other class"
            ],
            "500 innocent verdicts: points of recall spam loses": [
                "500 innocent verdicts: points of recall lost by the other class"
            ],
            "100 verdicts: request to promoted weights, s": ["100 verdicts: request to promoted weights"],
            "100 verdicts: of the fitting, into replay": ["100 verdicts: fitting that goes into replay"],
            "100 verdicts: predictions meanwhile, of the rate before": [
                "100 verdicts: predictions meanwhile, of the rate before"
            ],
        },
    ),
    "docs/scores.md": (
        "quality",
        {
            f"{texts}: certain spam; 0.5 or more": [
                f"Shipped weights, bios of {name}: {share}" for share in ("certain spam", "0.5 or more")
            ]
            for texts, name in (
                ("text messages, new account", "SMS, new account"),
                ("text messages, old account", "SMS, old account"),
                ("CLINC150, new account", "CLINC150, new account"),
                ("customers, new account", "customers, new account"),
            )
        }
        | {
            "disguised spam: recall over that of plain spam, worst way": [
                "Shipped weights, disguised spam: recall over plain, worst way"
            ],
            "spam and two innocent sentences behind, before it: recall over plain": [
                f"Shipped weights, spam and 2 innocent sentences {place} it: recall over plain"
                for place in ("behind", "before")
            ],
        }
        | {
            f"{said} behind, before, around it": [
                f"Shipped weights, spam and {count} innocent sentences {place} it: recall over plain"
                for place in ("behind", "before", "around")
            ]
            for said, count in (("the same, six", 6), ("the same, twelve", 12))
        }
        | {
            "single sentences of spam, twenty languages, and one, two, six text messages behind: recall over plain": [
                f"{SENTENCES}: spam and {count} text messages behind it: recall over plain" for count in (1, 2, 6)
            ],
            "spam in sentences of others, twenty languages: English caught; the other nineteen": [
                f"{SENTENCES}: English spam caught",
                f"{SENTENCES}: spam of other languages caught",
            ],
            "people's sentences of these languages: 0.5 or more; certain spam": [
                f"{SENTENCES}: innocent, 0.5 or more",
                f"{SENTENCES}: innocent, certain spam",
            ],
        }
        | {
            f"profiles, {kind}: ROC AUC; spam caught; people, 0.5 or more": [
                f"{PROFILES}, {kind}: {figure}" for figure in ("ROC AUC", "spam caught", "people, 0.5 or more")
            ]
            for kind in ("new", "older")
        }
        | {
            "profiles: certain spam among people": [f"{PROFILES}: certain spam among people"],
            "ROC AUC; logistic regression of words and characters": ["Own accounts, other half: ROC AUC"],
            "CLINC150: of a class, given the right one": ["CLINC150: in-scope accuracy without threshold"],
            "the same, with the encoder (BERT, fine-tuned: 0.969)": [
                "CLINC150 with encoder: in-scope accuracy without threshold"
            ],
            "CLINC150: of no class, refused where 0.925 of the others are right": [
                "CLINC150: out-of-scope recall at in-scope 0.925"
            ],
            "the same, with the encoder, where 0.95 are": [
                "CLINC150 with encoder: out-of-scope recall at in-scope 0.95"
            ],
            "with the encoder, from 50 messages a class": ["CLINC150 with encoder, 50 a class: in-scope accuracy"],
            "with the encoder, from 10 messages a class": ["CLINC150 with encoder, 10 a class: in-scope accuracy"],
            "requests of customers": ["customer intents: accuracy"],
            "50 corrections: of them right, with the encoder": ["CLINC150 with encoder: 50 corrections, of them right"],
            "points lost by others over that, with the encoder (negative: won)": [
                "CLINC150 with encoder: 50 corrections, accuracy on others lost"
            ],
            "a class that came with 10 messages: found, with the encoder": [
                "CLINC150 with encoder: a new class of 10 messages, mean of 5, found"
            ],
            "text messages about nothing, shipped weights: of no class": [
                "Shipped intents, text messages about nothing: of no class"
            ],
            "the same, made with the encoder": [
                "Shipped intents with encoder, text messages about nothing: of no class"
            ],
            "F1 at 0.5; at the best threshold": ["Own accounts, other half: F1 at 0.5"],
            "F1 lost at 0.5, worst half": ["Own accounts, other half: F1 lost at 0.5, worst"],
            "calibration error": ["Own accounts, other half: calibration error"],
            "innocents in `certain spam` over the budget that the command says, worst half": [
                "Own accounts, other half: innocents in certain spam over the budget said, worst"
            ],
            "600 verdicts from the shipped weights, each judged before it is learned: ROC AUC": [
                "Own accounts, stream of 600 verdicts: ROC AUC"
            ],
            "the same, second half of them; river's logistic regression from nothing": [
                "Own accounts, stream of 600 verdicts: ROC AUC of the second half"
            ],
            "the 320 profiles as verdicts from the shipped weights: ROC AUC; river's from nothing": [
                f"{STREAM_OF_PROFILES}: ROC AUC"
            ],
            "the same, second half of them; river's": [f"{STREAM_OF_PROFILES}: ROC AUC of the second half"],
            "accuracy; linear SVM, logistic regression": [f"{SENTIMENTS}: accuracy"],
            "of the negative, neutral and positive ones": [
                f"{SENTIMENTS}: {label}" for label in ("negative", "neutral", "positive")
            ],
            "the right answer": [f"{NEGATIONS}: accuracy"],
            "of those that are negative, neutral and positive": [
                f"{NEGATIONS}: {label}" for label in ("negative", "neutral", "positive")
            ],
            "neutral; none": [f"{QUESTIONS}: {label}" for label in ("neutral", "none")],
            "positive; negative": [f"{QUESTIONS}: {label}" for label in ("positive", "negative")],
        },
    ),
    "docs/performance.md": (
        "service",
        {
            "limits (c), a constant from Flask and gunicorn; on our worker; (d), (c) with one Redis round trip": [
                "limit (c): Flask + gunicorn, a constant, 64 connections",
                "the same on the service's own worker",
                "limit (d): as (c), with one Redis round trip",
            ],
            "one editor a request, 64 connections": ["one editor a request, 64 connections", "the same: p99"],
            "the same over (c); over (d)": ["the same over (c)", "the same over (d)"],
            "one editor a request, 1 connection: p50, p99": [
                "one editor a request, 1 connection: p50",
                "one editor a request, 1 connection: p99",
            ],
            "100 editors a request, 8 connections": ["100 editors a request, 8 connections"],
            "1,000 editors a request, 4 connections, two classify processes": [
                "1,000 editors a request, 4 connections, two classify processes"
            ],
            "the same over (b) on two cores": ["the same over (b)"],
            "single editors while a bulk scan runs: p99 over idle": [
                "one editor a request beside a full scan: p99 over idle"
            ],
            "`sb-api predict`, 2,000,000 editors; its memory at the end over that in the first quarter": [
                "`sb-api predict` over a file of 2,000,000 editors",
                "the same: client's memory at its end over that in the first quarter",
            ],
            "1,000 req/s held for ten minutes: errors": ["1,000 req/s held open-loop: errors"],
            "the same: p99; share of two cores": [
                "1,000 req/s held open-loop: p99",
                "1,000 req/s held open-loop: share of 2 cores",
            ],
            "`/train` of 100 verdicts, request to served, replay and guard": [
                "/train with 100 verdicts, request to served, replay and guard"
            ],
            "the specified recipe alone, decoded to promoted": [
                "100 verdicts by the specified recipe, decoded to promoted"
            ],
            "predictions while training without pause, over idle": [
                "predictions while training without pause, over idle"
            ],
            "cold start, `run` to first prediction": ["cold start, `run` to first prediction"],
            "editors/s over those of the first SB_API, 100 a request": ["ours over it at 100 editors, 8 connections"],
            "one more classify process, USS": ["one more classify process (USS)"],
            "a web process, USS, after bulk load": ["a web process (USS)"],
            "everything while training, two classify processes, PSS": [
                "everything while training, two classify processes (PSS)"
            ],
            "everything when no training came for long, PSS, after bulk load": [
                "everything when no training came for long (PSS)"
            ],
        },
    ),
}


def prose(page: Path) -> str:
    return page.read_text("utf-8")


def numbers(text: str) -> list[Decimal]:
    return [Decimal(found.replace(",", "")) for found in NUMBER.findall(text)]


def table_rows(page: str) -> dict[str, list[str]]:
    """The rows of a page's tables, by their first cell; of several that begin alike the first."""
    rows: dict[str, list[str]] = {}
    for line in (ROOT / page).read_text("utf-8").splitlines():
        if line.startswith("| "):
            first, *rest = (cell.strip() for cell in line.strip().strip("|").split(" | "))
            rows.setdefault(first, rest)
    return rows


def find_command(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that words on a command line name, and what follows it."""
    command: click.Command = main
    while words and isinstance(command, click.Group):
        named = command.get_command(click.Context(command), words[0])
        if named is None:
            break
        command, words = named, words[1:]
    return command, words


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_that_it_names_has_these_options(page: Path) -> None:
    for found in COMMAND.findall(re.sub(r"-n sb-api ", "", prose(page))):  # what kubectl takes for a namespace
        line = found.split(" && ")[0].partition(')"')[0].rstrip(").,;: ")
        command, words = find_command(shlex.split(line))
        assert command is not main, line
        if not any(word.startswith("-") for word in words) and "." not in line:
            words = []  # the rest of a sentence, or names of things
        # Below the context of the whole, because a command remembers the names that its --help had first.
        context = click.Context(command, parent=click.Context(main, **main.context_settings))
        # Raises for an option that there is not.
        command.make_parser(context).parse_args([word for word in words if word not in (">", "|")])


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_setting_that_it_names_is_there(page: Path) -> None:
    known = {name for name, _, _ in describe_settings()} | CLIENT_SETTINGS
    assert set(re.findall(r"\bSB_API_[A-Z_]*[A-Z]\b", prose(page))) - known == set()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_target_of_make_that_it_names_is_there(page: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = re.findall(r"(?:`| {4})make ((?:[a-z-]*[a-z](?![\w*-]) ?)+)", prose(page))
    assert {word for words in named for word in words.split()} - targets == set()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_file_of_the_project_that_it_names_is_there(page: Path) -> None:
    named = set(re.findall(r"`((?:sb_api|tests|bench|deploy|docs|static|examples)/[\w./-]+?)/?`", prose(page)))
    made = {"static/verdicts.sqlite"}  # at run time
    assert [name for name in named - made if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_tables_end_before_the_next_paragraph(page: Path) -> None:
    """A line right below a table would be shown as a row of it."""
    lines = re.sub(r"```.*?```", "", prose(page), flags=re.DOTALL).splitlines()
    after = [below for above, below in itertools.pairwise(lines) if above.startswith("|")]
    assert [line for line in after if line and not line.startswith("|")] == []


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_a_model_card_is_that_of_the_shipped_weights(classifier: str) -> None:
    card = (DOCS / f"model-card-{classifier}.md").read_text("utf-8")
    about = WeightsStore.of(load_settings({}, state_dir=str(ROOT / "static")), classifier).load("original").about
    assert f"| weights | `{about.version}` |" in card
    assert f"| tokenizers | `{about.tokenizers}` |" in card
    figures = about.figures["held_out"]
    assert re.search(rf" {figures['count']} others (were held out|are the figures)", card.replace("\n", " "))
    assert f"| {figures['accuracy']:.6g} |" in card


@pytest.mark.parametrize(("page", "row"), [(page, row) for page, (_, rows) in MEASURED.items() for row in rows])
def test_a_row_of_figures_is_what_the_bench_wrote(page: str, row: str) -> None:
    """Each number of it, as far as it is written out; or, of a range from one to another, the bench's lies in it."""
    results, rows = MEASURED[page]
    records = {record["figure"]: record for record in FIGURES[results]}
    measured = [records[figure] for figure in rows[row]]
    cells, goal = table_rows(page)[row], ""
    if not cells[-1] or re.search("reached|missed", cells[-1]):
        *cells, goal = cells
    written = [number for record in measured for number in numbers(f"{record['value']} {record['against']}")]
    written += [100 * number for number in written]
    for cell in cells:
        text = re.sub(r"\([a-d]\)|(?<=in )\w+(?= of)", "", cell)
        for low, high in re.findall(r"([\d.,]+) to ([\d.,]+)", text):
            (first,), (last,) = numbers(low), numbers(high)
            assert any(first <= _rounded(number, first) <= last for number in written), cell
        for number in numbers(re.sub(r"[\d.,]+ to [\d.,]+", "", text)):
            assert any(_rounded(one, number) == number for one in written), (cell, written)
    if goal:
        reached = all(record["reached"] for record in measured if record["goal"] is not None)
        assert ("reached" if reached else "missed") in goal, goal
        goals = [Decimal(str(record["goal"])) for record in measured if record["goal"] is not None]
        assert set(numbers(goal.partition(":")[0])) == set(goals), goal


def _rounded(number: Decimal, like: Decimal) -> Decimal:
    # Zeros at the end of a whole number are rounding too: 24,300 for 24,280.
    digits = Decimal(str(like))
    zeros = len(str(digits)) - len(str(digits).rstrip("0")) if digits == digits.to_integral() and digits > 1000 else 0
    return number.quantize(Decimal(1).scaleb(zeros) if zeros else digits)


def test_the_table_of_faults_is_what_make_chaos_wrote() -> None:
    rows = table_rows("docs/resilience.md")
    faults: dict[str, dict[str, Any]] = {}
    for record in FIGURES["chaos"]:
        fault, _, figure = record["figure"].rpartition(": ")
        if fault != "overload":
            faults.setdefault(fault, {})[figure] = record
    assert len(faults) == 42
    steady = [*faults][: [*faults].index("kill -9 of classify and train at once")]
    for fault, about in faults.items():
        sent, right, honest, lost, wrong, doubled, back = (Decimal(cell) for cell in rows[fault])
        # The ledger's client looks at a task again and again, each of which is sent and one is right.
        assert sent == right + honest + lost + wrong or fault not in steady, fault
        assert f"{sent} sent" == about["lost, wrong, doubled"]["against"], fault
        assert lost + wrong + doubled == about["lost, wrong, doubled"]["value"], fault
        assert abs(back - Decimal(str(about["back to normal"]["value"]))) <= Decimal("0.051"), fault
