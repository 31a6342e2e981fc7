"""The `messages` engine does what every engine must do."""

from sessions_app.engines.messages import MessagesEngine
from tests.engines.conformance import EngineConformance, MakeTurn
from tests.engines.driving import drive


class TestMessagesEngine(EngineConformance):
    """The suite, with the fixtures of this folder."""


async def test_a_broken_reply_is_a_message_without_its_end(
    engine: MessagesEngine, make_turn: MakeTurn
) -> None:
    outcome = await drive(engine, make_turn("[[sim slow n=20 delay=1ms]] [[sim cut after=5]]"))

    assert outcome.assistant["content"][0]["text"].startswith("tok0 tok1")
    assert outcome.assistant["stop_reason"] is None
