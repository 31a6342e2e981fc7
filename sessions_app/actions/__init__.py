"""The verbs: the only writers of sessions and runs, whatever the interface.

All are sync and run in a transaction of their own; what shall happen in the event loop is
announced after the commit.
"""
