"""Pytest's plugin on the emulated board: Hypothesis asks for fewer examples, and waits for each."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "board", deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("board")
