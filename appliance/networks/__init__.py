"""Which network reads: those on disk, their order, and the one in use."""
