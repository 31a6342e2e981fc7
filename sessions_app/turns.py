"""What an engine is told, once it is a message's turn. Sync."""

from __future__ import annotations

from typing import Any

from claudeapi.conf import options
from sessions_app import agents, money
from sessions_app.engines.base import Turn, Upstream
from sessions_app.models import Message
from sessions_app.runs import Claim


def turn_of(claim: Claim) -> Turn:
    """The turn of a claimed run.

    Raises:
        BudgetExceeded: what it might have cost was spent while it waited.
    """
    run, session = claim.run, claim.session
    money.check(session)
    upstream = options().upstream
    return Turn(
        run_id=str(run.id),
        session_id=str(session.id),
        key_id=str(session.key_id),
        prompt=run.prompt,
        model=session.model,
        upstream=Upstream(upstream.base_url, upstream.api_key, upstream.idle_timeout),
        system_prompt=session.system_prompt,
        append_system_prompt=session.append_system_prompt,
        # An agent remembers by itself.
        history=[] if session.engine == agents.CLAUDE_CODE else _conversation(claim),
        config=claim.config,
        message_id=str(run.message_id),
        claude_session_id=session.claude_session_id,
        spent_usd=float(session.cost_usd),
    )


def _conversation(claim: Claim) -> list[dict[str, Any]]:
    """What was said before, as Messages API messages, oldest first.

    What a run left unanswered is not in it: sent again it would be there twice, and what the
    upstream rejects it would reject for ever.
    """
    before = Message.objects.filter(session_id=claim.session.pk, sequence__lt=claim.start)
    rows = before.filter(type__in=("user", "assistant"), unanswered=False)
    told = rows.order_by("sequence").values_list("content", flat=True)
    return [{name: body["message"][name] for name in ("role", "content")} for body in told]
