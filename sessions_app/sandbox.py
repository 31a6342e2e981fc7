"""Whether agents are locked in on this machine, as far as requests and operators care."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from asgiref.sync import async_to_sync

from claudeapi.conf import SandboxMode, options

NOT_LOCKED_IN = (
    "Agents are not locked in: whoever may use one can reach what this server's user can. "
    "Install bubblewrap, or allow user namespaces."
)
SWITCHED_OFF = (
    "Agents are not locked in (CLAUDE_SANDBOX=off): whoever may use one can reach what this "
    "server's user can."
)
NONE_RUN = "No agents run: CLAUDE_SANDBOX=required, and bubblewrap does not work on this server."


@dataclass(frozen=True, slots=True)
class Shelter:
    """How agents are kept.

    Attributes:
        active: every agent runs inside bubblewrap.
        warning: what an operator should know; empty where all is well. Nothing of the
            machine is in it.
    """

    mode: SandboxMode
    active: bool
    warning: str

    @property
    def none_run(self) -> bool:
        """Whether no agent can run at all."""
        return self.mode == "required" and not self.active


def shelter() -> Shelter:
    """How agents are kept here. From a thread; the first call takes some milliseconds."""
    mode = options().agents.sandbox
    if mode == "off":
        return Shelter(mode, False, SWITCHED_OFF)
    sandbox = import_module("sessions_app.engines.claude_code.sandbox")
    if not async_to_sync(sandbox.trial.problem)():
        return Shelter(mode, True, "")
    return Shelter(mode, False, NONE_RUN if mode == "required" else NOT_LOCKED_IN)
