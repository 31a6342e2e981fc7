"""The settings of the tests: as with nothing set, and nothing of the developer's own."""

import atexit
import os
import shutil
import tempfile

from claudeapi.settings_table import TABLE

# The services that a suite may be pointed at; all other variables are the tests' business.
_SERVICES = {"DATABASE_URL", "REDIS_URL"}
for _name in list(os.environ):
    if _name in {setting.name for setting in TABLE} - _SERVICES or _name.startswith("CLAUDE_"):
        del os.environ[_name]

_data_dir = tempfile.mkdtemp(prefix="claudeapi-tests-")
atexit.register(shutil.rmtree, _data_dir, ignore_errors=True)
os.environ["DATA_DIR"] = _data_dir
os.environ["LOG_LEVEL"] = "WARNING"

from claudeapi.settings import *  # noqa: E402, F403
from claudeapi.settings import DATABASES, OPTIONS  # noqa: E402

# A file, since the connections of several threads must see the same database.
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {"NAME": str(OPTIONS.data_dir / "test.sqlite3")}

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
