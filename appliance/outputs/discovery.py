"""Discovery messages: Home Assistant adds the appliance by itself.

Source: home-assistant.io/integrations/mqtt, "MQTT discovery", and the pages of its MQTT sensor,
binary sensor and button. An older Home Assistant ignores the keys that it does not know.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

PRESS = "PRESS"
"""The payload that a press of the button sends."""
BIRTH = "homeassistant/status"
"""The topic of Home Assistant's own "online" after its start, whatever the discovery prefix."""


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
        "manufacturer": "digit appliance",
        "model": "reader of handwritten digits",
        "sw_version": version,
    }
    # Home Assistant refuses a whole message for one address that it cannot parse.
    if re.fullmatch(r"http://[A-Za-z0-9.:\[\]-]+", page):
        device["configuration_url"] = page
    discovery = {}
    for (component, key), own in _entities(topics).items():
        id = f"digits_{node}_{key}"
        common = {
            "unique_id": id,
            "availability_topic": topics.availability,
            "device": device,
            "origin": {"name": "digit appliance", "sw_version": version},
        }
        discovery[f"{prefix}/{component}/{id}/config"] = json.dumps({**own, **common})
    return discovery


def _entities(topics: Topics) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the keys that differ between the entities, by (component, key)."""
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
            # Without a digit there is none, as on the page; a 0 would lower Home Assistant's mean.
            "value_template": "{{ (100 * value_json.confidence) | round | int "
            "if value_json.digit is not none else none }}",
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
