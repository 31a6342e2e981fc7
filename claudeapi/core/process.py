"""Who this process is, for leases and for the doorbell; and who may read what it writes."""

from __future__ import annotations

from uuid import uuid4

PROCESS_ID: str = uuid4().hex
"""Made anew whenever a process starts, so a restarted worker never owns its predecessor's runs."""

PRIVATE = 0o077
"""The umask of whatever writes to DATA_DIR: prompts, replies and keys are for one user."""
