"""What a session may still cost: its own budget, and those of its key."""

from __future__ import annotations

from claudeapi.core.errors import BudgetExceeded
from keys_app import budgets
from sessions_app.models import Run, Session


def check(session: Session) -> None:
    """Pass while the session's budget and every one of its key's has something left.

    Raises:
        BudgetExceeded: with the figures of the one that has not.
    """
    limit = session.max_budget_usd
    if limit is not None and session.cost_usd >= limit:
        raise BudgetExceeded(
            "The session's budget is spent.",
            details=budgets.exceeded("session", limit, session.cost_usd),
        )
    budgets.check(session.key)


def figures(error: BudgetExceeded, session: Session, run: Run) -> dict[str, str]:
    """How large the budget was that a run found spent, and what of it, with this run."""
    if error.details.get("of") == "key":
        return budgets.spent_by(session.key, run.cost_usd)
    limit = session.max_budget_usd
    spent = session.cost_usd + run.cost_usd
    return {} if limit is None else budgets.exceeded("session", limit, spent)
