"""How a run ended: from the CLI's result, and what the relay saw, to one of our own ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from claudeapi.core.errors import (
    ApiError,
    BudgetExceeded,
    MaxTurnsReached,
    PolicyDenied,
    RunCancelled,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamTimeout,
)
from sessions_app.engines.claude_code.failures import Failure
from sessions_app.engines.claude_code.process import Frame
from sessions_app.engines.claude_code.sniffer import Tally

_CENT_FRACTIONS = Decimal("0.00000001")
_MOST_SURCHARGES = 4
"""Times what the relay counts: searches, a priority tier, fast mode and a region together."""


@dataclass(slots=True)
class Ledger:
    """What a run has said and cost so far.

    Attributes:
        result: the last result of the run; None until there is one.
        cost: US dollars. Each result tells what came since the one before; the CLI's
            other sums are cumulative over the whole session.
    """

    text: str = ""
    cost: Decimal = Decimal(0)
    result: Frame | None = None
    _message_id: str = ""
    _model: str = field(default="")

    def note(self, frame: Frame) -> None:
        """Read a message as it passes."""
        kind = frame.get("type")
        if kind == "assistant" and not frame.get("parent_tool_use_id"):
            self._said(frame.get("message") or {})
        elif kind == "result":
            self.result = frame
            self.cost += cost_of(frame)

    def _said(self, message: dict[str, Any]) -> None:
        """The CLI sends a message once per content block, under one id."""
        said = "".join(
            block.get("text", "")
            for block in message.get("content") or ()
            if isinstance(block, dict) and block.get("type") == "text"
        )
        if message.get("id") == self._message_id:
            self.text += said
        else:
            self.text, self._message_id = said, message.get("id", "")
        if message.get("model") and message["model"] != "<synthetic>":
            self._model = message["model"]

    @property
    def model(self) -> str:
        """The model that served last."""
        return self._model

    def cost_beside(self, tally: Tally) -> Decimal:
        """The agent's own sum, never below what the relay has counted nor far above it.

        The agent knows of surcharges that our prices lack. It does not tell of an answer that
        it did not see the end of, of anything when it was killed, and of what its tools asked
        for themselves; and a tool may write into its output.
        """
        counted = tally.cost.quantize(_CENT_FRACTIONS)
        return min(max(self.cost, counted), counted * _MOST_SURCHARGES)


def cost_of(result: Frame) -> Decimal:
    """US dollars since the result before this one."""
    served = result.get("model_usage_since_last_result") or {}
    total = sum(float(usage.get("costUSD") or 0) for usage in served.values())
    return max(Decimal(0), Decimal(str(total)).quantize(_CENT_FRACTIONS))


def problem_of(result: Frame, failure: Failure | None) -> ApiError | None:
    """The error that a result means; None where the run has answered.

    `subtype` alone says `success` for a failed request too: `is_error` and
    `terminal_reason` decide.
    """
    reason, subtype = result.get("terminal_reason"), result.get("subtype")
    if reason == "max_turns" or subtype == "error_max_turns":
        return MaxTurnsReached()
    if reason == "budget_exhausted" or subtype == "error_max_budget_usd":
        if result.get("stop_reason") == "end_turn":
            return None  # the answer is whole and paid for; the next message is refused
        return budget_spent("session")
    if result.get("stop_reason") == "refusal":
        return None
    if str(reason).startswith("aborted"):
        return RunCancelled("The agent stopped its work.")
    if not result.get("is_error"):
        return None
    if failure is not None:
        return upstream_problem(failure)
    status = result.get("api_error_status")
    if isinstance(status, int):
        return upstream_problem(Failure("status", status, "", str(result.get("result") or "")))
    return UpstreamError("The agent failed.", details={"reason": _words(result)})


def _words(result: Frame) -> str:
    said = result.get("errors") or [result.get("result") or reason_of(result)]
    return "; ".join(map(str, said))[:1000]


def reason_of(result: Frame) -> str:
    """Why the agent stopped, in its own word."""
    return str(result.get("terminal_reason") or result.get("subtype") or "")


def budget_spent(of: str) -> BudgetExceeded:
    """A budget of the `session` or the `key`; whoever drives us adds how much it was."""
    words = {"session": "The session's maxBudgetUsd is spent.", "key": "The key's budget is spent."}
    return BudgetExceeded(words[of], details={"of": of})


def upstream_problem(failure: Failure) -> ApiError:
    """The published error for how the upstream failed."""
    if failure.kind == "stalled":
        return UpstreamTimeout()
    if failure.kind == "budget":
        return budget_spent(failure.type)
    if failure.kind == "model":
        return PolicyDenied.value("model", failure.message, list(failure.allowed))
    if failure.kind == "cut":
        return UpstreamError("The upstream broke off its answer.")
    if failure.kind == "unreachable" or failure.status is None:
        return UpstreamError("The upstream could not be reached.")
    details = {"status": failure.status, "type": failure.type, "message": failure.message}
    if failure.status in (429, 529):
        return UpstreamOverloaded(details=details, retry_after=failure.retry_after)
    if 400 <= failure.status < 500:
        return UpstreamRejected(details=details)
    return UpstreamError(details=details)
