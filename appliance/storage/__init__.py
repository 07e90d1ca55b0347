"""What outlives a power cut, and what is checked before it is believed."""
