"""Arrays as pictures, and numbers as charts."""
