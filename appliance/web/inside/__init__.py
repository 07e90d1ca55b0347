"""The view Inside: one digit through the network, layer by layer."""
