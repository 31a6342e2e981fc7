"""What the short names of models stand for."""

from __future__ import annotations

from collections.abc import Iterable

MODEL_NAME = r"[A-Za-z0-9][A-Za-z0-9._:@/\[\]-]*"
"""What the name of a model looks like; whether there is such a model, only the upstream knows."""

# As in Claude Code 2.1.330, so that a name means the same model in every engine.
ALIASES = {
    "default": "claude-opus-5-5",
    "fable": "claude-fable-5-2",
    "haiku": "claude-haiku-5-5",
    "opus": "claude-opus-5-5",
    "sonnet": "claude-sonnet-5-5",
}


def resolve(model: str) -> str:
    """The id that an alias stands for; any other name is passed on as it is."""
    return ALIASES.get(model, model)


def patterns(models: Iterable[str]) -> list[str]:
    """Models of a policy as the upstream names them: `sonnet` also means `claude-sonnet-*`."""
    found: dict[str, None] = {}
    for model in models:
        found |= dict.fromkeys((model, resolve(model)))
        if model.isalpha():
            found[f"claude-{model}-*"] = None
    return list(found)
