"""What keeps `git status` harmless in a folder whose `.git/config` somebody else wrote.

The agent runs `git status`, `diff` and `log` unasked, and these run what a repository's
configuration names. Values in the environment go before those of the repository. Commands of
`diff.external` and of drivers in `.gitattributes` cannot be switched off so; they run, like all
that an agent runs, inside the sandbox.
"""

from __future__ import annotations

_VALUES = {
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.pager": "cat",
    "core.askPass": "",
    "core.sshCommand": "ssh",
    "credential.helper": "",
    "gpg.program": "gpg",
    "gpg.ssh.program": "ssh-keygen",
    "gpg.x509.program": "gpgsm",
    "interactive.diffFilter": "",
    "log.showSignature": "false",
    "maintenance.auto": "false",
    "protocol.ext.allow": "never",
}


def environment() -> dict[str, str]:
    """Variables for the agent's commands."""
    names = {"GIT_CONFIG_COUNT": str(len(_VALUES)), "GIT_PAGER": "cat"}
    for number, (key, value) in enumerate(_VALUES.items()):
        names[f"GIT_CONFIG_KEY_{number}"] = key
        names[f"GIT_CONFIG_VALUE_{number}"] = value
    return names
