"""Another policy from a file, to be tried on recorded votes: as people write it, with bodies by their names."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from gov.imports.policies import Part, PoliciesRefused, Voters, faults_in, read_document
from govevents.approvals import Outcome, Quorum, ReviewKind, Rule
from govevents.values import Code, Money, Name, SubjectId


class Band(Part):
    """Up to which value a body decides; `body` by its name or id."""

    body: Name
    upper: Money | None = None
    inclusive: bool = False


class Changes(Part):
    """How the other policy differs; what is left out stays as each decision's own policy had it."""

    rule: Rule | None = None
    threshold: Decimal | None = None
    quorum: Quorum | None = None
    veto: tuple[SubjectId, ...] | None = None
    failed_outcome: Outcome | None = None
    electorate: Voters | None = None
    bands: tuple[Band, ...] | None = None
    delegation_limit: Money | None = None
    sponsor_may_vote: bool | None = None


class WhatIf(Part):
    """Which decisions are tried, and under which changes."""

    kind: ReviewKind | None = None
    gate: Code | None = None
    submitted_from: date | None = None
    submitted_until: date | None = None
    changes: Changes

    def request(self, portfolio: str, bodies: Mapping[str, str]) -> dict[str, Any]:
        """The body of `POST /what-ifs`. Raises PoliciesRefused for a body that the portfolio does not have."""
        said = self.model_dump(mode="json", exclude_unset=True)
        changes: dict[str, Any] = said["changes"]
        named = [band.body for band in self.changes.bands or ()]
        if self.changes.electorate is not None:
            named += [self.changes.electorate.body] if self.changes.electorate.body else []
            changes["electorate"] = self.changes.electorate.request(bodies)
        for name in named:
            if name not in bodies and not _is_id(name):
                known = ", ".join(map(repr, sorted(bodies))) or "none yet"
                raise PoliciesRefused(f"changes: the portfolio has no body {name!r}; give an id, or one of: {known}")
        if self.changes.bands is not None:
            changes["bands"] = [
                {**band.model_dump(mode="json"), "body": bodies.get(band.body, band.body)}
                for band in self.changes.bands
            ]
        return {**said, "portfolio": portfolio, "changes": changes}


def load_what_if(path: Path) -> WhatIf:
    """Read a file (YAML, or JSON by its name). Raises PoliciesRefused, naming all that is wrong."""
    _, said = read_document(path)
    try:
        return WhatIf.model_validate(said)
    except ValidationError as error:
        raise faults_in(path, error) from None


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
