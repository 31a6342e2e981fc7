"""The server processes: who lives, and may drive runs.

A heartbeat is the lease on all runs of a process.
"""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from claudeapi import __version__
from claudeapi.core import machine
from claudeapi.core.process import PROCESS_ID
from sessions_app.models import ServerProcess

HEARTBEAT_SECONDS = 2.0
LEASE_SECONDS = 15.0


def beat(facts: dict[str, Any]) -> bool:
    """Say that this process lives. False where others may have thought that it does not."""
    # By the database's clock, which is the same for all.
    ours = ServerProcess.objects.filter(pk=PROCESS_ID)
    fresh = ours.filter(heartbeat_at__gte=Now() - timedelta(seconds=LEASE_SECONDS))
    if fresh.update(heartbeat_at=Now(), facts=facts):
        return True
    if not ours.update(heartbeat_at=Now(), facts=facts):
        ServerProcess.objects.create(
            id=PROCESS_ID,
            host=socket.gethostname(),
            pid=os.getpid(),
            machine=machine.IDENTITY,
            version=__version__,
            heartbeat_at=Now(),
            facts=facts,
        )
    return False


def take_no_more() -> None:
    """This process drains: others shall not hand it runs."""
    ServerProcess.objects.filter(pk=PROCESS_ID).update(draining=True)


def sign_off() -> None:
    """This process ends; what it may still own is lost from now on."""
    ServerProcess.objects.filter(pk=PROCESS_ID).delete()


def living() -> set[str]:
    """Ids of the processes that are alive: a fresh heartbeat, and no proof of the contrary."""
    fresh = Now() - timedelta(seconds=LEASE_SECONDS)
    alive = {PROCESS_ID}
    for process in ServerProcess.objects.filter(heartbeat_at__gte=fresh):
        if not machine.has_lost(process.machine, process.pid):
            alive.add(process.id)
    return alive
