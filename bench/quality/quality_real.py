"""Lodbrok as it ships on words of real people, who are nobody's training data: a part of `make bench-quality`.

Bios are text messages, questions and requests that people wrote (`SB_API_BENCH_DATA`), on accounts with nothing else
suspicious; innocents of nine languages and pairs that must score alike come from the folder `cases` beside the data;
sentences of spam and of people in twenty languages are ours (`sentences.tsv`), and so are accounts that give all that
an account can give (`accounts.json`) and whole profiles (`profiles.jsonl`). All of it measures, and none of it is
learned from. Other spam is the generator's, of a seed that nobody trained on, disguised in the ways of
`synthetic.evasions`.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from bench.figures import Figures, figure, tell
from sb_api.config import load_settings
from sb_api.models.classifiers import find_classifier
from sb_api.models.predictor import Predictor
from sb_api.models.weights_store import WeightsStore
from sb_api.records import Editor
from sb_api.synthetic.editors import SyntheticEditor, generate_editors
from sb_api.synthetic.evasions import WAYS, disguise
from sb_api.versions import BANDS

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SB_API_BENCH_DATA") or ROOT.parent / "shared" / "data")
SAMPLE = 4000  # texts of each of the larger sets
SPAM = 2000  # accounts that each way of writing is measured on
SAME = 0.01  # of a score: a subdomain that nobody has seen may differ by so much from its domain
SEED = 20_261_128  # of spam that nobody trained on

SENTENCES = Path(__file__).parent / "sentences.tsv"  # written before the generator had such ones, and not for it
# Invented names, addresses and websites, written by one who knew nothing of how accounts are judged.
GIVEN = Path(__file__).parent / "accounts.json"
# Whole profiles as moderators see them, written by one who had read nothing of the generator; others of the same
# writer, with other texts and hosts, chose what it makes up.
PROFILES = Path(__file__).parent / "profiles.jsonl"
NEW_SINCE = "2024"  # profiles registered since have been filled in at once
SITES = ("https://www.nari{}.com/", "http://belo-tar{}.net", "https://ukemo{}.org/home")
# Innocent sentences that spam hides among: how many, where, and which share of them comes before it.
PADDINGS = (
    *((sentences, place, before) for sentences in (2, 6, 12) for place, before in (("behind", 0), ("before", 1))),
    (6, "around", 0.5),
    (12, "around", 0.5),
)

Record = dict[str, Any]
Scores = npt.NDArray[np.float32]
# A new account that did all at once, and one that has been used for years.
ACCOUNTS: dict[str, Record] = {
    "new": {
        "privs": 8192,
        "email": "pat@gmail.com",
        "member_since": "2024-05-01T10:00:00",
        "email_confirm_date": "2024-05-01T10:12:00",
        "last_updated": "2024-05-01T10:20:00",
        "last_login_date": "2024-05-02T10:00:00",
    },
    "old": {
        "email": "pat@gmail.com",
        "member_since": "2009-05-01T10:00:00",
        "email_confirm_date": "2009-05-01T10:12:00",
        "last_updated": "2015-05-01T10:20:00",
        "last_login_date": "2023-05-02T10:00:00",
    },
}


def bench_real(quick: bool) -> Figures:
    """The shipped weights on other people's words. With `quick`, on a tenth of them."""
    if not (DATA / "sms_spam.tsv").is_file():
        sys.exit(f"There are no bench data in {DATA}; set SB_API_BENCH_DATA.")
    predictor = load_shipped()
    share = 10 if quick else 1
    return [
        *bench_innocent_words(predictor, share),
        *bench_languages(predictor),
        *bench_sentences(predictor),
        *bench_given(predictor),
        *bench_profiles(predictor),
        *bench_evasions(predictor, SPAM // share),
        *bench_variants(predictor),
    ]


def load_shipped() -> Predictor:
    """The original as it ships, whatever has been learned on this machine."""
    settings = load_settings({}, state_dir=str(ROOT / "build" / "nothing-is-kept-here"))
    weights = WeightsStore.of(settings, "lodbrok").load("original")
    classifier = find_classifier(weights.about)
    return Predictor(classifier, weights, classifier.load_vocabularies(settings))


def judge(predictor: Predictor, records: Sequence[Record]) -> tuple[Scores, list[str]]:
    """P(spam) (n,) and the band of n records."""
    scores, errors = predictor.judge([Editor(**record) for record in records])
    if errors:
        raise SystemExit(f"Records that cannot be judged: {errors}")
    return scores[:, 1], predictor.bands(scores)


def bench_innocent_words(predictor: Predictor, share: int) -> Figures:
    figures = []
    for name, texts in (("SMS", read_sms()), ("CLINC150", read_clinc()), ("customers", read_customers())):
        for kind, account in ACCOUNTS.items():
            tell(f"{name}, {kind} account")
            records = [{**account, "id": number, "bio": text} for number, text in enumerate(texts[::share])]
            scores, bands = judge(predictor, records)
            what = f"Shipped weights, bios of {name}, {kind} account"
            certain = float(np.mean([band == BANDS[0] for band in bands])) if bands else 0.0
            figures += [
                figure(f"{what}: certain spam", certain, "share", f"of {len(records)}", 0.005, most=True),
                figure(f"{what}: 0.5 or more", (scores >= 0.5).mean(), "share", "", 0.03, most=True),
            ]
    return figures


def bench_languages(predictor: Predictor) -> Figures:
    records = read_case("innocents.jsonl")
    scores, bands = judge(predictor, records)
    return [
        figure(
            "Shipped weights, innocents of nine languages: 0.5 or more",
            (scores >= 0.5).mean(),
            "share",
            "",
            1 / 30,
            most=True,
        ),
        figure(
            "Shipped weights, innocents of nine languages: certain spam",
            bands.count(BANDS[0]),
            "accounts",
            "",
            0,
            most=True,
        ),
    ]


def bench_sentences(predictor: Predictor) -> Figures:
    """Sentences of spam and of people in twenty languages (`sentences.tsv`), each on new accounts with several websites
    that nobody has seen, and those of people without a website, too."""
    rows = read_sentences()
    called: dict[tuple[str, str], list[bool]] = {}
    certain = 0
    for sites in (*SITES, None):
        records = [
            {**ACCOUNTS["new"], "id": number, "bio": row["text"], "website": sites and sites.format(number)}
            for number, row in enumerate(rows)
        ]
        scores, bands = judge(predictor, records)
        for row, score, band in zip(rows, scores.tolist(), bands, strict=True):
            if sites is not None or row["verdict"] == "innocent":
                called.setdefault((row["verdict"], row["language"]), []).append(score >= 0.5)
                certain += row["verdict"] == "innocent" and band == BANDS[0]
    caught = {language: float(np.mean(found)) for (verdict, language), found in called.items() if verdict == "spam"}
    english, others = caught.pop("en"), float(np.mean([*caught.values()]))
    low = sorted(caught, key=lambda language: caught[language])[:4]
    told = f"{len(caught)} languages; lowest: {', '.join(f'{one} {caught[one]:.2f}' for one in low)}"
    innocent = [found for (verdict, _), one in called.items() if verdict == "innocent" for found in one]
    name = "Shipped weights, sentences that the generator does not have"
    return [
        *bench_padded_sentences(predictor, rows, name),
        figure(f"{name}: English spam caught", english, "share", ""),
        figure(f"{name}: spam of other languages caught", others, "share", told, round(english - 0.1, 4)),
        figure(f"{name}: innocent, 0.5 or more", float(np.mean(innocent)), "share", "", 0.0333, most=True),
        figure(f"{name}: innocent, certain spam", certain, "accounts", f"of {len(innocent)}", 0, most=True),
    ]


def bench_padded_sentences(predictor: Predictor, rows: Sequence[dict[str, str]], name: str) -> Figures:
    """The single sentences of spam once more, each with a few text messages of people behind it: much less to be seen
    than the generator's pitches are."""
    spam, sms = [row["text"] for row in rows if row["verdict"] == "spam"], read_sms()

    def caught(sentences: int) -> float:
        random = Random(sentences)
        records = [
            {
                **ACCOUNTS["new"],
                "id": number,
                "bio": pad(text, random.sample(sms, sentences), 0),
                "website": site.format(number),
            }
            for site in SITES
            for number, text in enumerate(spam)
        ]
        return float((judge(predictor, records)[0] >= 0.5).mean())

    plain = caught(0)
    return [
        figure(
            f"{name}: spam and {count} text messages behind it: recall over plain", caught(count) / plain, "", "", 0.8
        )
        for count in (1, 2, 6)
    ]


def bench_given(predictor: Predictor) -> Figures:
    """The same sentences on new accounts with a name, an address and a website of their own, all of it filled in within
    six minutes: how much what is new about an account moves the score of what it says."""
    rows = read_sentences()
    spam = np.array([row["verdict"] == "spam" for row in rows])
    given = json.loads(GIVEN.read_text("utf-8"))
    minutes = {"email_confirm_date": 2, "last_updated": 4, "last_login_date": 6}
    at_once = ACCOUNTS["new"] | {date: f"2024-05-01T10:0{minute}:00" for date, minute in minutes.items()}
    told = [
        judge(predictor, [at_once | account | {"id": number, "bio": row["text"]} for number, row in enumerate(rows)])
        for account in given
    ]
    scores = np.array([scores for scores, _ in told])  # (accounts, sentences)
    called = scores >= 0.5
    certain = np.mean([band == BANDS[0] for _, bands in told for band in np.array(bands)[~spam]])
    innocent = called[:, ~spam].mean(axis=1)
    each = f"by account {innocent.min():.2f} to {innocent.max():.2f}, median {np.median(innocent):.2f}"
    within = float(np.mean([roc_auc_score(spam, one) for one in scores]))
    pooled = float(roc_auc_score(np.tile(spam, len(given)), scores.ravel()))
    name = f"Shipped weights, these sentences on {len(given)} accounts with name, e-mail and website"
    return [
        figure(f"{name}: innocent, 0.5 or more", float(innocent.mean()), "share", each),
        figure(f"{name}: innocent, certain spam", float(certain), "share", "", 0.005, most=True),
        figure(f"{name}: spam caught", float(called[:, spam].mean()), "share", ""),
        figure(f"{name}: ROC AUC", pooled, "", f"within one account {within:.4f}"),
    ]


def bench_profiles(predictor: Predictor) -> Figures:
    """160 profiles of spam and 160 of people, with fields and dates of their own (`profiles.jsonl`)."""
    profiles = read_profiles()
    spam = np.array([profile.verdict == 1 for profile in profiles])
    is_new = np.array([profile.record["member_since"] >= NEW_SINCE for profile in profiles])
    scores, bands = judge(predictor, [profile.record for profile in profiles])
    called, certain = scores >= 0.5, np.array(bands) == BANDS[0]
    name = "Shipped weights, profiles of one who knew nothing of them"
    figures = [figure(f"{name}: certain spam among people", float(certain[~spam].mean()), "share", "", 0.01, most=True)]
    for kind, chosen in (("new", is_new), ("older", ~is_new)):
        count = f"{(chosen & spam).sum()} of spam, {(chosen & ~spam).sum()} of people"
        figures += [
            figure(f"{name}, {kind}: ROC AUC", float(roc_auc_score(spam[chosen], scores[chosen])), "", count),
            figure(f"{name}, {kind}: spam caught", float(called[chosen & spam].mean()), "share", ""),
            figure(f"{name}, {kind}: people, 0.5 or more", float(called[chosen & ~spam].mean()), "share", ""),
        ]
    return figures


def read_profiles() -> list[SyntheticEditor]:
    """Those of `profiles.jsonl`."""
    rows = [json.loads(line) for line in PROFILES.read_text("utf-8").splitlines()]
    return [SyntheticEditor(row, row.pop("verdict"), row.pop("kind"), "") for row in rows]


def read_sentences() -> list[dict[str, str]]:
    with SENTENCES.open(encoding="utf-8", newline="") as file:
        return [*csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


def bench_evasions(predictor: Predictor, count: int) -> Figures:
    """Recall at 0.5 of disguised spam over that of the same spam in plain words."""
    made = (editor.record for editor in generate_editors(count * 8, SEED) if editor.verdict)
    spam = [record for record in made if len(record["bio"] or "") > 20][:count]
    plain = float((judge(predictor, spam)[0] >= 0.5).mean())
    recalls = {}
    for way in range(WAYS):
        random = Random(way)
        disguised = [{**record, "bio": disguise(random, record["bio"], way, 1.0)} for record in spam]
        recalls[way] = float((judge(predictor, disguised)[0] >= 0.5).mean()) / plain
    sms = read_sms()
    figures = [
        figure("Shipped weights, disguised spam: recall over plain, worst way", min(recalls.values()), "", "", 0.95),
        figure(
            "Shipped weights, disguised spam: recall over plain, median way",
            float(np.median([*recalls.values()])),
            "",
            "",
        ),
        figure(
            "Shipped weights, spam in plain words: recall at 0.5", plain, "share", f"{len(spam)} accounts, seed {SEED}"
        ),
    ]
    for sentences, place, before in PADDINGS:
        random = Random(sentences)
        padded = [{**record, "bio": pad(record["bio"], random.sample(sms, sentences), before)} for record in spam]
        recall = float((judge(predictor, padded)[0] >= 0.5).mean()) / plain
        what = f"Shipped weights, spam and {sentences} innocent sentences {place} it: recall over plain"
        figures.append(figure(what, recall, "", "", 0.8 if sentences < 12 else None))
    return figures


def pad(bio: str, sentences: Sequence[str], before: float) -> str:
    """A bio with innocent sentences, a share of them before it and the others behind it."""
    first = round(len(sentences) * before)
    return " ".join([*sentences[:first], bio, *sentences[first:]])


def bench_variants(predictor: Predictor) -> Figures:
    """One host or domain written in several ways, and one account with the bits of `privs` that say nothing."""
    records = read_case("hosts.jsonl")
    scores, _ = judge(predictor, records)
    written: dict[tuple[str, ...], list[float]] = {}
    for record, score in zip(records, scores.tolist(), strict=True):
        written.setdefault((plain_host(record), plain_domain(record)), []).append(score)
    lost = sum(np.ptp(group) > SAME for group in written.values())
    privs, _ = judge(predictor, read_case("privs.jsonl"))
    of = f"of {len(written)}, written in {len(records)} ways"
    return [
        figure("Shipped weights, hosts written in another way: another score", lost, "hosts", of, 0, most=True),
        figure("Shipped weights, privs that say nothing: difference", float(np.ptp(privs)), "", "", 1e-4, most=True),
    ]


def plain_host(record: Record) -> str:
    return (urlsplit(record.get("website") or "").hostname or "").rstrip(".").removeprefix("www.")


def plain_domain(record: Record) -> str:
    return record["email"].partition("@")[2].rstrip(".").removeprefix("mx1.")


def read_case(name: str) -> list[Record]:
    lines = (DATA.parent / "cases" / name).read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def read_sms() -> list[str]:
    with (DATA / "sms_spam.tsv").open(encoding="utf-8", newline="") as file:
        return [row[1] for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if row[0] == "ham"]


def read_clinc() -> list[str]:
    texts = [text for text, _ in json.loads((DATA / "clinc150.json").read_text("utf-8"))["train"]]
    return Random(1).sample(texts, SAMPLE)


def read_customers() -> list[str]:
    with (DATA / "customer_intents.csv").open(encoding="utf-8", newline="") as file:
        return Random(1).sample([row["query"] for row in csv.DictReader(file)], SAMPLE)
