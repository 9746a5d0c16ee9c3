"""Where every stream of random numbers starts: one registry of streams, and one function.

A stream is what one generator draws. It starts at a hash of its name, of a seed and of what else
tells it apart, so that no two of the default configuration start together
(`tests/test_seeds.py`). The seed is the configured one, or one that was made from it: models have
seeds of their own. Models that are compared with each other share a seed on purpose: epsilons of
the frontier, doses of poison, teacher and student, the parts that a filter trains on, a recipe
beside the undefended one.
"""

from enum import StrEnum, unique
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@unique
class Stream(StrEnum):
    """What is drawn, or whose seeds are made."""

    # ---- of the configured seed ----
    PARTITION = "partition"  # the cut into folds of each repetition
    SAMPLE = "sample"  # who is attacked, where not everybody is
    BLOCKS = "blocks"  # who is attacked with whom, where a cohort is attacked in blocks
    BUNDLES = "bundles"  # which patients a bootstrap draws together, and what it draws of these
    CROSS_VALIDATION = "cross-validation"  # the seed of each of its models
    OFFICIAL = "official split"  # the seed of each model that is trained on it
    MEMBERSHIP_HALVES = "halves for membership"  # also of inversion, frontier, federation
    CANARY_RUNS = "runs with canaries"  # which audited run each canary joins
    CANARY_HOSPITALS = "hospitals as canaries"  # which audited run of a server each one joins
    THEFT_HALVES = "halves for theft"  # whom each victim trains on
    THEFT_TESTS = "tests of theft"  # who of the others is tested, and who is the attacker's own
    THEFT_INPUTS = "inputs of theft"  # the uniform records on which copies and victims are compared
    THEFT_NOISE = "noise of an API"  # its secret key
    PROPOSALS = "proposals"  # the records that a thief proposes in each round
    COPIES = "copies"  # the seed of every stolen copy: attackers differ by what they are told
    EVASION = "evasion"  # the random choices of each attack of the suite
    EVASION_BY_COPIES = "evasion by copies"  # random starts of the attack on a stolen copy
    EVASION_OF_EVERYONE = "evasion of everyone"  # of the attacks on all, beside a sample
    EVASION_OF_VOTES = "evasion of votes"  # random starts of the attacks on voters, and on all
    SMOOTHING = "smoothing"  # the noise under which votes are counted, of each model
    EVASION_OF_HALVES = "evasion of halves"  # random starts of the attack on half models
    SAFEGUARDS = "safeguards"  # random starts of the attacks on them, and the noise that they draw
    GUARD = "guard"  # random starts of the attacks on it, and the records of who copies through it
    ELSEWHERE = "elsewhere"  # the seed of each model that is asked about another site, or later
    BY_HAND = "attack by hand"  # from a notebook
    DIAGNOSTICS = "diagnostics"  # sampled records, and random starts, when gradients are checked
    MEMBERSHIP_NOISE = "noisy copies"  # of a record, whose labels are asked for
    INVERSION_HALVES = "halves for inversion"  # from which half a guess of the other is learned
    UPDATES = "updates"  # of images: whose are inverted, and the noise on the private ones
    HOSPITAL_UPDATES = "updates of hospitals"  # whose are inverted, noise on them, first guesses
    FORGED_BOXES = "forged boxes"  # where the tested scans are forged, from whom, and their noise
    DETECTOR = "detector"  # the seed of each detector of forged scans
    POISONERS = "poisoners"  # whose records are poisoned, and who is named
    FILTER_TIES = "ties"  # the order of equally suspicious records
    MONITORED = "monitored queries"  # of simulated streams: honest ones, and attacks among them
    BOOTSTRAP = "bootstrap"  # which patients a resample draws

    # ---- of a seed that was made for halves ----
    COINS = "coins"  # who trains each model
    HALF = "half"  # the seed of each model

    # ---- of the seeds of a plan's models ----
    RELEASE = "release"  # the seed of the release model
    INNER_FOLD = "inner fold"  # the seed of a model that scores the training rows of two others
    ELSEWHERE_FOLD = "fold elsewhere"  # the seed of a model that scores training rows of such a one
    OWN_FOLD = "own fold"  # the seed of a model that scores a fold of the training rows of another
    AGAIN = "again"  # the second seed of a model, on the same records
    REHEARSAL = "rehearsal"  # the seeds of a poisoner's own models
    COMPANION = "companion"  # the seeds of models that stand behind one API and answer together
    ENSEMBLE = "deep ensemble"  # the seeds of models that answer together with one of the plan's
    ADVERSARIAL_TRAINING = "adversarial training"  # random starts of the attacks trained against
    SHIFTS = "shifts"  # by how many pixels each image is moved whenever it is learned from
    READING = "reading"  # made up records, on which what was read of a library's model is checked
    NOISY_TRAINING = "noisy training"  # the noise under which each image is learned from

    # ---- of the seed of one model ----
    OWN_FOLDS = "own folds"  # how its training rows are cut into them
    TUNE = "tune"  # who of its training rows is set aside for choosing
    WEIGHTS = "weights"  # as they are before training
    BATCHES = "batches"  # the order in which ordinary training takes its records
    POISSON_DRAW = "Poisson draw"  # who joins each step of DP-SGD
    DP_NOISE = "noise of DP-SGD"
    SERVER_NOISE = "noise of a server"  # that adds up what hospitals send
    HOSPITAL_ROUND = "round of a hospital"  # the seed of what is drawn in it
    NOISY_COPIES = "noise of a vote"  # that a deployed vote keeps
    COPY_BATCHES = "batches of a copy"  # which answers it learns from in each step
    DETECTOR_WEIGHTS = "weights of a detector"  # as they are before training
    FORGED_BATCHES = (
        "forged batches"  # the scans of each step of a detector, and how they are forged
    )


def of(stream: Stream, seed: int, *numbers: int) -> int:
    """Where a stream starts: the first 63 bits of BLAKE2b over its name, the seed and the numbers.

    Args:
        stream: what is drawn.
        seed: any whole number: a date, or another start.
        *numbers: what else tells it apart, such as the row of a model or the number of a round.

    Returns:
        in 0 ... 2^63 - 1, so that a tensor of int64 holds it. Torch's generator on a CPU starts at
            its last 32 bits.
    """
    written = "/".join([stream, *(str(int(number)) for number in (seed, *numbers))])
    return int.from_bytes(blake2b(written.encode(), digest_size=8).digest()) >> 1


def of_each(stream: Stream, seed: int, count: int) -> "torch.Tensor":
    """(count,) int64: the seeds of so many models, each by its place."""
    import torch

    return torch.tensor([of(stream, seed, place) for place in range(count)])


def generator(stream: Stream, seed: int, *numbers: int) -> "torch.Generator":
    """Torch's generator at the start of a stream."""
    import torch

    return torch.Generator().manual_seed(of(stream, seed, *numbers))


def numpy_generator(stream: Stream, seed: int, *numbers: int) -> np.random.Generator:
    """NumPy's generator at the start of a stream."""
    return np.random.default_rng(of(stream, seed, *numbers))


def random_state(stream: Stream, seed: int, *numbers: int) -> int:
    """The start of a stream for scikit-learn, which takes 32 bits."""
    return of(stream, seed, *numbers) % 2**32
