"""A small float32 neural-network library in numpy: arrays in, arrays out."""
