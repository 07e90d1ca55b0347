"""The board and its switches: pins, the button, the owner's PIN, systemd and power."""
