"""A camera appliance that reads handwritten digits on a Raspberry Pi Zero."""

__version__ = "0.1.0"
