"""Every setting: its default, its check, the owner's file, and what the page changed over it."""

from appliance.settings.schema import load

__all__ = ["load"]
