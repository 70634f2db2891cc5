"""A few verdicts learned by what is their accounts' own: features of the wide member that few other accounts have, and
the number that it has of each account.

A gradient step moves every number that an account has a part in, most of which it shares with thousands of others: by
one verdict the band of one in forty of them changed. Here the features of the verdict's account take the way to it
among them, so that what is said of known accounts changes the least (in squares of log-odds), and no further than to
the probability that is wanted. A feature moves the more, the fewer known accounts have it, and the less, the more it
comes with others that can go the other way. By the least change alone all features would move, most of them by next to
nothing, and with them nearly all accounts, of which some always stand at the very edge of a band: so only those that
fewest known accounts have move, as many of them as it takes for that to cost no more than twice the least.

The account's own number moves no other account, and so teaches nothing of those that are like it. It has a price for
that, and moves where the account has nothing else of its own: a wrong verdict on one without bio and website would
otherwise be learned at the cost of all that are called much like it, or registered at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from sb_api.arrays import Arrays, Predict
from sb_api.learning.recipe import Examples
from sb_api.models import networks
from sb_api.models.calibration import log_odds
from sb_api.models.networks import FIELD_LIMIT, LINE_SCALE, WIDE_DEEP_SHARES
from sb_api.models.wide_features import ACCOUNT_LAYER, ACCOUNTS, FEATURES

if TYPE_CHECKING:
    import keras

Numbers = npt.NDArray[np.float64]

TABLE = "line_embedding"  # the layer that has the number of every feature
INPUTS = ("feature_input", "weight_input", "account_input")
MOST_PASSES = 24  # over all verdicts, until each of them is where it should be
# Log-odds: how far past the wanted ones to aim, and what is near enough where they are exact.
BEYOND, CLOSE = 0.01, 0.02
LONGEST_STEP = 2.0  # log-odds: further away the slopes are others
MOST_PACE = 30.0  # what a text has more slots for than that is learned no faster
SPARING = 2.0  # times the least cost
# By how much log-odds grow with the account's number, once that is marked, and what it costs to move it: as much as if
# so many known accounts moved along.
ACCOUNT_SLOPE, ACCOUNT_PRICE = WIDE_DEEP_SHARES[1], 2.0
# New rows of which the features that come together are looked at, and known rows for that; of more new rows each
# feature counts for itself.
MOST_TOGETHER, MOST_KNOWN = 10, 20_000


@dataclass(frozen=True)
class Aim:
    """Where the log-odds of label 1 of n rows are to be: at those `wanted` (n,), or past them on the `sides` (n,) of
    their labels, 1 or -1, unless they are `exact`."""

    wanted: Numbers
    sides: Numbers
    exact: bool

    def of(self, row: int) -> Aim:
        """That of one row."""
        return Aim(self.wanted[row : row + 1], self.sides[row : row + 1], self.exact)

    def gaps(self, said: Numbers) -> Numbers:
        """What log-odds (n,) lack; 0 where nothing."""
        gaps = self.wanted - said
        if self.exact:
            return np.where(np.abs(gaps) > CLOSE, gaps, 0.0)
        return np.where(gaps * self.sides > 0, gaps + BEYOND * self.sides, 0.0)


@dataclass(frozen=True)
class PairPrices:
    """What it costs known rows to move k numbers, any two of them together: the Cholesky factor (k, k) of that, in the
    `order` (k,) in which they are to be moved, those that known rows have least first."""

    order: npt.NDArray[np.intp]
    lower: Numbers

    @classmethod
    def of(cls, pairs: Numbers) -> PairPrices:
        """Of the costs of any two (k, k), which are positive definite."""
        order = np.argsort(np.diag(pairs), kind="stable")
        return cls(order, np.asarray(np.linalg.cholesky(pairs[np.ix_(order, order)]), np.float64))

    def find_way(self, slopes: Numbers) -> Numbers:
        """How far to move each number (k,), but for a factor, so that log-odds with such `slopes` (k,) change at a cost
        that is at most `SPARING` times the least; 0 for as many as can be, those that known rows have most first.

        A change by d of the log-odds costs at least d^2 / s'P^-1 s. With P = LL' and Ly = s that is d^2 / y'y, and by
        the first m numbers alone d^2 over the sum of the first m squares.
        """
        parts = solve_triangular(self.lower, slopes[self.order], lower=True, check_finite=False)
        gains = np.cumsum(parts**2)
        enough = np.searchsorted(gains, gains[-1] / SPARING) + 1
        way = np.zeros(len(slopes))
        first = self.lower[:enough, :enough]
        way[self.order[:enough]] = solve_triangular(first, parts[:enough], lower=True, trans="T", check_finite=False)
        return way


Prices = PairPrices | Numbers  # or of each number alone (k,)


class OwnFeatures:
    """The tables of a wide-and-deep network with the numbers of features (FEATURES, 1) and of accounts (ACCOUNTS, 2),
    these with their marks, and how they move its scores."""

    def __init__(self, table: Any, accounts: Any, predict: Predict) -> None:
        self.table = table
        self.accounts = accounts
        self._predict = predict

    @classmethod
    def of(cls, network: keras.Model, predict: Predict) -> OwnFeatures | None:
        """None where the network has no such member."""
        # That of messages has a layer of the same name, and may have two labels.
        if network.name != networks.WIDE_DEEP:
            return None
        return cls(network.get_layer(TABLE).embeddings, network.get_layer(ACCOUNT_LAYER).embeddings, predict)

    def approach(self, new: Examples, wanted: Numbers, exact: bool, known: Examples) -> bool:
        """Move the tables until each of n new rows has the log-odds of label 1 that are `wanted` (n,), or is past them
        on the side of its label unless they are `exact`. Whether all of them are: rows that contradict each other
        cannot be, and hold up no other.

        `known` are the rows that are to be moved as little as can be.
        """
        aim = Aim(wanted, np.where(new.targets == 1, 1.0, -1.0), exact)
        prices: list[Prices] = []
        for _ in range(MOST_PASSES):
            gaps = self._gaps(new.arrays, aim)
            if not gaps.any():
                return True
            prices = prices or self._price(new.arrays, known.arrays)
            self._close(new.arrays, np.flatnonzero(gaps), aim, prices)
        left = self._gaps(new.arrays, aim)
        # Rows that were there have been moved away by those that contradict each other.
        self._close(new.arrays, np.flatnonzero((left != 0) & (gaps == 0)), aim, prices)
        return not self._gaps(new.arrays, aim).any()

    def state(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Copies of both tables, as they are now."""
        return np.array(self.table.value.numpy()), np.array(self.accounts.value.numpy())

    def restore(self, state: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]) -> None:
        """Make the tables again what `state` was."""
        self.table.assign(state[0])
        self.accounts.assign(state[1])

    def _close(self, new: Arrays, rows: npt.NDArray[np.intp], aim: Aim, prices: Sequence[Prices]) -> None:
        """Move the tables for each of some of n new rows in turn that lacks something."""
        for row in rows:
            arrays = {name: array[row : row + 1] for name, array in new.items()}
            (gap,) = self._gaps(arrays, aim.of(row))  # the rows before it may have closed it
            if gap:
                self._step(arrays, gap, prices[row])

    def _gaps(self, arrays: Arrays, aim: Aim) -> Numbers:
        return aim.gaps(log_odds(self._predict(arrays)))

    def _price(self, new: Arrays, known: Arrays) -> list[Prices]:
        """Of each of n new rows, what it costs known rows to move the k numbers that it is made of (`numbers_of_row`):
        by the pairs of them where new rows are few, else for each alone (k,)."""
        own = [numbers_of_row(new, row) for row in range(len(new["account_input"]))]
        if len(own) > MOST_TOGETHER:
            accounts = np.bincount(known["account_input"][:, 0], minlength=ACCOUNTS)
            prices = np.concatenate([count_features(known, FEATURES) + 1, accounts + ACCOUNT_PRICE])
            return [prices[mine] for mine in own]
        step = -(-len(known["account_input"]) // MOST_KNOWN) or 1
        numbers, slopes = self._slopes({name: known[name][::step] for name in INPUTS})
        pairs = [count_pairs(numbers, slopes, mine, FEATURES + ACCOUNTS) for mine in own]
        for of_one in pairs:
            of_one[-1, -1] += ACCOUNT_PRICE * ACCOUNT_SLOPE**2
        return [PairPrices.of(of_one) for of_one in pairs]

    def _slopes(self, arrays: Arrays) -> tuple[npt.NDArray[np.int32], Numbers]:
        """The numbers that n rows are made of (n, slots + 1), and by how much log-odds grow with each."""
        features, weights, accounts = (arrays[name] for name in INPUTS)
        slopes = line_slopes(self.table.value.numpy()[:, 0], features, weights)
        numbers = np.concatenate([features, FEATURES + accounts[:, :1]], axis=1)
        return numbers, np.concatenate([slopes, np.full((len(accounts), 1), ACCOUNT_SLOPE)], axis=1)

    def _step(self, arrays: Arrays, gap: float, prices: Prices) -> None:
        """Move the tables so that the log-odds of one row change by `gap`, were they linear in it, the cheapest way."""
        own = numbers_of_row(arrays, 0)
        (numbers,), (by_slot,) = self._slopes(arrays)
        found = np.isin(numbers, own)
        slopes = np.zeros(len(own))
        np.add.at(slopes, np.searchsorted(own, numbers[found]), by_slot[found])
        way = prices.find_way(slopes) if isinstance(prices, PairPrices) else slopes / prices
        moves = np.clip(gap, -LONGEST_STEP, LONGEST_STEP) * way / (slopes @ way)
        values = np.array(self.table.value.numpy())
        values[own[:-1], 0] += moves[:-1]
        self.table.assign(values)
        if moves[-1]:
            # Another account's number at this place counts for this one from now on; the next pass makes up for it.
            ((number, mark),) = arrays["account_input"]
            values = np.array(self.accounts.value.numpy())
            values[number, 0] += moves[-1]
            values[mark, 1] = 1
            self.accounts.assign(values)


def numbers_of_row(arrays: Arrays, row: int) -> npt.NDArray[np.int64]:
    """The numbers that a row is made of (k,), each once, in order: its features, and last its account, which is counted
    on from the last of all features."""
    features = np.unique(arrays["feature_input"][row][arrays["weight_input"][row] != 0])
    return np.append(features, FEATURES + arrays["account_input"][row, :1]).astype(np.int64)


def line_slopes(
    table: npt.NDArray[np.float32], features: npt.NDArray[np.int32], weights: npt.NDArray[np.float32]
) -> Numbers:
    """By how much the log-odds of accounts grow with the number of each of their features: `table` (features,) has the
    numbers, `features` and `weights` (n, slots) are the accounts'; or (slots,) those of one."""
    scaled = LINE_SCALE * weights.astype(np.float64)
    fields = networks.slots_by_field()
    sums = (scaled * table[features]) @ fields
    slopes: Numbers = WIDE_DEEP_SHARES[1] * scaled * ((1 - np.tanh(sums / FIELD_LIMIT) ** 2) @ fields.T)
    return slopes


def count_pairs(features: npt.NDArray[np.int32], slopes: Numbers, own: npt.NDArray[np.int64], size: int) -> Numbers:
    """Of n rows with `features` and `slopes` (n, slots), the sum over all of them of the products of the slopes of any
    two of k `own` features, of so many in all (k, k); and one besides for each, so that what no row has costs little
    and not nothing."""
    places = np.full(size, -1, np.int32)
    places[own] = np.arange(len(own))
    columns = places[features]
    rows, slots = np.nonzero((columns >= 0) & (slopes != 0))
    effects = np.zeros((len(features), len(own)), np.float32)
    # numpy adds at places that are one number each ten times faster than at those of two.
    flat = rows * len(own) + columns[rows, slots]
    np.add.at(effects.reshape(-1), flat, slopes[rows, slots].astype(np.float32))
    return np.asarray(effects.T @ effects, np.float64) + np.eye(len(own))


def count_features(arrays: Arrays, size: int) -> Numbers:
    """In how many of n rows each of so many features occurs, each occurrence as much as it weighs there (squared)."""
    weights = (LINE_SCALE * arrays["weight_input"].astype(np.float64)) ** 2
    return np.bincount(arrays["feature_input"].ravel(), weights.ravel(), minlength=size).astype(np.float64)


def pace_features(new: Examples, size: int, pace: float) -> npt.NDArray[np.float32]:
    """How many times faster than all other numbers those of features learn from n new rows, of so many (size, 1); 1 for
    what none has, and for all where `pace` is 0.

    It is `pace` over the mean weight with which they have the feature, between 1 and MOST_PACE: Adam moves every number
    by about as much, so an account by a feature the more, the more that weighs, and words and n-grams, which share the
    weight of a text among them, would hardly be learned beside what has a slot of its own.

    Where the rows are of both labels, it is less by how evenly these have the feature: times the difference of the
    shares of either label's rows that have it, over their sum. What all have alike tells nothing of who of them is
    spam, and would take along everybody else who has it. Accounts of one day have the day in common.
    """
    if not pace:
        return np.ones((size, 1), np.float32)
    features, weights = (new.arrays[name] for name in INPUTS[:2])
    sides = [np.flatnonzero(new.targets == label) for label in (0, 1)]
    has = [np.bincount(features[side].ravel(), weights[side].ravel() > 0, minlength=size) for side in sides]
    times, total = has[0] + has[1], np.bincount(features.ravel(), weights.ravel(), minlength=size)
    paces = np.clip(pace * times / np.maximum(total, 1e-9), 1.0, MOST_PACE)
    if len(sides[0]) and len(sides[1]):
        shares = [of_side / len(side) for of_side, side in zip(has, sides, strict=True)]
        paces *= np.abs(shares[1] - shares[0]) / np.maximum(shares[0] + shares[1], 1e-9)
    return np.where(times > 0, paces, 1.0).astype(np.float32)[:, None]
