"""What `digits bench` measures: one module each."""
