"""Server-sent events: the same ones, however their bytes are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_recipes.agents.http.sse import MAX_EVENT, EventDecoder, EventTooLargeError

STREAMS = {
    b"data: a\n\ndata: b\n\n": ["a", "b"],
    b"data:a\n\ndata:  b\n\n": ["a", " b"],
    b"data: a\ndata: b\n\n": ["a\nb"],
    b"data\n\n": [""],
    b"event: x\nid: 1\nretry: 2\ndata: a\n\n": ["a"],
    b"event: x\n\n: ping\n\n\n": [],
    b"data: a\r\n\r\ndata: b\r\rdata: c\n\r\n": ["a", "b", "c"],
    "data: hé😀\n\n".encode(): ["hé😀"],
    b"data: \xff\n\n": ["\ufffd"],
    b"data: a\n\ndata: no end": ["a", "no end"],
    b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n": ["a"],
    b"": [],
}


def decoded(*pieces: bytes) -> list[str]:
    decoder = EventDecoder()
    found = [data for piece in pieces for data in decoder.feed(piece)]
    return [*found, *decoder.rest()]


@pytest.mark.parametrize("stream", STREAMS)
def test_streams(stream: bytes) -> None:
    assert decoded(stream) == STREAMS[stream]
    assert decoded(*(bytes([byte]) for byte in stream)) == STREAMS[stream]


@given(
    st.lists(st.sampled_from([b"data: a", b"data", b"\r", b"\n", b"\r\n", b": x", b"b", b":"]), max_size=30), st.data()
)
def test_cuts_make_no_difference(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cut = data.draw(st.integers(0, len(stream)))
    assert decoded(stream[:cut], stream[cut:]) == decoded(stream)


def test_an_event_has_an_end() -> None:
    decoder = EventDecoder()
    assert list(decoder.feed(b"x" * MAX_EVENT)) == []
    with pytest.raises(EventTooLargeError):
        list(decoder.feed(b"x"))


def test_many_events_may_be_large_together() -> None:
    event = b"data: " + b"x" * (MAX_EVENT // 2) + b"\n\n"
    decoder = EventDecoder()
    assert sum(len(list(decoder.feed(event))) for _ in range(3)) == 3
