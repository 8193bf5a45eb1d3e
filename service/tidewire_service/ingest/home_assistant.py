"""Names what Home Assistant writes as line protocol: the entity, its unit, and its state in words; pure.

Home Assistant's integration `influxdb` sends the tags ``domain`` and ``entity_id``. The measurement is the unit, or the
entity if it has none; ``value`` is the state as a number, ``state`` in words, and other fields are its attributes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["Entity", "EntityReading", "entity_of", "is_entity"]

# Units of Home Assistant (homeassistant/const.py), as UCUM spells them. Of others, what looks like a name is none.
_UCUM: Final = {
    "°C": "Cel", "°F": "[degF]", "K": "K", "%": "%", "W": "W", "kW": "kW", "MW": "MW", "Wh": "W.h", "kWh": "kW.h",
    "MWh": "MW.h", "V": "V", "mV": "mV", "A": "A", "mA": "mA", "VA": "V.A", "Hz": "Hz", "Pa": "Pa", "hPa": "hPa",
    "kPa": "kPa", "bar": "bar", "mbar": "mbar", "psi": "[psi]", "lx": "lx", "lm": "lm", "dB": "dB", "dBm": "dB[mW]",
    "ppm": "[ppm]", "ppb": "[ppb]", "µg/m³": "ug/m3", "μg/m³": "ug/m3", "mg/m³": "mg/m3", "m": "m", "km": "km",
    "cm": "cm", "mm": "mm", "in": "[in_i]", "ft": "[ft_i]", "mi": "[mi_i]", "m/s": "m/s", "km/h": "km/h",
    "mph": "[mi_i]/h", "kn": "[kn_i]", "mm/h": "mm/h", "L": "L", "mL": "mL", "m³": "m3", "m³/h": "m3/h",
    "gal": "[gal_us]", "L/min": "L/min", "g": "g", "kg": "kg", "lb": "[lb_av]", "s": "s", "ms": "ms",
    "min": "min", "h": "h", "d": "d",
    "°": "deg", "B": "By", "kB": "kBy", "MB": "MBy", "GB": "GBy", "MiB": "MiBy", "GiB": "GiBy", "kB/s": "kBy/s",
    "MB/s": "MBy/s", "kbit/s": "kbit/s", "Mbit/s": "Mbit/s", "Gbit/s": "Gbit/s", "W/m²": "W/m2", "UV index": "",
    "pH": "[pH]", "rpm": "/min",
}  # fmt: skip
_MEASURING: Final = frozenset({"sensor", "number", "input_number", "counter"})  # domains whose entities have a unit
_OBJECT_ID: Final = re.compile(r"[a-z0-9_]+", re.ASCII)
_UNIT_FIELD: Final = "unit_of_measurement_str"
_UNIT_CHARS: Final = 16
_NAME: Final = re.compile(r"[\w. -]{4,}", re.ASCII)  # that a user chose for all entities: homeassistant


class EntityReading(NamedTuple):
    """A reading of an entity: of itself, field ``value``, or of one of its attributes; its unit, value and text."""

    field: str
    unit: str
    value: float | None
    text: str | None


class Entity(NamedTuple):
    """One entity.

    Attributes:
        metric: ``ha/<domain>/<entity>``.
        unit: UCUM, or as Home Assistant writes it; empty if it has none.
    """

    metric: str
    unit: str

    def readings(self, fields: dict[str, bool | float | str]) -> tuple[list[EntityReading], int]:
        """Return the readings of a line, and how many attributes were left out: those that are text.

        The state in words is the text of its reading: with a number an event, alone a state.
        """
        number, words, unit = fields.get("value"), fields.get("state"), fields.get(_UNIT_FIELD)
        value = None if number is None or isinstance(number, str) else number
        text = words if isinstance(words, str) else None
        if value is None and text is None and isinstance(words, bool | int | float):
            value = words
        own = _UCUM.get(unit, unit[:_UNIT_CHARS]) if isinstance(unit, str) else self.unit
        found, left_out = [], 0
        if value is not None or text is not None:
            found.append(EntityReading("value", own, value, text))
        for name, attribute in reversed(fields.items()):  # the parser begins with the last
            if name in ("value", "state", _UNIT_FIELD):
                continue
            if isinstance(attribute, str):
                left_out += 1
            else:
                found.append(EntityReading(name, "", attribute, None))
        return found, left_out


def is_entity(tags: Mapping[str, str]) -> bool:
    """Tell whether a line with these tags comes from Home Assistant."""
    return "entity_id" in tags and _OBJECT_ID.fullmatch(tags.get("domain", "")) is not None


def entity_of(measurement: str, domain: str, entity_id: str) -> Entity:
    """Return the entity of a line.

    Args:
        measurement: its unit, or its id or domain if it has none, or a name that the user chose for all. A unit that
            is not known is told from a name by its length or a sign: ``var``, ``€/kWh``.
        domain: such as ``sensor``.
        entity_id: without the domain, such as ``kitchen_temperature``.
    """
    unit = _UCUM.get(measurement)
    if unit is None:
        named = measurement == domain or _NAME.fullmatch(measurement) or len(measurement) > _UNIT_CHARS
        unit = "" if named or domain not in _MEASURING else measurement
    return Entity(f"ha/{domain}/{entity_id}", unit)
