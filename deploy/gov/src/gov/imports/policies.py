"""Gate policies from a file: how each kind of review is decided, as people write and keep it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gov.client import Client, Refused
from gov.imports.bands import body_ids
from govevents.approvals import (
    ConditionTerms,
    Criterion,
    Deliverable,
    Outcome,
    Quorum,
    ReviewKind,
    Role,
    Rule,
    TimeLimit,
)
from govevents.values import Code, Name, SubjectId

LARGEST_FILE_BYTES: Final = 2**20
MOST_POLICIES: Final = 200
JSON_SUFFIX: Final = ".json"


class PoliciesRefused(ValueError):
    """A file of policies can't be used; the message says which key, and how to put it right."""


class Part(BaseModel):
    """What a file says: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Voters(Part):
    """Who votes; `body` by its name or id."""

    roles: tuple[Role, ...] = ()
    people: tuple[SubjectId, ...] = ()
    body: Name | None = None
    by_value_band: bool = False

    def request(self, bodies: Mapping[str, str]) -> dict[str, Any]:
        """The electorate as the service takes it, its body by id."""
        said = self.model_dump(mode="json")
        return {**said, "body": bodies.get(said["body"], said["body"])}


class Policy(Part):
    """A policy as a file has it: that of `POST /gate-policies`, with bodies by their names or ids."""

    kind: ReviewKind
    gate: Code | None = None
    electorate: Voters
    quorum: Quorum
    rule: Rule
    threshold: Decimal | None = None
    veto: tuple[SubjectId, ...] = ()
    sponsor_may_vote: bool = False
    time_limit: TimeLimit | None = None
    failed_outcome: Outcome = Outcome.RECYCLE
    escalate_to: Name | None = None
    deliverables: tuple[Deliverable, ...] = ()
    criteria: tuple[Criterion, ...] = ()
    conditions: ConditionTerms | None = None

    @property
    def label(self) -> str:
        """What the policy is for, in words."""
        return f"{self.kind.value} {self.gate}" if self.gate else self.kind.value

    def request(self, portfolio: str, bodies: Mapping[str, str]) -> dict[str, Any]:
        """The command's body; what the file leaves out is left out here, so that the service's defaults hold."""
        said = self.model_dump(mode="json", exclude_unset=True)
        electorate = self.electorate.request(bodies)
        escalation = {"escalate_to": bodies.get(self.escalate_to, self.escalate_to)} if self.escalate_to else {}
        return {**said, **escalation, "portfolio": portfolio, "electorate": electorate}

    def bodies(self) -> Iterable[tuple[str, str]]:
        """The fields that name a body, each with what it says."""
        for field, named in (("electorate/body", self.electorate.body), ("escalate_to", self.escalate_to)):
            if named is not None:
                yield field, named


class _File(Part):
    policies: tuple[Policy, ...] = Field(min_length=1, max_length=MOST_POLICIES)


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """A file's policies, its name and SHA-256."""

    name: str
    sha256: str
    policies: tuple[Policy, ...]


