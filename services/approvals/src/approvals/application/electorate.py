"""Who may vote on a project, by what authority, and who may not: worked out when a review is submitted."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from approvals.domain.body import Body, Formed, seated
from approvals.domain.gate_policy import GatePolicy, Published, votes_needed
from approvals.domain.project_reviews import ProjectReviews, check_admitted
from approvals.domain.role_assignment import RoleAssignment, held
from approvals.domain.value_bands import ValueBands, body_for
from govevents.approvals import Duty, Elector, Exclusion, GatePolicyPublished, MemberAppointed, Role, RoleAssigned
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
    """The electorate of a review, one elector for each natural person, and who is kept out of it.

    `body` is the body that decides, None where roles and names alone say who votes.
    """

    electorate: tuple[Elector, ...]
    excluded: tuple[Exclusion, ...]
    body: BodyId | None


@dataclass(frozen=True, slots=True)
class _Candidate:
    subject: SubjectId
    authority: str


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


def elect(
    *,
    policy: GatePolicyPublished,
    bands: ValueBands,
    bodies: Mapping[BodyId, Body],
    roles: Iterable[RoleAssignment],
    reviews: ProjectReviews,
    project: Project,
    submitter: SubjectId,
    persons: Persons,
    day: date,
) -> Elected:
    """The electorate of a review that is submitted on this day.

    `roles` are the assignments at the project and at all nodes above it; `bodies` has at least the one that decides;
    `persons` says of accounts whose they are, and is believed before a seat or a role that says otherwise. Raises
    ProjectHasEnded, DecidingBodyMissing, PersonNotKnown, ElectorateTooSmall, and what `deciding_body` raises.
    """
    check_admitted(reviews)
    deciding = deciding_body(policy, bands, project)
    holding = [assigned for role in roles if (assigned := held(role, day)) is not None]
    seats: tuple[MemberAppointed, ...] = ()
    candidates: list[_Candidate] = []
    if deciding is not None:
        body = bodies.get(deciding)
        if not isinstance(body, Formed):
            raise DecidingBodyMissing(body=str(deciding))
        seats = seated(body, day)
        name = body.formed.name
        candidates.extend(_Candidate(each.member, f"{'chair' if each.chair else 'member'} of {name}") for each in seats)
    candidates.extend(_holders(policy.electorate.roles, holding, project.project))
    candidates.extend(_Candidate(subject, "named by the policy") for subject in policy.electorate.people)
    candidates.extend(_Candidate(subject, "holder of a veto by the policy") for subject in policy.veto)
    known = {
        **{seat.member: seat.person for seat in seats},
        **{each.holder: each.person for each in holding},
        **persons,
    }
    excluded = _excluded(policy, holding, project, submitter, known)
    electorate = _electors(policy, candidates, excluded, known)
    needed = votes_needed(policy.quorum, len(electorate))
    if len(electorate) < max(1, needed):
        raise ElectorateTooSmall(
            f"{max(1, needed)} votes are needed, and {len(electorate)} persons may vote.",
            votes_needed=str(max(1, needed)),
            electorate=str(len(electorate)),
            excluded=str(len({exclusion.person for exclusion in excluded})),
        )
    return Elected(electorate, excluded, deciding)


def _holders(roles: Iterable[Role], holding: Iterable[RoleAssigned], project: ProjectId) -> Iterable[_Candidate]:
    wanted = [each for each in holding if each.role in roles]
    for each in sorted(wanted, key=lambda each: (each.role.value, each.holder)):
        where = "of the project" if each.node == project else "above the project"
        yield _Candidate(each.holder, f"{each.role.value.replace('_', ' ')} {where}")


def _person(subject: SubjectId, known: Persons) -> PersonId:
    if subject not in known:
        raise PersonNotKnown(subject)
    return known[subject]


def _excluded(
    policy: GatePolicyPublished,
    holding: Iterable[RoleAssigned],
    project: Project,
    submitter: SubjectId,
    known: Persons,
) -> tuple[Exclusion, ...]:
    # A portfolio's manager is not the manager of each project in it, so only roles at the project itself tie to it.
    tied = [each for each in holding if each.node == project.project]
    by_duty = {
        Duty.SUBMITTER: [submitter],
        Duty.PROJECT_MANAGER: [
            *([project.manager] if project.manager else []),
            *(each.holder for each in tied if each.role is Role.PROJECT_MANAGER),
        ],
    }
    if not policy.sponsor_may_vote:
        by_duty[Duty.SPONSOR] = [
            *([project.sponsor] if project.sponsor else []),
            *(each.holder for each in tied if each.role is Role.SPONSOR),
        ]
    return tuple(
        Exclusion(person, duty)
        for duty, subjects in by_duty.items()
        for person in sorted({_person(subject, known) for subject in subjects})
    )


def _electors(
    policy: GatePolicyPublished, candidates: Iterable[_Candidate], excluded: Iterable[Exclusion], known: Persons
) -> tuple[Elector, ...]:
    kept_out = {exclusion.person for exclusion in excluded}
    veto = {_person(subject, known) for subject in policy.veto}
    by_person: dict[PersonId, list[_Candidate]] = {}
    for candidate in candidates:
        person = _person(candidate.subject, known)
        if person not in kept_out:
            by_person.setdefault(person, []).append(candidate)
    return tuple(
        # A person with several accounts votes with the one whose authority comes first.
        Elector(
            subject=of_person[0].subject,
            person=person,
            authority="; ".join(dict.fromkeys(candidate.authority for candidate in of_person)),
            veto=person in veto,
        )
        for person, of_person in by_person.items()
    )
