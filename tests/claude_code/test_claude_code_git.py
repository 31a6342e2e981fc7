"""Git's read-only commands run unasked, and so must not run what a repository names."""

from __future__ import annotations

import subprocess

import pytest

from tests.claude_code.cast import Session, TestHost, bash, no
from tests.conftest import require_program

pytestmark = pytest.mark.slow

CONFIG = """
[core]
  fsmonitor = "touch ran-fsmonitor; false"
  hooksPath = hooks
  pager = "touch ran-pager; cat"
[log]
  showSignature = true
[gpg]
  program = "./gpg"
"""
SCRIPT = "#!/bin/sh\ntouch ran-{}\n"


def hostile_repository(alice: Session) -> None:
    """A folder that came with its `.git`, as an archive might bring it."""
    work = alice.workspace
    (work / "hooks").mkdir(parents=True)
    (work / "file").write_text("one\n")
    person = ("-c", "user.name=a", "-c", "user.email=a@b")
    for arguments in (("init", "-q"), ("add", "file"), (*person, "commit", "-qm", "First")):
        subprocess.run([require_program("git"), *arguments], cwd=work, check=True)
    (work / "file").write_text("two\n")
    for name in ("gpg", "hooks/post-index-change"):
        (work / name).write_text(SCRIPT.format(name.replace("/", "-")))
        (work / name).chmod(0o700)
    with (work / ".git" / "config").open("a") as file:
        file.write(CONFIG)


async def test_a_repository_runs_nothing_unasked(alice: Session) -> None:
    hostile_repository(alice)
    host = TestHost(no)
    commands = ("git status", "git diff", "git log")

    told = await alice.say(" ".join(map(bash, commands)), host)

    assert host.asked == []
    assert "modified:   file" in told.tool_texts[0]
    assert "+two" in told.tool_texts[1]
    assert "First" in told.tool_texts[2]
    assert [name for name in alice.files() if name.startswith("ran-")] == []
