"""A night of learning: what it learns from, when it runs, and the gate at its end."""
