"""Events of a made-up upstream's answer."""

from sessions_app.engines.events import Usage

START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"model":"m",'
    b'"usage":{"input_tokens":3,"cache_read_input_tokens":5,"output_tokens":1}}}\n\n'
)
DELTA = b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":7}}\n\n'
COUNTED = Usage(input_tokens=3, output_tokens=7, cache_read_tokens=5)
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
PING = b'event: ping\ndata: {"type":"ping"}\n\n'
TALK = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":'
    b'{"type":"text_delta","text":"%b"}}\n\n'
) % (b"word" * 1000)
