"""The splitter agrees with the standard, however the bytes are cut."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.engines.frames import FrameSplitter, FrameTooLong

SAMPLE = (
    b'\xef\xbb\xbf: hello\n\nevent: a\ndata: {"n":1}\n\nid: 7\r\ndata: two\r\ndata:lines\r\n\r\n'
    b"event: ping\rdata\rretry: 5\r\r\n\nevent: b\nid: 8\ndata:  padded\n\n:\n\ndata: lost"
)
SAMPLE_DATA = [b'{"n":1}', b"two\nlines", b"", b" padded"]


def by_the_book(stream: bytes) -> list[bytes]:
    """The standard, line by line, without a thought for speed."""
    events: list[bytes] = []
    data: list[bytes] = []
    for line in re.split(rb"\r\n|\r|\n", stream.removeprefix(b"\xef\xbb\xbf"))[:-1]:
        name, _, value = line.partition(b":")
        if not line and data:
            events.append(b"\n".join(data))
            data = []
        elif name == b"data":
            data.append(value.removeprefix(b" "))
    return events


def fed(pieces: list[bytes]) -> list[bytes]:
    splitter = FrameSplitter()
    return [data for piece in pieces for data in splitter.feed(piece)]


def test_the_sample_holds_these_events() -> None:
    assert fed([SAMPLE]) == SAMPLE_DATA == by_the_book(SAMPLE)


def test_any_split_in_two_gives_the_same_events() -> None:
    for cut in range(len(SAMPLE) + 1):
        assert fed([SAMPLE[:cut], SAMPLE[cut:]]) == SAMPLE_DATA, cut


def test_one_byte_at_a_time_gives_the_same_events() -> None:
    assert fed([SAMPLE[place : place + 1] for place in range(len(SAMPLE))]) == SAMPLE_DATA


@given(
    st.lists(
        st.sampled_from(
            [
                b"\r",
                b"\n",
                b"\r\n",
                b"data: ",
                b"data",
                b":",
                b" ",
                b"event: x",
                b"\xef\xbb\xbf",
                b"y",
            ]
        ),
        max_size=40,
    ),
    st.data(),
)
def test_any_bytes_split_anywhere_are_read_by_the_book(
    tokens: list[bytes], draw: st.DataObject
) -> None:
    stream = b"".join(tokens)
    cuts = draw.draw(st.lists(st.integers(0, len(stream)), max_size=6).map(sorted))
    edges = [0, *cuts, len(stream)]

    pieces = [stream[start:end] for start, end in pairwise(edges)]

    assert fed(pieces) == by_the_book(stream)


def test_an_event_that_never_ends_does_not_fill_the_memory() -> None:
    splitter = FrameSplitter(limit=1000)
    for _ in range(10):
        splitter.feed(b"data: " + b"x" * 94)
    with pytest.raises(FrameTooLong):
        splitter.feed(b"x")


def test_a_long_event_in_many_pieces_comes_out_whole() -> None:
    body = b"x" * 5_000_000
    pieces = [body[start : start + 16_384] for start in range(0, len(body), 16_384)]
    assert fed([b"data: ", *pieces, b"\n\n"]) == [body]