class _Loader(yaml.SafeLoader):
    """Reads numbers with a point, and dates, as the text that stands there, and refuses a key that is given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        _refuse_repeated(keys, node.start_mark.line + 1)
        return super().construct_mapping(node, deep)


_AS_TEXT: Final = ("tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _AS_TEXT]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _refuse_repeated(keys: Sequence[Any], line: int | None = None) -> None:
    twice = sorted({str(key) for key in keys if keys.count(key) > 1})
    if twice:
        where = f"line {line}: " if line else ""
        raise PoliciesRefused(f"{where}{', '.join(map(repr, twice))} is given twice: keep one")


def _json_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _refuse_repeated([key for key, _ in pairs])
    return dict(pairs)


def read_document(path: Path) -> tuple[bytes, Any]:
    """A file's bytes, and what it says (YAML, or JSON by its name). Raises PoliciesRefused.

    Numbers with a point are read as they stand, never by way of a float.
    """
    try:
        content = path.read_bytes()
        if len(content) > LARGEST_FILE_BYTES:
            raise PoliciesRefused(f"{path}: {len(content)} bytes; at most {LARGEST_FILE_BYTES} are read")
        text = content.decode("utf-8-sig")
        if path.suffix.lower() == JSON_SUFFIX:
            said = json.loads(text, parse_float=str, parse_constant=str, object_pairs_hook=_json_object)
        else:
            said = yaml.load(text, Loader=_Loader)  # noqa: S506 - a loader that builds plain values only
    except PoliciesRefused as refused:
        raise PoliciesRefused(f"{path}: {refused}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, json.JSONDecodeError, RecursionError) as error:
        raise PoliciesRefused(f"{path}: cannot be read: {error}") from None
    return content, said


def faults_in(path: Path, error: ValidationError) -> PoliciesRefused:
    """What to raise for a file that says something else than it may, naming all that is wrong."""
    return PoliciesRefused("; ".join(f"{path}: {_fault(each)}" for each in error.errors()))


def load_policies(path: Path) -> PolicyFile:
    """Read a file with a list `policies`. Raises PoliciesRefused, naming all that is wrong."""
    content, said = read_document(path)
    try:
        policies = _File.model_validate(said).policies
    except ValidationError as error:
        raise faults_in(path, error) from None
    labels = [policy.label for policy in policies]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise PoliciesRefused(f"{path}: policies: {', '.join(twice)} is given twice: keep one of each kind and gate")
    return PolicyFile(path.name, sha256(content).hexdigest(), policies)


def _fault(error: Any) -> str:
    place = "/".join(str(part) for part in error["loc"]) or "the file"
    given = "" if error["type"] == "missing" else f" = {str(error['input'])[:80]!r}"
    return f"{place}{given}: {error['msg']}"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a policy was not published: where in it, what stands there, the reason and the remedy."""

    policy: str
    field: str
    value: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Edition:
    """A policy that holds as the file says it; `published` says that this made it a new edition."""

    kind: str
    gate: str | None
    number: int
    published: bool


@dataclass(frozen=True, slots=True)
class PoliciesResult:
    """What came of a file of policies."""

    file: str
    sha256: str
    dry_run: bool
    policies: tuple[str, ...]
    editions: tuple[Edition, ...] = ()
    faults: tuple[Fault, ...] = ()


def rehearse_policies(file: PolicyFile) -> PoliciesResult:
    """What would be published, without asking any service."""
    return PoliciesResult(file.name, file.sha256, dry_run=True, policies=tuple(each.label for each in file.policies))


async def publish_policies(client: Client, file: PolicyFile, portfolio: str) -> PoliciesResult:
    """Publish the policies of the portfolio with this id; each is taken or not by itself.

    With a body that nobody formed, none is. Raises what the client raises, but for a refusal of what a policy says.
    """
    labels = tuple(each.label for each in file.policies)
    known = await body_ids(client, portfolio)
    faults = [
        Fault(policy.label, field, named, "the portfolio has no body of this name or id", _one_of(known))
        for policy in file.policies
        for field, named in policy.bodies()
        if named not in known and named not in known.values() and not _is_id(named)
    ]
    editions: list[Edition] = []
    for policy in () if faults else file.policies:
        try:
            answer = await client.command("approvals", "/gate-policies", policy.request(portfolio, known))
        except Refused as refused:
            if refused.problem.status in (401, 403):
                raise
            faults.extend(_faults(policy, refused))
        else:
            editions.append(Edition(policy.kind.value, policy.gate, answer.version, bool(answer.events)))
    return PoliciesResult(file.name, file.sha256, False, labels, tuple(editions), tuple(faults))


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _one_of(known: Mapping[str, str]) -> str:
    names = ", ".join(map(repr, sorted(known)))
    return f"give one of {names}" if names else "form it first with POST /bodies of approvals"


def _faults(policy: Policy, refused: Refused) -> list[Fault]:
    problem = refused.problem
    if problem.faults:
        return [
            Fault(policy.label, fault.field.lstrip("/"), fault.value or "", fault.detail, fault.remedy)
            for fault in problem.faults
        ]
    fields, values = ", ".join(problem.facts), ", ".join(problem.facts.values())
    return [Fault(policy.label, fields, values, f"{problem.slug}: {problem.detail}", "correct the policy")]
