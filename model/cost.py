"""What a training costs, before it starts."""

from model.network import build
from model.presets import Preset

PI_ZERO = 0.267e9
"""Floating-point operations a second that OpenBLAS reaches on a Pi Zero (HPL, double precision)."""

NIGHT = 3.8e12
"""Multiply-adds of eight hours at that rate, two operations each."""


def multiply_adds(preset: Preset, digits: int, epochs: int) -> int:
    """Return the multiply-adds, forward and backward, of a training on so many `digits`."""
    per_digit = build(preset.layers).training_multiply_adds()
    return per_digit * preset.picture_count(digits, epochs)


def describe_cost(preset: Preset, digits: int, epochs: int) -> str:
    """Return two lines: the network's size, and the training's cost on a Pi Zero."""
    network = build(preset.layers)
    folded = network.fold()
    cost = multiply_adds(preset, digits, epochs)
    hours = 2 * cost / PI_ZERO / 3600
    return (
        f"{folded.parameter_count():,} parameters, "
        f"{folded.multiply_adds():,} multiply-adds a digit\n"
        f"{epochs} epochs of {preset.picture_count(digits, 1):,} pictures: "
        f"{cost:.2e} multiply-adds forward and backward; "
        f"the products alone take {hours:.1f} h at a Pi Zero's "
        f"{PI_ZERO / 1e9} GFLOP/s ({cost / NIGHT:.0%} of a night's {NIGHT:.1e})"
    )
