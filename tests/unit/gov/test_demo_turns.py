"""The demo clock fires deadlines for everybody, so projects ask approvals in the order of their days."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from gov.demo import story
from gov.demo.play import Turns
from gov.demo.story import Delegate, Gate, Meet, Vote

Days = dict[str, list[float]]


async def asked(days: Days, slow: set[str]) -> list[tuple[float, str]]:
    """In which order projects that have something to ask on these days come to do so."""
    turns = Turns({project: each[0] for project, each in days.items()})
    order: list[tuple[float, str]] = []

    async def live(project: str) -> None:
        for day, following in zip(days[project], [*days[project][1:], float("inf")], strict=True):
            if project in slow:
                await asyncio.sleep(0)
            await turns.take(project, day)
            order.append((day, project))
            await asyncio.sleep(0)
            await turns.pass_on(project, following)

    await asyncio.gather(*(live(project) for project in days))
    return order


@given(
    st.dictionaries(
        st.sampled_from("abcde"), st.lists(st.floats(0, 9), min_size=1, max_size=4).map(sorted), min_size=1
    ),
    st.sets(st.sampled_from("abcde")),
)
def test_whoever_is_slow_nothing_is_asked_before_what_comes_earlier(days: Days, slow: set[str]) -> None:
    order = asyncio.run(asked(days, slow))
    assert order == sorted((day, project) for project, each in days.items() for day in each)


def test_the_story_goes_forward_and_each_of_its_steps_has_what_it_rests_on() -> None:
    for project in story.PROJECTS:
        assert [act.day for act in project.acts] == sorted(act.day for act in project.acts), project.reference
        delegates: dict[str, str] = {}
        open_condition = False
        for act in project.acts:
            match act:
                case Delegate(delegator=delegator, delegate=delegate):
                    delegates[delegator] = delegate
                case Gate(steps=steps):
                    votes = [step for step in steps if isinstance(step, Vote)]
                    assert all(delegates.get(vote.acting_for) == vote.voter for vote in votes if vote.acting_for)
                    open_condition = any(vote.condition is not None for vote in votes)
                case Meet():
                    assert open_condition, f"{project.reference}: nothing is left to meet on day {act.day}"
                    open_condition = False
                case _:
                    pass
