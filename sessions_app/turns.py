"""What an engine is told, once it is a message's turn. Sync."""

from __future__ import annotations

from typing import Any

from django.db.models import Sum

from claudeapi.conf import options
from claudeapi.core.errors import UpstreamRejected
from sessions_app import agents, money
from sessions_app.engines.base import Turn, Upstream
from sessions_app.fields import Octets
from sessions_app.models import Message
from sessions_app.runs import Claim

MAX_HISTORY = 64 << 20
"""Bytes that are kept of a conversation: twice what the Messages API takes, which is told
neither the thinking nor what stands around a message."""

TOO_LARGE = {
    "type": "request_too_large",
    "message": "The conversation is longer than the Messages API takes.",
    "status": 413,
    "requestId": None,
}
"""As the upstream's own refusal is told."""


def turn_of(claim: Claim) -> Turn:
    """The turn of a claimed run.

    Raises:
        BudgetExceeded: what it might have cost was spent while it waited.
        UpstreamRejected: the conversation is longer than any upstream takes.
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

    Raises:
        UpstreamRejected: it is so long that it need not be read.
    """
    before = Message.objects.filter(session_id=claim.session.pk, sequence__lt=claim.start)
    rows = before.filter(type__in=("user", "assistant"), unanswered=False)
    if (rows.aggregate(size=Sum(Octets("content")))["size"] or 0) > MAX_HISTORY:
        raise UpstreamRejected(details=dict(TOO_LARGE))
    told = rows.order_by("sequence").values_list("content", flat=True)
    return [{name: body["message"][name] for name in ("role", "content")} for body in told]
