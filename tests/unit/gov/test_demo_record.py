"""Whether the demonstration was played is asked of a file first, and a file that says nothing useful is no answer."""

from pathlib import Path
from uuid import uuid4

import pytest

from gov.client import Addresses
from gov.demo import Played, record, remember, remembered
from gov.runtime.state import State

NOWHERE = Addresses({"issuer": "http://127.0.0.1:1", "approvals": "http://127.0.0.1:1"})


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "home")


async def test_nothing_is_remembered_where_nothing_was_played(state: State) -> None:
    assert await remembered(state, NOWHERE) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"told": 3, "played": {}}', b"\xff"])
async def test_a_file_that_cannot_be_read_is_as_if_it_were_not_there(state: State, content: bytes) -> None:
    state.demo_file.write_bytes(content)
    assert await remembered(state, NOWHERE) is None


async def test_another_story_is_played_whatever_was_played_before(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(state, Played(uuid4(), {"HC-101": uuid4()}, uuid4(), 182))
    monkeypatch.setattr(record, "TOLD_BY", ("story.py",))
    assert await remembered(state, NOWHERE) is None
