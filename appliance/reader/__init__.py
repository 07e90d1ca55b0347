"""One frame in, one reading out."""
