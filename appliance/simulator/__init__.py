"""Photograph simulator: a digit to a photograph of it, by handwriting, sheet, light and lens."""
