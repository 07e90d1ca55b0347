"""Where readings go; each output has the same two calls, and none knows another."""

from typing import Protocol

from appliance.reading import Reading


class Output(Protocol):
    """Is shown every reading."""

    def show(self, reading: Reading) -> None:
        """Show one reading; must not block for long."""

    def close(self) -> None:
        """Let go of what it holds; safe to call twice."""
