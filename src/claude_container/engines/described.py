"""What a docker-like command line shows of an image, docker's and podman's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from claude_container.engines.base import Image


def image(row: Mapping[str, Any]) -> Image:
    """An image, of its row in `image inspect`."""
    return Image(
        # podman leaves out the algorithm.
        id=f"sha256:{row['Id'].removeprefix('sha256:')}",
        size=row["Size"],
        labels=(row.get("Config") or {}).get("Labels") or {},
        # podman puts the domain of what has none before the name of an image built here.
        names=tuple(name.removeprefix("localhost/") for name in row.get("RepoTags") or ()),
        created=_seconds(row.get("Created") or ""),
    )


def _seconds(when: str) -> int:
    """Since 1970, of a time such as 2026-01-02T03:04:05.123456789Z; 0 where there is none."""
    from datetime import datetime  # few commands need it

    # Python 3.10 reads neither nine digits nor a Z.
    plain = re.sub(r"\.\d+", "", when).replace("Z", "+00:00")
    return max(0, int(datetime.fromisoformat(plain).timestamp())) if plain else 0
