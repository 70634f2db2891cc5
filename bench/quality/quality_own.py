"""`sb-api bootstrap` on somebody's own few accounts: a part of `make bench-quality`.

A stand-in for real profiles, which are nobody's to publish: text messages that people and spammers wrote
(`SB_API_BENCH_DATA`), a few words of each, as bios of accounts with invented fields, most of them empty. Five seeded
halves: the command learns the one and judges the other, which nothing is chosen on. Beside it scikit-learn's logistic
regression of words and characters of the same fields, as somebody would write it in ten minutes.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.figures import Figures, figure, tell
from bench.quality.quality_real import DATA
from sb_api.bootstrap.checks import check_editors
from sb_api.bootstrap.originals import to_verdicts
from sb_api.bootstrap.own_editors import describe_scores, plan_original, replace_original
from sb_api.config import Settings
from sb_api.models.classifiers import find_classifier
from sb_api.models.predictor import Predictor
from sb_api.models.weights_store import WeightsStore
from sb_api.synthetic.editors import SyntheticEditor

ACCOUNTS, HALVES = 2232, 5
FEW = (200, 400)  # with fifty of either verdict at least
# What five accounts in ten have as their website is everybody's, of spammers one in four.
PUBLIC = ("facebook.com", "twitter.com", "last.fm", "t.co", "youtu.be", "instagram.com")
AREAS = ("United States", "Germany", "France", "India", "United Kingdom")

Record = dict[str, Any]
Numbers = dict[str, Any]


def bench_own(quick: bool) -> Figures:
    """Means over the halves, and the worst of what must not be exceeded; fewer halves with `quick`."""
    if not (DATA / "sms_spam.tsv").is_file():
        sys.exit(f"There are no bench data in {DATA}; set SB_API_BENCH_DATA.")
    accounts = make_accounts(read_labelled_sms(), ACCOUNTS)
    seeds = range(1, 2 if quick else HALVES + 1)
    ours, theirs = [], []
    for seed in seeds:
        learned, unseen = halve(accounts, seed)
        tell(f"half {seed} of {len(seeds)}: {len(learned)} accounts")
        ours.append(judge_half(learned, unseen, seed))
        theirs.append(score_regression(learned, unseen))
    auc = np.array([row["roc_auc"] for row in ours])
    gaps = [row["best_f1"] - row["f1"] for row in ours]
    ratios = [row["innocent_certain"] / row["budget"] for row in ours]
    mean = {name: float(np.mean([row[name] for row in ours])) for name in ours[0] if ours[0][name] is not None}
    told = f"deviation {auc.std(ddof=1) if len(auc) > 1 else 0:.3f}; logistic regression {np.mean(theirs):.4f}"
    figures = [
        figure("Own accounts, other half: ROC AUC", mean["roc_auc"], "", told, round(float(np.mean(theirs)), 4)),
        figure("Own accounts, other half: F1 at 0.5", mean["f1"], "", f"best threshold {mean['best_f1']:.4f}"),
        figure("Own accounts, other half: F1 lost at 0.5, worst", max(gaps), "", "", 0.02, most=True),
        figure("Own accounts, other half: calibration error", mean["calibration_error"], "", "", 0.05, most=True),
        figure(
            "Own accounts, other half: innocents in certain spam over the budget said, worst",
            max(ratios),
            "",
            f"share {mean['innocent_certain']:.4f}, budget {mean['budget']:.4f}, spam in it {mean['spam_certain']:.3f}",
            2,
            most=True,
        ),
        figure("Own accounts, other half: spam caught at 5 false alarms in 1,000", mean["caught_at_5"], "share", ""),
    ]
    learned, unseen = halve(accounts, 1)
    for count in FEW[: 1 if quick else None]:
        tell(f"{count} accounts")
        few = judge_half(learned[:count], unseen, 1)
        figures.append(figure(f"Own accounts, {count} of them: F1 at 0.5", few["f1"], "", f"ROC AUC {few['roc_auc']}"))
    return figures


def judge_half(learned: Sequence[SyntheticEditor], unseen: Sequence[SyntheticEditor], seed: int) -> Numbers:
    """What the weights that the command makes of some accounts are worth on others."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(state_dir=folder)
        plan = plan_original(settings, check_editors(learned), seed=seed, progress=lambda *_: None)
        replace_original(settings, plan)
        weights = WeightsStore.of(settings, "lodbrok").load_current()
        classifier = find_classifier(weights.about)
        predictor = Predictor(classifier, weights, classifier.load_vocabularies(settings))
    scores, _ = predictor.judge(to_verdicts(unseen))
    numbers = describe_scores(targets_of(unseen), scores[:, 1].astype(np.float64), weights.about.borders)
    # With no budget that can be kept there is no band, and nothing in it.
    return {**numbers, "budget": plan.calibration.budget or 1.0}


