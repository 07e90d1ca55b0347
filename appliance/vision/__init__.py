"""From a grey frame to a 28×28 glyph: pure functions on arrays, no hardware, no files, no clock."""
