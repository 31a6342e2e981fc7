"""Configuration: every source, which one wins, and every wrong value by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from claudeapi.conf import Loaded, load
from claudeapi.settings_table import TABLE
from tests.server_process import environment, manage

KEY = "0123456789abcdef"


def loaded(setting: Any = None, tree: Any = None, **environ: str) -> Loaded:
    if tree is not None:
        environ["CLAUDE_CODE_API"] = tree if isinstance(tree, str) else json.dumps(tree)
    return load(environ, {} if setting is None else setting)


def problems(setting: Any = None, tree: Any = None, **environ: str) -> list[tuple[str, str]]:
    return [(p.id, p.message) for p in loaded(setting, tree, **environ).problems]


def test_nothing_set_is_a_working_configuration() -> None:
    result = loaded()
    assert result.problems == ()
    assert result.options.session_timeout_ms == 3_600_000
    assert result.options.upstream.kind == "simulator"
    assert result.options.auth.require_auth is None


def test_the_option_tree_of_the_earlier_implementation_is_read_from_the_setting() -> None:
    tree = {
        "enabled": False,
        "sessionTimeout": 5000,
        "maxSessions": 7,
        "auth": {
            "enabled": False,
            "apiKeys": [KEY],
            "requireAuth": ["POST /sessions/:id/messages"],
        },
        "rateLimit": {"enabled": False, "windowMs": 2000, "maxRequests": 3},
    }
    options = loaded(setting=tree).options
    assert (options.enabled, options.session_timeout_ms, options.max_sessions) == (False, 5000, 7)
    assert options.auth.api_keys == (KEY,)
    assert options.auth.require_auth == ("POST /sessions/:id/messages",)
    assert (options.rate_limit.window_ms, options.rate_limit.max_requests) == (2000, 3)
    assert not options.rate_limit.enabled
    assert loaded(tree=tree).options == options


def test_the_most_specific_source_wins() -> None:
    setting, tree = {"maxSessions": 1, "sessionTimeout": 1001}, {"maxSessions": 2}
    assert loaded(setting).options.max_sessions == 1
    assert loaded(setting, tree).options.max_sessions == 2
    assert loaded(setting, tree).options.session_timeout_ms == 1001
    assert loaded(setting, tree, MAX_SESSIONS="3").options.max_sessions == 3


def test_an_empty_variable_counts_as_not_set() -> None:
    assert loaded({"maxSessions": 5}, MAX_SESSIONS="").options.max_sessions == 5


def test_keys_add_up_from_all_sources_in_a_stable_order_without_repeats() -> None:
    result = loaded(
        {"auth": {"apiKeys": ["s" * 16]}},
        CLAUDE_API_KEY="a" * 16,
        CLAUDE_API_KEY_10="d" * 16,
        CLAUDE_API_KEY_2="b" * 16,
        CLAUDE_API_KEY_3="a" * 16,
    )
    assert [key[0] for key in result.options.auth.api_keys] == ["a", "b", "d", "s"]
    assert loaded(CLAUDE_API_KEYS=f"{'x' * 16}, {'y' * 16}").options.auth.api_keys == (
        "x" * 16,
        "y" * 16,
    )


def test_the_lists_of_keys_of_the_variable_and_both_trees_add_up() -> None:
    first, second, third = ("x" * 16, "y" * 16, "z" * 16)
    result = loaded(
        {"auth": {"apiKeys": [first]}}, {"auth": {"apiKeys": [second]}}, CLAUDE_API_KEYS=third
    )
    assert set(result.options.auth.api_keys) == {first, second, third}


def test_a_key_too_long_to_be_used_is_an_error() -> None:
    [(check, message)] = problems(CLAUDE_API_KEY="k" * 1025)
    assert check == "claudeapi.E004"
    assert "16 to 1024" in message


def test_a_short_key_is_named_by_its_variable_and_never_shown() -> None:
    [(check, message)] = problems(CLAUDE_API_KEY_4="hunter2")
    assert check == "claudeapi.E004"
    assert "CLAUDE_API_KEY_4" in message
    assert "hunter2" not in message
    assert "hunter2" not in repr(loaded(CLAUDE_API_KEY_4="hunter2").options)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("PORT", "http", "a whole number from 0 to 65535"),
        ("PORT", "65536", "a whole number from 0 to 65535"),
        ("PORT", "²", "a whole number"),
        ("SESSION_TIMEOUT", "-1", "ms"),
        ("DRAIN_TIMEOUT", "nan", "a number from 0"),
        ("UPSTREAM_IDLE_TIMEOUT", "soon", "seconds"),
        ("AUTH_ENABLED", "maybe", "true or false"),
        ("DEFAULT_ENGINE", "gpt", "`claude-code`"),
        ("LOG_LEVEL", "LOUD", "`DEBUG`"),
        ("ENVIRONMENT", "staging", "`production`"),
        ("ANTHROPIC_BASE_URL", "api.example.com", "an http or https URL"),
        ("ANTHROPIC_BASE_URL", "http://x:port", "an http or https URL"),
        ("REQUIRE_AUTH", "sessions", "patterns such as"),
        ("REQUIRE_AUTH", "FETCH /sessions", "patterns such as"),
        ("CORS_ALLOWED_ORIGINS", "https://a.example/path", "origins such as"),
        ("CORS_ALLOWED_ORIGINS", "http://[::1", "origins such as"),
        ("PORT", "9" * 5000, "a whole number from 0 to 65535"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.1/8", "addresses or ranges"),
        ("FORWARDED_ALLOW_IPS", "proxy", "addresses or ranges"),
        ("HOST", "a b", "a host name"),
        ("ALLOWED_HOSTS", "a b", "host names or addresses"),
        ("ALLOWED_HOSTS", "example.com:443", "host names or addresses"),
        ("CLAUDE_CODE_API_ENABLED", "2", "true or false"),
    ],
)
def test_a_wrong_variable_is_named_with_its_value_and_what_is_allowed(
    name: str, value: str, allowed: str
) -> None:
    result = loaded(**{name: value})
    [problem] = result.problems
    assert problem.id == "claudeapi.E001"
    assert name in problem.message
    assert repr(value) in problem.message or f"'{value}'" in problem.message
    assert allowed in problem.message


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_a_wrong_url_that_may_hold_a_password_is_not_shown(name: str) -> None:
    [(_, message)] = problems(**{name: "mysql://user:hunter2@host/name"})
    assert name in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    "url",
    [
        "postgres://user:hunter2/x@host/name", "postgres://user:hunter2@host:port/name",
        "sqlite://db.sqlite3", "sqlite:///:memory:", "sqlite:///", "sqlite://",
    ],
)  # fmt: skip
def test_a_database_that_would_not_be_the_one_meant_is_refused(url: str) -> None:
    [(check, message)] = problems(DATABASE_URL=url)
    assert check == "claudeapi.E001"
    assert "hunter2" not in message


def test_proxies_are_addresses_ranges_or_all() -> None:
    assert problems(FORWARDED_ALLOW_IPS="127.0.0.1, 10.0.0.0/8,::1") == []
    assert problems(FORWARDED_ALLOW_IPS="*") == []


@pytest.mark.parametrize(
    ("tree", "named"),
    [
        ({"maxSessions": 0}, "maxSessions"),
        ({"maxSessions": "7"}, "maxSessions"),
        ({"maxSessions": True}, "maxSessions"),
        ({"enabled": "yes"}, "enabled"),
        ({"auth": {"requireAuth": "POST /sessions"}}, "auth.requireAuth"),
        ({"auth": {"apiKeys": [1]}}, "auth.apiKeys"),
        ({"rateLimit": {"windowMs": 10}}, "rateLimit.windowMs"),
    ],
)
def test_a_wrong_option_is_named_by_its_path_and_source(tree: Any, named: str) -> None:
    for source, found in (("setting", problems(tree)), ("variable", problems(tree=tree))):
        [(check, message)] = found
        assert check == "claudeapi.E001"
        assert named in message
        assert source in message


@pytest.mark.parametrize(
    ("tree", "named"),
    [
        ({"maxSession": 1}, "maxSession"),
        ({"auth": {"keys": []}}, "auth.keys"),
        ({"auth": True}, "auth"),
        ({"rateLimit": {"burst": {"size": 1}}}, "rateLimit.burst"),
    ],
)
def test_an_unknown_option_is_an_error_too(tree: Any, named: str) -> None:
    [(check, message)] = problems(tree)
    assert check == "claudeapi.E002"
    assert message.startswith(f"{named} (setting")


@pytest.mark.parametrize("tree", ["{", "[]", '"text"', "1"])
def test_a_tree_that_is_no_json_object_is_an_error(tree: str) -> None:
    [(check, message)] = problems(tree=tree)
    assert check == "claudeapi.E003"
    assert "CLAUDE_CODE_API" in message


def test_every_problem_is_reported_at_once_and_defaults_stand_in() -> None:
    result = loaded({"x": 1}, PORT="x", WORKERS="0", CLAUDE_API_KEY="short")
    assert sorted(p.id[-4:] for p in result.problems) == ["E001", "E001", "E002", "E004"]
    assert result.options.port == 3050


@pytest.mark.parametrize(
    ("environ", "kind", "url", "key"),
    [
        ({}, "simulator", "", "simulator"),
        ({"SIMULATOR_URL": "http://127.0.0.1:9/"}, "simulator", "http://127.0.0.1:9", "simulator"),
        ({"ANTHROPIC_API_KEY": "k"}, "anthropic", "https://api.anthropic.com", "k"),
        (
            {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "https://api.anthropic.com/v1/"},
            "anthropic",
            "https://api.anthropic.com",
            "k",
        ),
        ({"ANTHROPIC_BASE_URL": "http://gw:1/v1"}, "gateway", "http://gw:1", "none"),
        (
            {"ANTHROPIC_BASE_URL": "http://gw/anthropic/", "ANTHROPIC_API_KEY": "k"},
            "gateway",
            "http://gw/anthropic",
            "k",
        ),
    ],
)
def test_the_upstream_follows_from_credentials_and_address(
    environ: dict[str, str], kind: str, url: str, key: str
) -> None:
    upstream = loaded(**environ).options.upstream
    assert (upstream.kind, upstream.base_url, upstream.api_key) == (kind, url, key)
    assert key not in repr(upstream).replace("kind='simulator'", "") or len(key) == 1


def test_anthropic_without_credentials_is_an_error() -> None:
    [(_, message)] = problems(ANTHROPIC_BASE_URL="https://api.anthropic.com")
    assert "ANTHROPIC_API_KEY" in message


@pytest.mark.parametrize(
    "pattern", ["POST /sessions/:id/messages", "* /sessions/*", "/sessions", "get /models", "* /*"]
)
def test_patterns_of_routes_that_need_a_key(pattern: str) -> None:
    assert loaded(REQUIRE_AUTH=pattern).options.auth.require_auth == (pattern,)


def test_every_setting_says_what_it_is_for() -> None:
    assert len({setting.name for setting in TABLE}) == len(TABLE)
    assert all(setting.help.endswith(".") for setting in TABLE)


@pytest.mark.slow
def test_a_settings_module_that_imports_ours_can_set_the_options(tmp_path: Path) -> None:
    module = tmp_path / "derived_settings.py"
    module.write_text("from claudeapi.settings import *\nCLAUDE_CODE_API = {'maxSessions': 7}\n")
    derived = {"DJANGO_SETTINGS_MODULE": "derived_settings", "PYTHONPATH": str(tmp_path)}
    env = environment(tmp_path, **derived)
    shown = "from claudeapi.conf import options; print('max', options().max_sessions)"
    assert "max 7" in manage("shell", "--no-imports", "-c", shown, env=env)
    module.write_text(module.read_text().replace("7", "0"))
    assert "maxSessions (setting CLAUDE_CODE_API)=0" in manage("check", env=env, check=False)
