"""A prompt's content blocks, as the document tells them."""

from __future__ import annotations

import base64
import re
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rest_framework.exceptions import ValidationError

from sessions_app.api.schema_fields import BASE64, PromptField
from sessions_app.api.wire_fields import MAX_BLOCKS, Prompt

IMAGE = {"type": "base64", "media_type": "image/png"}
encoded = st.binary(min_size=1).map(lambda data: base64.b64encode(data).decode())


def refused() -> Any:
    return pytest.raises(ValidationError)


@given(encoded | st.text("Aa0+/=", min_size=1) | st.text(min_size=1))
@example("====")
@example("QQ==\n")
@example("ÄÄÄÄ")
def test_base64_is_what_the_document_says(data: str) -> None:
    with ExitStack() as stack:
        if not re.compile(BASE64["pattern"][:-1]).fullmatch(data):
            stack.enter_context(refused())
        Prompt().to_internal_value([{"type": "image", "source": {**IMAGE, "data": data}}])


def test_a_prompt_has_as_many_blocks_as_the_document_says() -> None:
    schema = PromptField(Prompt()).map_serializer_field(None, "request")
    assert schema["oneOf"][1]["maxItems"] == MAX_BLOCKS
    block = {"type": "text", "text": "x"}
    assert len(Prompt().to_internal_value([block] * MAX_BLOCKS)) == MAX_BLOCKS
    with refused():
        Prompt().to_internal_value([block] * (MAX_BLOCKS + 1))
