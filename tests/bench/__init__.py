"""What measures: one module a bench, run by python -m tests.bench NAME; never on a Pi."""
