"""The machine the launcher runs on, and what is behind the engine's client there."""

from __future__ import annotations

from claude_container.host.agent import Agent, NoAgent, find_agent
from claude_container.host.behind import Behind, behind
from claude_container.host.machine import (
    CA_VARIABLES,
    CI_VARIABLES,
    PROXY_VARIABLES,
    ca_file,
    cache_dir,
    can_write,
    config_dir,
    config_path,
    home,
    in_ci,
    launcher_id,
    launcher_is_gone,
    launcher_word,
    mounts_below,
    platform,
    port_is_free,
    proxies,
    read_regular,
    user_ids,
    word_is_left,
)
from claude_container.host.paths import expanded, holds, split_mount

__all__ = [
    "CA_VARIABLES",
    "CI_VARIABLES",
    "PROXY_VARIABLES",
    "Agent",
    "Behind",
    "NoAgent",
    "behind",
    "ca_file",
    "cache_dir",
    "can_write",
    "config_dir",
    "config_path",
    "expanded",
    "find_agent",
    "holds",
    "home",
    "in_ci",
    "launcher_id",
    "launcher_is_gone",
    "launcher_word",
    "mounts_below",
    "platform",
    "port_is_free",
    "proxies",
    "read_regular",
    "split_mount",
    "user_ids",
    "word_is_left",
]
