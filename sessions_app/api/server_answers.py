"""What the API answers about models, keys, usage and the server, as JSON Schema."""

from __future__ import annotations

from sessions_app.api.answers import SUMS
from sessions_app.api.json_schema import (
    Schema,
    anything,
    array,
    count,
    obj,
    one_of,
    or_null,
    ref,
    text,
    time,
    usd,
    uuid,
    value,
)

_LEFT = obj(
    "A limit and what is left of it; null where there is none.",
    limit=or_null(count("The limit.")),
    used=count("In use now."),
    remaining=or_null(count("What is left.")),
)
_NUMBER_OR_NONE = or_null(count("null: no limit of its own."))
_USD_OR_NONE = or_null(usd("null: no limit."))
_TEXTS = array("Empty: no restriction.", {"type": "string"})

_USED = obj("Sums over runs.", runs=count("Runs that ended."), **SUMS, costUsd=usd("Their cost."))
_ROW = {
    **_USED,
    "description": "The sums of one day, model, session or key, whichever was asked for.",
    "properties": {
        **{name: text("What the sums are of.") for name in ("day", "model", "session", "key")},
        **{name: text("Of a key only.") for name in ("name", "prefix")},
        **_USED["properties"],
    },
}

SCHEMAS: dict[str, Schema] = {
    "ModelList": obj(
        "The upstream's models, within what the key allows.",
        models=array("Newest first.", obj("A model.", id=text("Its id."), name=text("Its name."))),
    ),
    "Me": obj(
        "The caller's key.",
        id=uuid("The key, and so the tenant."),
        name=text("Given by who made it."),
        prefix=text("What may be shown of it."),
        scopes=array("What it may do.", {"type": "string"}),
        policy=obj(
            "What it may ask for.",
            engines=_TEXTS,
            models=_TEXTS,
            permissionModes=array("Allowed modes.", {"type": "string"}),
            roots=_TEXTS,
            tools=_TEXTS,
            allowSlashCommands=value("boolean", "Whether slash commands reach the agent."),
            maxTurns=_NUMBER_OR_NONE,
            maxSessions=_NUMBER_OR_NONE,
            maxRuns=_NUMBER_OR_NONE,
            rateLimit=_NUMBER_OR_NONE,
            budgetDayUsd=_USD_OR_NONE,
            budgetMonthUsd=_USD_OR_NONE,
            allowedIps=_TEXTS,
        ),
        expiresAt=or_null(time("When it ends.")),
        limits=obj(
            "What is left.",
            rateLimit=or_null(
                obj(
                    "Requests in this window.",
                    limit=count("Allowed."),
                    remaining=count("Left."),
                    reset=count("When the window ends, Unix seconds."),
                )
            ),
            sessions=_LEFT,
            runs=_LEFT,
            budget=obj("Money.", day=or_null(ref("Budget")), month=or_null(ref("Budget"))),
        ),
    ),
    "Budget": obj(
        "A budget of a day or a month, in UTC.",
        budgetUsd=usd("The budget."),
        spentUsd=usd("Spent."),
        remainingUsd=usd("Left."),
        resetsAt=time("When the next period begins."),
    ),
    "UsageSums": _USED,
    "UsageRow": _ROW,
    "UsageReport": obj(
        "Sums, by what was asked for.",
        **{"from": time("The beginning."), "to": time("The end, not included.")},
        groupBy=one_of("As asked for.", "day", "model", "session", "key"),
        usage=array("In order.", ref("UsageRow")),
        total=ref("UsageSums"),
    ),
    "Health": obj(
        "How the server is.",
        status=one_of(
            "`degraded`: it takes no new runs, or can run no agents.", "healthy", "degraded"
        ),
        version=text("Of the server."),
        timestamp=time("Now."),
        sessions=obj(
            "Of the whole server.",
            active=count("Now."),
            total=count("All that are kept, ended and expired ones too."),
        ),
        runs=obj("Of the whole server.", active=count("Now."), queued=count("Waiting.")),
        upstream=obj(
            "Who answers.",
            kind=one_of("What it is.", "anthropic", "gateway", "simulator"),
            simulated=value("boolean", "True: the replies are not from Claude."),
        ),
        sandbox=obj(
            "Whether agents are locked in.",
            mode=one_of("As configured (`CLAUDE_SANDBOX`).", "required", "auto", "off"),
            active=value("boolean", "Every agent runs inside bubblewrap."),
            warning=or_null(text("What an operator should know.")),
        ),
    ),
    "Checks": obj(
        "What this process needs, and whether it has it.",
        checks={
            **anything("`ok`, or a few words on what is missing, by the name of the check."),
            "additionalProperties": {"type": "string"},
        },
    ),
}
