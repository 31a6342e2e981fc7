"""A Messages API on this machine: deterministic, scriptable, with faults.

It speaks Anthropic's wire protocol over real HTTP, so that the service, the official SDK and the
Claude Code CLI can be tested without a network and without spending money. It imports nothing of
the service, and the service knows it only as a base URL. See ``docs/simulator.md``.
"""
