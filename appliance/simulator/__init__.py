"""A digit to a photograph of it: handwriting, paper, light, lens and clutter."""
