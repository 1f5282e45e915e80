"""Changes brought into a folder that is no git repository: planned, shown, carried out."""

from __future__ import annotations

from claude_container.changes.folder.carry import Incomplete, carry_out
from claude_container.changes.folder.plan import Conflict, Plan, Row, plan

__all__ = ["Conflict", "Incomplete", "Plan", "Row", "carry_out", "plan"]
