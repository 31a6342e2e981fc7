"""The pictures in docs/console.md, taken of a running server: `make pictures`.

`python -m tests.console.pictures FOLDER` takes every page instead, on a desktop and on a phone,
light and dark, to be looked at.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.console.browser import DESKTOP, PHONE, Screen
from tests.console.showing import Stage
from tests.server_process import ROOT, ServerProcess, environment, manage

DOCS = ROOT / "docs" / "console"
CHOSEN = {
    "now": ("/admin/?span=day&by=engine", (1280, 1180), "light"),
    "keys": ("/admin/keys_app/apikey/", (1280, 720), "light"),
    "key": ("/admin/keys_app/apikey/{key}/change/", (1280, 1040), "light"),
    "session": ("/admin/sessions/{agent}/", (1280, 1220), "light"),
    "approvals": ("/admin/approvals/", (1280, 740), "dark"),
    "phone": ("/admin/sessions/", PHONE, "light"),
}
EVERY = {
    "now": "/admin/?span=day&by=engine",
    "now-month-key": "/admin/?span=month&by=key",
    "service": "/admin/service/",
    "first-steps": "/admin/first-steps/",
    "keys": "/admin/keys_app/apikey/",
    "key-add": "/admin/keys_app/apikey/add/",
    "key": "/admin/keys_app/apikey/{key}/change/",
    "key-rotate": "/admin/keys_app/apikey/{key}/rotate/",
    "key-extend": "/admin/keys_app/apikey/{key}/extend/",
    "key-revoke": "/admin/keys_app/apikey/{key}/revoke/",
    "key-shown-again": "/admin/keys_app/apikey/{key}/shown/",
    "key-history": "/admin/keys_app/apikey/{key}/history/",
    "key-environment": "/admin/keys_app/apikey/{environment}/change/",
    "usage": "/admin/keys_app/usagesum/",
    "sessions": "/admin/sessions/",
    "sessions-none": "/admin/sessions/?q=nothing",
    "runs": "/admin/runs/",
    "session": "/admin/sessions/{shop}/",
    "session-agent": "/admin/sessions/{agent}/",
    "session-failed": "/admin/sessions/{failed}/",
    "session-slow": "/admin/sessions/{slow}/",
    "session-end": "/admin/sessions/{agent}/do/end/",
    "session-extend": "/admin/sessions/{agent}/do/extend/",
    "session-fork": "/admin/sessions/{agent}/do/fork/",
    "session-cancel": "/admin/sessions/{agent}/do/cancel/",
    "session-events": "/admin/sessions/{agent}/events/",
    "files": "/admin/sessions/{agent}/files/",
    "file": "/admin/sessions/{agent}/files/?path=price.py",
    "approvals": "/admin/approvals/",
    "approvals-answered": "/admin/approvals/answered/",
    "approval": "/admin/approvals/{approval}/",
    "playground": "/admin/playground/",
    "audit": "/admin/console/auditentry/",
    "people": "/admin/auth/user/",
    "person-add": "/admin/auth/user/add/",
    "person": "/admin/auth/user/1/change/",
    "person-password": "/admin/auth/user/1/password/",
    "person-delete": "/admin/auth/user/1/delete/",
    "person-history": "/admin/auth/user/1/history/",
    "roles": "/admin/auth/group/",
    "role": "/admin/auth/group/1/change/",
    "second-factor": "/admin/two-factor/",
    "second-factors": "/admin/console/secondfactor/",
    "password": "/admin/password_change/",
    "tables": "/admin/models/",
    "missing": "/admin/nothing/here/",
}


@contextmanager
def a_stage() -> Iterator[tuple[Screen, dict[str, str]]]:
    """A browser, signed in to a server with something on every page, and the ids of it."""
    with TemporaryDirectory() as folder:
        env = environment(Path(folder), RATE_LIMIT_MAX_REQUESTS="100000")
        manage("migrate", "--verbosity", "0", env=env)
        server = ServerProcess(env)
        try:
            stage = Stage(server)
            known = stage.play()
            known["key"] = stage.keys["Night builds"][0]
            known["environment"] = stage.environment_key
            known["approval"] = stage.approvals(known["asking"])[0]["approvalId"]
            screen = Screen(server.url)
            try:
                screen.sign_in("root")
                yield screen, known
            finally:
                screen.quit()
        finally:
            server.stop()


def picture(screen: Screen, path: str, file: Path, whole: bool = False) -> None:
    """What is on the screen once the page is live, or the whole page."""
    screen.open(path)
    screen.until(lambda: screen.run("return document.readyState") == "complete")
    screen.until(lambda: not screen.all("#live-sign") or "Live" in screen.text("#live-sign"))
    screen.driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    given = {"format": file.suffix[1:], "captureBeyondViewport": whole}
    taken = screen.driver.execute_cdp_cmd("Page.captureScreenshot", given)
    file.write_bytes(base64.b64decode(taken["data"]))


def main(folder: str = "") -> None:
    """Take them."""
    target = Path(folder) if folder else DOCS
    target.mkdir(parents=True, exist_ok=True)
    with a_stage() as (screen, known):
        if not folder:
            for name, (path, size, scheme) in CHOSEN.items():
                screen.show(size, scheme)
                picture(screen, path.format(**known), target / f"{name}.webp")
            return
        for size, where in ((DESKTOP, "desktop"), (PHONE, "phone")):
            for scheme in ("light", "dark"):
                screen.show(size, scheme)
                for name, path in EVERY.items():
                    file = target / f"{name}-{where}-{scheme}.png"
                    picture(screen, path.format(**known), file, whole=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
