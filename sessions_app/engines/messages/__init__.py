"""The `messages` engine: plain conversation over the Messages API."""

from sessions_app.engines.messages.engine import MessagesEngine

__all__ = ["MessagesEngine"]
