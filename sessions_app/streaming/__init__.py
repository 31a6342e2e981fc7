"""Streams: server-sent events, WebSockets, and POSTs that wait, all over `eventlog.follow`."""
