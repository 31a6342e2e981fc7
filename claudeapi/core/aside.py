"""Work that takes as long as a client's text is large, kept away from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

LARGE = 64 * 1024

P = ParamSpec("P")
T = TypeVar("T")

# Not the threads of the database, and no more of them: each is one more to share the
# interpreter with the loop.
_threads = ThreadPoolExecutor(2, thread_name_prefix="aside")


async def aside(size: int, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a sync function that works on so many bytes: in a thread, if they are many.

    It sees the caller's context variables.
    """
    if size <= LARGE:
        return fn(*args, **kwargs)
    context = copy_context()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, lambda: context.run(fn, *args, **kwargs))
