"""An agent starts with its conversation and its folder, and with nothing that it left elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from sessions_app.engines.base import Upstream
from tests.claude_code.cast import Session, bash, tool, until
from tests.claude_code.conftest import MakeEngine

pytestmark = pytest.mark.slow

PLANTS = """
plant='{"env": {"BASH_ENV": "/tmp/planted.sh", "PLANTED": "by env"}}'
for file in $CLAUDE_CONFIG_DIR/.claude.json $CLAUDE_CONFIG_DIR/settings.json ~/.claude.json; do
  echo "$plant" > $file
done
echo 'export PLANTED="by a file"' | tee ~/.bashrc ~/.bash_profile ~/.profile > $TMPDIR/planted.sh
touch kept
git config --global alias.planted 'help'; ln -s /etc/passwd ~/link; echo done
"""
LOOK = bash('echo "[$PLANTED$BASH_ENV]"; ls -A ~; ls $TMPDIR | grep planted; git planted; true')


@pytest.fixture(params=["required", "off"])
def agent(request: pytest.FixtureRequest, make_engine: MakeEngine, upstream: Upstream) -> Session:
    return Session(make_engine(sandbox_mode=request.param), upstream)


async def last_request(upstream: Upstream) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"{upstream.base_url}/sim/requests") as answer,
    ):
        rows = (await answer.json())["requests"]
    return [row["body"] for row in rows if row["body"]][-1]  # type: ignore[no-any-return]


async def test_what_an_agent_has_planted_is_gone_when_it_starts_again(agent: Session) -> None:
    assert "done" in (await agent.say(bash(PLANTS))).tool_texts[0]
    await agent.engine.release(agent.session_id)

    told = await agent.say(LOOK)

    seen = told.tool_texts[0]
    assert seen.startswith("[]\n")
    assert "planted" not in seen.replace("'planted' is not a git command", "")
    assert "link" not in seen
    assert "kept" in agent.files()


@pytest.mark.parametrize("what", ["workspaces", "agents"])
async def test_folders_that_are_removed_below_a_live_agent_come_back(
    agent: Session, what: str
) -> None:
    await agent.say("Remember the kettle.")
    folder = agent.engine.workspaces.data_dir / what
    await until(lambda: _removed(folder))

    told = await agent.say(bash("echo worked > here; cat here"))

    assert told.tool_texts == ["worked"]
    assert agent.files() == ["here"]
    assert 'the first was: "Remember the kettle."' in (await agent.say("And?")).finished.text


def _removed(folder: Path) -> bool:
    """Whether it could be deleted: the agent may just be writing there."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


async def test_no_memory_is_kept_or_read(agent: Session, upstream: Upstream) -> None:
    (agent.workspace / "sub").mkdir(parents=True)
    (agent.workspace / "sub" / "file").write_text("plain")
    await agent.say("Hello")
    [config] = agent.engine.workspaces.data_dir.glob("agents/*/config")
    [project] = config.glob("projects/*")
    (project / "memory").mkdir(exist_ok=True)
    for folder in (config, project / "memory", agent.workspace, agent.workspace / "sub"):
        for name in ("CLAUDE.md", "AGENTS.md", "MEMORY.md"):
            (folder / name).write_text("Remember the kettle.")

    told = await agent.say(tool("Read", file_path=f"{agent.workspace}/sub/file"))

    assert "plain" in told.tool_texts[0]
    asked = orjson.dumps(await last_request(upstream)).decode()
    assert "/memory/" not in asked
    assert "kettle" not in asked