def score_regression(learned: Sequence[SyntheticEditor], unseen: Sequence[SyntheticEditor]) -> float:
    """The ROC AUC of a logistic regression of the words and characters of bio, website and area."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline, make_union

    words = TfidfVectorizer(sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    model = make_pipeline(make_union(words, characters), LogisticRegression(C=10, max_iter=1000))
    model.fit([*map(text_of, learned)], targets_of(learned))
    return float(roc_auc_score(targets_of(unseen), model.predict_proba([*map(text_of, unseen)])[:, 1]))


def text_of(editor: SyntheticEditor) -> str:
    return " | ".join(str(editor.record[name] or "") for name in ("bio", "website", "area"))


def targets_of(editors: Sequence[SyntheticEditor]) -> npt.NDArray[np.int64]:
    return np.array([editor.verdict for editor in editors])


def halve(accounts: Sequence[SyntheticEditor], seed: int) -> tuple[list[SyntheticEditor], list[SyntheticEditor]]:
    """Two halves, as many of either verdict by chance alone."""
    order = np.random.default_rng(seed).permutation(len(accounts))
    halves = ([accounts[place] for place in part] for part in np.array_split(order, 2))
    first, second = halves
    return first, second


def make_accounts(messages: Sequence[tuple[str, int]], count: int) -> list[SyntheticEditor]:
    """Accounts of all spam messages and so many of the others that they are `count`, in a fixed random order."""
    random = Random("own accounts")
    spam, ham = ([message for message in messages if message[1] == verdict] for verdict in (1, 0))
    chosen = [*spam, *random.sample(ham, count - len(spam))]
    random.shuffle(chosen)
    return [
        SyntheticEditor({"id": number, **invent_fields(random, text, verdict)}, verdict, "stand-in", "")
        for number, (text, verdict) in enumerate(chosen, start=1)
    ]


def invent_fields(random: Random, text: str, verdict: int) -> Record:
    """The fields of a profile as visitors see it: no e-mail, few dates, a bio of three to nine words or none. Each
    tells a little, none of them much."""

    def maybe(share: float, value: str) -> str | None:
        return value if random.random() < share else None

    words = text.split() or ["x"]
    start = random.randrange(max(1, len(words) - 6))
    bio = " ".join(words[start : start + random.randint(3, 9)])
    born = datetime(2008, 1, 1) + timedelta(days=6500 * random.betavariate(3, 1.3 if verdict else 1.1))
    login = born + timedelta(hours=random.expovariate(1 / (48 if verdict else 900)))
    host = random.choice(PUBLIC)
    if random.random() >= (0.25 if verdict else 0.5):
        name = random.choice(words).lower().strip(".,!?") or "x"
        endings = ("com", "com", "net", "de", "info", "biz") if verdict else ("com", "com", "net", "de", "org", "me")
        host = f"{name}{random.randrange(900)}.{random.choice(endings)}"
    return {
        "bio": maybe(0.8, bio),
        "website": maybe(0.75 if verdict else 0.45, f"https://{host}"),
        "area": maybe(0.2 if verdict else 0.45, random.choice(AREAS)),
        "gender": maybe(0.25, random.choice(("male", "female"))),
        "member_since": maybe(0.85, born.isoformat(timespec="seconds")),
        "last_login_date": maybe(0.3, login.isoformat(timespec="seconds")),
    }


def read_labelled_sms() -> list[tuple[str, int]]:
    """Each message with 1 if it is spam."""
    with (DATA / "sms_spam.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(row[1], int(row[0] == "spam")) for row in rows if row[0] in ("ham", "spam") and row[1].strip()]
