"""What endpoints say when they refuse, in the forms that they say it in. Nothing here may raise."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_recipes.agents.http.endpoint import Endpoint
from trio_recipes.agents.http.refusals import BY_STATUS, Complaint, refused

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "message", "code", "type", "detail", "param"]), inner, max_size=4)
    ),
    max_leaves=8,
)

FORMS: list[tuple[Any, str, tuple[str, ...]]] = [
    ({"error": {"message": "m", "type": "t", "code": "c"}}, "m", ("c", "t")),
    ({"type": "error", "error": {"type": "t", "message": "m"}}, "m", ("t",)),
    ({"object": "error", "message": "m", "code": 40}, "m", ("40",)),
    ([{"error": {"code": 400, "message": "m", "status": "x"}}], "m", ("400",)),
    ({"error": "m"}, "m", ()),
    ({"detail": "m"}, "m", ()),
    ({"detail": [{"loc": ["body"], "msg": "m"}]}, '[{"loc": ["body"], "msg": "m"}]', ()),
    ({"error": None, "message": "m"}, "m", ()),
    (None, "", ()),
]


@pytest.mark.parametrize(("document", "message", "codes"), FORMS)
def test_forms(document: Any, message: str, codes: tuple[str, ...]) -> None:
    found = Complaint.read(json.dumps(document).encode())
    assert (found.message, found.codes) == (message, codes)


@given(st.binary(max_size=50) | JSON.map(lambda document: json.dumps(document).encode()), st.integers(300, 599))
def test_every_body_is_some_refusal(body: bytes, status: int) -> None:
    complaint = Complaint.read(body)
    error = refused(Endpoint(base_url="http://h"), complaint, status=status)
    assert str(error).startswith("http://h ")
    assert len(str(error)) < 1000
    assert refused(Endpoint(base_url="http://h"), Complaint.read(body)).retryable in (True, False)


@pytest.mark.parametrize("status", BY_STATUS)
def test_what_may_pass_is_tried_again(status: int) -> None:
    meaning = Complaint().meaning(status)
    assert meaning.retryable == (status in {408, 409, 425, 429, 500, 502, 503, 504, 529})
    assert meaning.rate_limited == (status in {429, 503, 529})
    assert meaning.hint


def test_a_status_that_stands_in_the_body() -> None:
    assert Complaint(codes=("503",)).meaning().rate_limited
    assert Complaint(codes=("what", "404")).meaning() == Complaint().meaning(404)
