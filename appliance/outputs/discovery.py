"""What Home Assistant is told, so that it finds the appliance by itself.

Source: home-assistant.io/integrations/mqtt, "MQTT discovery", and the pages of its MQTT sensor,
binary sensor and button. What an older Home Assistant does not know it leaves out.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

PRESS = "PRESS"
"""What a press of the button is, in Home Assistant's words."""
BIRTH = "homeassistant/status"
"""Where Home Assistant says "online" after its start, whatever the prefix of discovery is."""


@dataclass(frozen=True)
class Topics:
    """The topics of one appliance, `base`/state and so on."""

    base: str

    @property
    def state(self) -> str:
        return f"{self.base}/state"

    @property
    def availability(self) -> str:
        return f"{self.base}/availability"

    @property
    def read(self) -> str:
        return f"{self.base}/read"


def node_of(host: str) -> str:
    """Return a host's name with only what a topic's level and Home Assistant's ids may have."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", host)[:64].strip("-") or "appliance"


def messages(prefix: str, topics: Topics, node: str, *, version: str, page: str) -> dict[str, str]:
    """Return each discovery topic with its JSON: digit, confidence, fault, and the button.

    `page` is the address of the appliance's page.
    """
    device = {
        "identifiers": [f"digits_{node}"],
        "name": f"digits {node}",
        "model": "digit appliance",
        "sw_version": version,
    }
    # One that Home Assistant holds for no address would make it refuse the whole message.
    if re.fullmatch(r"http://[A-Za-z0-9.:\[\]-]+", page):
        device["configuration_url"] = page
    told = {}
    for (component, key), own in _entities(topics).items():
        id = f"digits_{node}_{key}"
        common = {
            "unique_id": id,
            "availability_topic": topics.availability,
            "device": device,
            "origin": {"name": "digit appliance", "sw_version": version},
        }
        told[f"{prefix}/{component}/{id}/config"] = json.dumps({**own, **common})
    return told


def _entities(topics: Topics) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what each entity has of its own, by its (component, key)."""
    return {
        ("sensor", "digit"): {
            "name": "Digit",
            "icon": "mdi:numeric",
            "state_topic": topics.state,
            # No digit is null, which becomes None: Home Assistant's word for unknown.
            "value_template": "{{ value_json.digit }}",
            "json_attributes_topic": topics.state,
        },
        ("sensor", "confidence"): {
            "name": "Confidence",
            "icon": "mdi:gauge",
            "state_topic": topics.state,
            "value_template": "{{ (100 * value_json.confidence) | round | int }}",
            "unit_of_measurement": "%",
            "state_class": "measurement",
        },
        ("binary_sensor", "fault"): {
            "name": "Fault",
            "state_topic": topics.state,
            "value_template": "{{ 'ON' if value_json.fault else 'OFF' }}",
            "device_class": "problem",
            "entity_category": "diagnostic",
        },
        ("button", "read"): {
            "name": "Read now",
            "icon": "mdi:camera",
            "command_topic": topics.read,
            "payload_press": PRESS,
        },
    }
