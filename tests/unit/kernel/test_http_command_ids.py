"""A command's id, which its idempotency key has to give for ever."""

from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from govevents.values import SubjectId
from govkernel.http.commands import command_id


@given(st.uuids(), st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=200))
def test_a_commands_id_is_the_name_based_uuid_of_caller_service_and_key(subject: UUID, key: str) -> None:
    assert command_id("risks", SubjectId(subject), key) == uuid5(subject, f"risks/{key}")


def test_commands_without_a_key_share_no_id() -> None:
    subject = SubjectId(UUID(int=1))
    assert len({command_id("risks", subject, None) for _ in range(3)}) == 3
