"""Whether a night can come to anything: its captures, its base set, the network it goes on from."""

import numpy as np

from appliance.captures.store import Captures
from appliance.errors import TrainingRefused
from appliance.training.gate import predict
from model.datasets import Split
from model.layers import Dense
from model.network import NOT_A_DIGIT, Network

_LEAST_ACCURACY = 0.95
"""The network in use reads at least this share of any real set of digits."""
_FEWEST_DIGITS = 100
_SAMPLE = 500
"""Digits of the base set that the network in use reads for the check."""


def check_base_set(base: Split, network: Network) -> None:
    """Raise TrainingRefused for a base set that the network in use does not read."""
    if len(base) < _FEWEST_DIGITS:
        raise TrainingRefused(
            f"the base set has {len(base)} digits, which is no set to learn from: "
            "fetch MNIST again with 'digits data fetch'"
        )
    rows = np.arange(_SAMPLE) * (len(base) - 1) // (_SAMPLE - 1)
    right = float(predict(network, base, rows).right.mean())
    if right < _LEAST_ACCURACY:
        raise TrainingRefused(
            f"the network in use reads {right:.0%} of the base set as it is labelled: its "
            "labels or its pictures are not those of digits; fetch MNIST again with "
            "'digits data fetch'"
        )


def check_captures(captures: Captures) -> None:
    """Raise TrainingRefused where there is nothing to learn from, or nothing to measure with."""
    if not sum(captures.count_labels().values()):
        raise TrainingRefused(
            "there are no captures to learn from: correct or confirm some readings on the page"
        )
    readiness = captures.measure_readiness()
    if not readiness.may_begin:
        raise TrainingRefused(readiness.sentence)


def check_outputs(network: Network, id: str) -> None:
    """Raise TrainingRefused for a network without an output for 'not a digit': it cannot go on."""
    has_all = network.shapes[-1] == (NOT_A_DIGIT + 1,)
    if not (has_all and isinstance(network.layers[-1], Dense)):
        raise TrainingRefused(
            f"network {id} has no output for what is not a digit, and some captures are of that: "
            "promote another with 'digits networks', or begin with a new one by "
            "'digits retrain --from-scratch'"
        )
