"""Replicas that know only the rows come to equal shares of the partitions."""

from dataclasses import replace
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from govkernel.consumer.leases import to_take
from govkernel.consumer.ports import Lease

FREE = [Lease(partition, None, 0, live=False, next_offset=0) for partition in range(12)]
ANA, BO = UUID(int=1), UUID(int=2)


def claim(leases: list[Lease], replica: UUID, refused: dict[int, int] | None = None) -> list[Lease]:
    """What the rows say once a replica has renewed its own and taken what it should."""
    taken = {lease.partition for lease in to_take(leases, replica, refused=refused)}
    renewed = [replace(lease, live=True) if lease.holder == replica else lease for lease in leases]
    return [
        replace(lease, holder=replica, epoch=lease.epoch + 1, live=True) if lease.partition in taken else lease
        for lease in renewed
    ]


def shares(leases: list[Lease]) -> dict[UUID | None, int]:
    holders = [lease.holder for lease in leases]
    return {holder: holders.count(holder) for holder in set(holders)}


def test_the_first_takes_all_the_second_half_of_them_and_the_heir_what_has_run_out() -> None:
    alone = claim(FREE, ANA)
    assert shares(alone) == {ANA: 12}
    both = claim(alone, BO)
    assert shares(both) == {ANA: 6, BO: 6}
    assert to_take(both, ANA) == [], "equal shares are left alone"
    run_out = [replace(lease, live=lease.holder == BO) for lease in both]
    assert shares(claim(run_out, BO)) == {BO: 12}


def test_a_partition_that_a_replica_cannot_read_on_is_left_to_others_until_it_is_past_that() -> None:
    assert shares(claim(FREE, ANA, refused={3: 0})) == {ANA: 11, None: 1}
    moved_on = [replace(lease, next_offset=1) for lease in FREE]
    assert shares(claim(moved_on, ANA, refused={3: 0})) == {ANA: 12}


def test_what_one_replica_cannot_read_the_other_takes_although_it_has_its_share() -> None:
    both = claim(claim(FREE, ANA), BO)
    left = next(lease.partition for lease in both if lease.holder == ANA)
    given_up = [replace(lease, holder=None, live=False) if lease.partition == left else lease for lease in both]
    assert to_take(given_up, ANA, refused={left: 0}) == []
    assert shares(claim(given_up, BO)) == {ANA: 5, BO: 7}


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=30))
def test_whoever_comes_and_goes_shares_differ_by_one_at_most_once_all_have_claimed(
    history: list[tuple[int, bool]],
) -> None:
    replicas = [UUID(int=number + 1) for number in range(5)]
    leases = FREE
    present: set[UUID] = set()
    for number, dies in history:
        replica = replicas[number]
        if dies:
            present.discard(replica)
            leases = [replace(lease, live=lease.live and lease.holder != replica) for lease in leases]
        else:
            present.add(replica)
            leases = claim(leases, replica)
    for _ in range(3):
        for replica in sorted(present):
            leases = claim(leases, replica)
    if present:
        counts = [shares(leases).get(replica, 0) for replica in present]
        assert sum(counts) == 12
        assert max(counts) - min(counts) <= 1
