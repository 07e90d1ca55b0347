"""Whether a night can come to anything, asked before it begins."""

import numpy as np

from appliance.captures.store import Captures
from appliance.training.gate import answers
from appliance.training.records import Refused
from model.datasets import Split
from model.layers import Dense
from model.network import NOT_A_DIGIT, Network

_LEAST_BASE = 0.95
"""A base set of which the network in use reads less is not the digits that it is taken for."""
_FEWEST, _ASKED = 100, 500
"""Digits that a base set has at least, and of them those that the network in use is asked."""


def check_base(base: Split, network: Network) -> None:
    """Raise Refused for a base set that the network in use does not know for digits."""
    if len(base) < _FEWEST:
        raise Refused(
            f"the base set has {len(base)} digits, which is no set to learn from: "
            "fetch MNIST again with 'digits data fetch'"
        )
    rows = np.arange(_ASKED) * (len(base) - 1) // (_ASKED - 1)
    right = float(answers(network, base, rows).right.mean())
    if right < _LEAST_BASE:
        raise Refused(
            f"the network in use reads {right:.0%} of the base set as it is labelled: its "
            "labels or its pictures are not those of digits; fetch MNIST again with "
            "'digits data fetch'"
        )


def check_worth(captures: Captures, network: Network, id: str, *, goes_on: bool) -> None:
    """Raise Refused where the captures measure nothing, or a network is not one to go on from."""
    if not sum(captures.counts().values()):
        raise Refused(
            "there are no captures to learn from: correct or confirm some readings on the page"
        )
    found = captures.enough()
    if not found.some:
        raise Refused(found.sentence)
    answers_all = network.shapes[-1] == (NOT_A_DIGIT + 1,)
    if goes_on and not (answers_all and isinstance(network.layers[-1], Dense)):
        raise Refused(
            f"network {id} has no output for what is not a digit, and some captures are of that: "
            "promote another with 'digits networks', or begin with a new one by "
            "'digits retrain --from-scratch'"
        )
