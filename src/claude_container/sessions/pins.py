"""Why a repository cannot send the token elsewhere.

`env` in .claude/settings.json, in settings.local.json, or in the settings and
.claude.json of the state volume changes claude's own environment. Seen with
2.1.330: a base URL there, or a proxy with a certificate to go with it, received
the Bearer header, and the process environment did not override it.

Two layers stop that, each of which a test holds against the real binary:
- CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST=1 in the process environment makes claude
  ignore such names in any settings file (undocumented; set in session.sh);
- a root-owned managed-settings file, documented, gives each of them the value
  that the user chose, or the vendor's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from claude_container import host

BASE_URL = "https://api.anthropic.com"
CA_IN_CONTAINER = "/run/claude-container/ca.crt"
# A switch to another provider carries no token, but the whole conversation.
_PROVIDERS = ("BEDROCK", "VERTEX", "FOUNDRY", "MANTLE", "ANTHROPIC_AWS", "GATEWAY")
_DEFAULTS = {
    "ANTHROPIC_BASE_URL": BASE_URL,
    # Both cases of each: pinning one leaves the other open.
    **{name: "" for name in host.PROXY_VARIABLES if "NO_PROXY" not in name.upper()},
    "NODE_EXTRA_CA_CERTS": "",
    "NODE_TLS_REJECT_UNAUTHORIZED": "1",
    "CLAUDE_CODE_CUSTOM_OAUTH_URL": "",
    **{f"CLAUDE_CODE_USE_{provider}": "" for provider in _PROVIDERS},
}


def managed_settings(env: Mapping[str, str], *, ca: bool) -> str:
    """The managed-settings file for a container with this environment, as JSON.

    `ca` tells whether a certificate lies at CA_IN_CONTAINER. It also spares the
    user the question that --dangerously-skip-permissions asks (read from policy
    settings too), and keeps a planted apiKeyHelper from replacing the token.
    """
    pinned = {**_DEFAULTS, **({"NODE_EXTRA_CA_CERTS": CA_IN_CONTAINER} if ca else {})}
    pinned.update({name: env[name] for name in pinned if name in env})
    settings = {"env": pinned, "apiKeyHelper": "", "skipDangerousModePermissionPrompt": True}
    return json.dumps(settings, indent=1)
