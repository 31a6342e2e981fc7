"""A production Claude API server: sessions, streams, keys and limits over REST and WebSocket."""

__version__ = "0.1.0"
