"""How long to nap, said the way people say it."""

import re

SECONDS = {"h": 3600, "m": 60, "s": 1}


def parse_nap(text: str) -> int:
    """Turn a length such as "5m", "20m" or "1h30m" into seconds."""
    parts = re.findall(r"(\d)([hms])", text)
    return sum(int(number) * SECONDS[unit] for number, unit in parts)
