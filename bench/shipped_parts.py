"""What the shipped weights of editors were made of, and what was held out then."""

from __future__ import annotations

import sys

from sb_api.bootstrap.editors import EDITORS_AT_A_TIME, TEST_SHARE, Parts, fit_vocabularies, split_editors
from sb_api.bootstrap.originals import to_verdicts
from sb_api.learning.trainer import Trainer
from sb_api.synthetic.editors import generate_editors
from sb_api.synthetic.split import split_by_host

SEED = 1  # of `sb-api bootstrap`
# Of each vocabulary: a text's normal form may change by a little from one set of weights to the next.
LEAST_IN_COMMON = 0.98


def shipped_parts(trainer: Trainer) -> Parts:
    """The first part of the editors that the original was made of, in its own vocabularies. Exits where the weights are
    of others, which may have learned what is held out here."""
    editors = list(generate_editors(EDITORS_AT_A_TIME, SEED))
    fitted = fit_vocabularies(to_verdicts(split_by_host(editors, TEST_SHARE, SEED)[0]))
    for name, vocabulary in trainer.vocabularies.by_name.items():
        if len(vocabulary.ranks.keys() & fitted[name].ranks.keys()) < LEAST_IN_COMMON * len(vocabulary.ranks):
            sys.exit("The original weights are not those of `sb-api bootstrap` with its defaults; make them first.")
    return split_editors(editors, SEED, trainer.classifier, trainer.vocabularies)[1]
