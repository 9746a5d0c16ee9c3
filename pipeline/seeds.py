"""Where every stream of random numbers starts: all that is ever added to a seed, in one table.

A stream is what one generator draws. It starts at the configured seed, or at that of a model, plus
the number of the stream. Generators of one kind that start at the same number draw the same
numbers: `tests/test_seeds.py` lists the starts of the default configuration and those that meet.
Models that are compared with each other share a seed on purpose: epsilons of the frontier, doses of
poison, teacher and student, the parts that a filter trains on.
"""

# ---- added to the seed of a model; its initial weights start at the seed itself ----
BATCHES = 7_919  # the order in which ordinary training takes its records
POISSON_DRAW = 15_485_863  # who joins each step of DP-SGD
DP_NOISE = 32_452_843  # the noise of DP-SGD
COPY_BATCHES = 15_013  # which answers a stolen copy learns from in each step
FILTER_FOLDS = 86_028_121  # how a filter against poison cuts a training set into folds

# ---- added to the configured seed ----
BOOTSTRAP = 0  # which patients a resample draws (NumPy's generator)
ADVERSARIAL_TRAINING = 0  # random starts of the attacks that a model is trained against
DIAGNOSTICS = 0  # which records are sampled, and random starts, when gradients are checked
MEMBERSHIP_NOISE = 0  # the noisy copies of a record whose labels are asked for
INVERSION_HALVES = 0  # from which half of the records a guess of the other is learned
COPIES = 0  # the seed of every stolen copy: attackers differ by what they are told
EVASION_BY_COPIES = 0  # random starts of the attack on a stolen copy
MEMBERSHIP_HALVES = 104_729  # whom models of membership, inversion and frontier train on
CANARIES = 1_299_709  # which audited run each canary joins
POISONERS = 32_452_867  # whose records are poisoned, and who is named
THEFT_HALVES = 15_487_469  # whom each victim of theft trains on
THEFT_INPUTS = 15_487_469  # the uniform records on which copies and victims are compared
THEFT_NOISE = 15_487_469  # the secret key of a noisy API: it is hashed, no generator starts at it
THEFT_TESTS = 15_487_470  # who of the others is tested, and who belongs to the attacker
FILTER_TIES = 122_949_823  # the order of equally suspicious records

COMPANION = 7_000  # between the seeds of models that stand behind one API and answer together


def of_partition(seed: int, repetition: int) -> int:
    """The cut into folds of one repetition: 32 bits for scikit-learn, as a date is a seed too."""
    return (seed * 1_000 + repetition) % 2**32


def of_folds(seed: int) -> int:
    """The seed of the first model of a cross-validation; the next models follow."""
    return seed * 1_000_003


def of_halves(seed: int) -> int:
    """The seed of the first model that trains on a random half, given where its coins start.

    The next models follow; they are others than those of a cross-validation.
    """
    return (seed + 1) * 1_000_003 + 500_000


def of_attack(seed: int, number: int) -> int:
    """The random choices of an evasion attack, by its place in the suite."""
    return seed * 1_000 + number


def of_proposals(seed: int, number: int) -> int:
    """The records that a thief proposes in each round."""
    return seed * 1_000 + number
