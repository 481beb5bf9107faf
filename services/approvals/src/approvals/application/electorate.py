"""Who may vote on a project, by what authority, and who may not: worked out when a review is submitted."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from approvals.domain.body import Body, Formed, alternates_of, seated
from approvals.domain.gate_policy import GatePolicy, Published, votes_needed
from approvals.domain.project_reviews import ProjectReviews, check_admitted
from approvals.domain.review import Ties
from approvals.domain.role_assignment import RoleAssignment, held
from approvals.domain.value_bands import ValueBands, body_for
from govevents.approvals import (
    Alternate,
    Duty,
    Elector,
    Exclusion,
    GatePolicyPublished,
    MemberAppointed,
    Panel,
    Quorum,
    Role,
    RoleAssigned,
)
from govkernel.domain import BodyId, Money, NotKnownYet, PersonId, ProjectId, Refusal, SubjectId


@dataclass(frozen=True, slots=True)
class Project:
    """What approvals knows of a project; None where the project's charter is silent."""

    project: ProjectId
    value: Money | None
    manager: SubjectId | None
    sponsor: SubjectId | None


@dataclass(frozen=True, slots=True)
class Elected:
    """Who decides a review, one elector for each natural person, and who may not.

    `escalation` decides where `panel` can't, None where the policy names nobody. `tied` are all who have a duty towards
    the project, also those whom the policy lets vote.
    """

    panel: Panel
    escalation: Panel | None
    tied: tuple[Exclusion, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    subject: SubjectId
    authority: str
    alternates: tuple[SubjectId, ...] = ()


Persons: TypeAlias = Mapping[SubjectId, PersonId]


class PolicyMissing(NotKnownYet):
    """The portfolio has no policy for this kind of review."""


class ProjectValueMissing(Refusal):
    """The policy asks the value bands who decides, and the project's charter states no value."""


class DecidingBodyMissing(NotKnownYet):
    """The body that must decide is not known."""


class PersonNotKnown(NotKnownYet):
    """Which natural person an account belongs to isn't known, so nobody can say whose voice it would be."""

    def __init__(self, account: SubjectId) -> None:
        super().__init__(
            f"The account {account} is not in the directory; an administrator puts it there with POST /directory.",
            account=str(account),
        )


class ElectorateTooSmall(Refusal):
    """Fewer persons may vote than votes are needed."""


def edition_of(policy: GatePolicy) -> GatePolicyPublished:
    """The edition of the policy that a review is opened under. Raises PolicyMissing."""
    if not isinstance(policy, Published):
        raise PolicyMissing
    return policy.edition


def deciding_body(policy: GatePolicyPublished, bands: ValueBands, project: Project) -> BodyId | None:
    """The body that votes, None where the policy names none. Raises ProjectValueMissing and `body_for`'s refusals."""
    if not policy.electorate.by_value_band:
        return policy.electorate.body
    if project.value is None:
        raise ProjectValueMissing(project=str(project.project))
    return body_for(bands, project.value)


@dataclass(frozen=True, slots=True)
class Rolls:
    """What says who may vote on a day.

    `roles` are the assignments at the project and at all nodes above it; `bodies` has at least those that are asked
    for; `persons` says of accounts whose they are, and is believed before a seat or a role that says otherwise.
    """

    bodies: Mapping[BodyId, Body]
    roles: tuple[RoleAssignment, ...]
    persons: Persons
    day: date


def elect(
    *,
    policy: GatePolicyPublished,
    bands: ValueBands,
    rolls: Rolls,
    reviews: ProjectReviews,
    project: Project,
    submitter: SubjectId,
) -> Elected:
    """The electorate of a review that is submitted on this day.

    Raises ProjectHasEnded, DecidingBodyMissing, PersonNotKnown, what `deciding_body` raises, and ElectorateTooSmall
    unless the policy names a body to escalate to, which then decides at once.
    """
    check_admitted(reviews)
    deciding = deciding_body(policy, bands, project)
    holding = _holding(rolls)
    known = _known(() if deciding is None else _seats(deciding, rolls), holding, rolls)
    return elect_without(
        _tied(holding, project, submitter, known), policy=policy, bands=bands, rolls=rolls, project=project
    )


def elect_without(
    tied: tuple[Exclusion, ...], *, policy: GatePolicyPublished, bands: ValueBands, rolls: Rolls, project: Project
) -> Elected:
    """The electorate of a review to whose project these have a duty. Raises what `elect` does but ProjectHasEnded."""
    deciding = deciding_body(policy, bands, project)
    holding = _holding(rolls)
    seats = () if deciding is None else _seats(deciding, rolls)
    known = _known(seats, holding, rolls)
    candidates = [
        *([] if deciding is None else _members(deciding, seats, rolls)),
        *_holders(policy.electorate.roles, holding, project.project),
        *(_Candidate(subject, "named by the policy") for subject in policy.electorate.people),
        *(_Candidate(subject, "holder of a veto by the policy") for subject in policy.veto),
    ]
    excluded = _kept_out(tied, sponsor_may_vote=policy.sponsor_may_vote)
    veto = {_person(subject, known) for subject in policy.veto}
    panel = Panel(deciding, _electors(candidates, excluded, veto, known), excluded)
    escalation = None
    # A band may lead to the very body that stands above the others, and nothing stands above that.
    if policy.escalate_to is not None and policy.escalate_to != deciding:
        escalation = panel_of(policy.escalate_to, excluded, rolls)
    needed = votes_needed(policy.quorum, len(panel.electorate))
    if escalation is None and len(panel.electorate) < max(1, needed):
        raise _too_small(panel, needed)
    return Elected(panel, escalation, tied)


def ties_now(rolls: Rolls, project: Project, submitter: SubjectId, *, sponsor_may_vote: bool) -> Ties:
    """Who has a duty towards a project on this day. Raises PersonNotKnown."""
    holding = _holding(rolls)
    tied = _tied(holding, project, submitter, _known((), holding, rolls))
    return Ties(tied, _kept_out(tied, sponsor_may_vote=sponsor_may_vote))


def _kept_out(tied: Iterable[Exclusion], *, sponsor_may_vote: bool) -> tuple[Exclusion, ...]:
    return tuple(each for each in tied if not (sponsor_may_vote and each.duty is Duty.SPONSOR))


def panel_of(body: BodyId, excluded: tuple[Exclusion, ...], rolls: Rolls) -> Panel:
    """A body as the one that decides, without those excluded. Raises DecidingBodyMissing and PersonNotKnown."""
    seats = _seats(body, rolls)
    known = _known(seats, (), rolls)
    return Panel(body, _electors(_members(body, seats, rolls), excluded, set(), known), excluded)


def check_panel(panel: Panel, quorum: Quorum) -> None:
    """Raise ElectorateTooSmall where a panel could never come to a decision."""
    needed = votes_needed(quorum, len(panel.electorate))
    if len(panel.electorate) < max(1, needed):
        raise _too_small(panel, needed)


def _too_small(panel: Panel, needed: int) -> ElectorateTooSmall:
    return ElectorateTooSmall(
        f"{max(1, needed)} votes are needed, and {len(panel.electorate)} persons may vote.",
        votes_needed=str(max(1, needed)),
        electorate=str(len(panel.electorate)),
        excluded=str(len({exclusion.person for exclusion in panel.excluded})),
    )


def _holding(rolls: Rolls) -> tuple[RoleAssigned, ...]:
    return tuple(assigned for role in rolls.roles if (assigned := held(role, rolls.day)) is not None)


def _seats(body: BodyId, rolls: Rolls) -> tuple[MemberAppointed, ...]:
    formed = rolls.bodies.get(body)
    if not isinstance(formed, Formed):
        raise DecidingBodyMissing(body=str(body))
    members = seated(formed, rolls.day)
    return (*members, *(each for member in members for each in alternates_of(formed, member.member, rolls.day)))


def _known(seats: Iterable[MemberAppointed], holding: Iterable[RoleAssigned], rolls: Rolls) -> Persons:
    return {
        **{seat.member: seat.person for seat in seats},
        **{each.holder: each.person for each in holding},
        **rolls.persons,
    }


def _members(body: BodyId, seats: Iterable[MemberAppointed], rolls: Rolls) -> Iterable[_Candidate]:
    formed = rolls.bodies[body]
    assert isinstance(formed, Formed), "its seats were found"
    alternates: dict[SubjectId, list[SubjectId]] = {}
    for seat in seats:
        if seat.alternate_for is not None:
            alternates.setdefault(seat.alternate_for, []).append(seat.member)
    for seat in seats:
        if seat.alternate_for is None:
            office = "chair" if seat.chair else "member"
            standing_in = tuple(alternates.get(seat.member, ()))
            yield _Candidate(seat.member, f"{office} of {formed.formed.name}", standing_in)


def _holders(roles: Iterable[Role], holding: Iterable[RoleAssigned], project: ProjectId) -> Iterable[_Candidate]:
    wanted = [each for each in holding if each.role in roles]
    for each in sorted(wanted, key=lambda each: (each.role.value, each.holder)):
        where = "of the project" if each.node == project else "above the project"
        yield _Candidate(each.holder, f"{each.role.value.replace('_', ' ')} {where}")


def _person(subject: SubjectId, known: Persons) -> PersonId:
    if subject not in known:
        raise PersonNotKnown(subject)
    return known[subject]


def _tied(
    holding: Iterable[RoleAssigned], project: Project, submitter: SubjectId, known: Persons
) -> tuple[Exclusion, ...]:
    # A portfolio's manager is not the manager of each project in it, so only roles at the project itself tie to it.
    at_project = [each for each in holding if each.node == project.project]
    by_duty = {
        Duty.SUBMITTER: [submitter],
        Duty.PROJECT_MANAGER: [
            *([project.manager] if project.manager else []),
            *(each.holder for each in at_project if each.role is Role.PROJECT_MANAGER),
        ],
        Duty.SPONSOR: [
            *([project.sponsor] if project.sponsor else []),
            *(each.holder for each in at_project if each.role is Role.SPONSOR),
        ],
    }
    return tuple(
        Exclusion(person, duty)
        for duty, subjects in by_duty.items()
        for person in sorted({_person(subject, known) for subject in subjects})
    )


def _electors(
    candidates: Iterable[_Candidate], excluded: Iterable[Exclusion], veto: Collection[PersonId], known: Persons
) -> tuple[Elector, ...]:
    kept_out = {exclusion.person for exclusion in excluded}
    by_person: dict[PersonId, list[_Candidate]] = {}
    for candidate in candidates:
        by_person.setdefault(_person(candidate.subject, known), []).append(candidate)
    voices = {person: of_person for person, of_person in by_person.items() if person not in kept_out}
    taken = kept_out | voices.keys()
    electors = [
        # A person with several accounts votes with the one whose authority comes first.
        Elector(
            subject=of_person[0].subject,
            person=person,
            authority="; ".join(dict.fromkeys(candidate.authority for candidate in of_person)),
            veto=person in veto,
            alternates=_alternates(of_person, taken, known),
        )
        for person, of_person in voices.items()
    ]
    for person, of_person in by_person.items():
        if person in kept_out:
            # Whoever may not vote leaves the seat to an alternate, who sits there in their own right.
            free = [each for each in _alternates(of_person, taken, known) if each.person not in taken]
            if free:
                first, *others = free
                taken = taken | {first.person}
                authority = f"alternate, for a {of_person[0].authority} who may not vote"
                electors.append(Elector(first.subject, first.person, authority, False, tuple(others)))
    return tuple(electors)


def _alternates(candidates: Iterable[_Candidate], taken: Collection[PersonId], known: Persons) -> tuple[Alternate, ...]:
    subjects = dict.fromkeys(subject for candidate in candidates for subject in candidate.alternates)
    alternates = (Alternate(subject, _person(subject, known)) for subject in subjects)
    return tuple(each for each in alternates if each.person not in taken)
