"""What all reviews of a project share."""

from uuid import UUID

from pydantic import BaseModel

from approvals.domain import project_reviews
from approvals.domain.project_reviews import PROJECT_REVIEWS, Ended
from approvals.entrypoints.api.edge import READ, api
from govevents.approvals import Breach
from govkernel.domain import NodeId, ProjectId
from govkernel.http import Ask


class ProjectReviewsView(BaseModel):
    """Whether a project's reviews have ended with it, and what began before its gate had said so, as reported first."""

    project: ProjectId
    ended: bool
    breaches: tuple[Breach, ...]


@api.query("/project-reviews/{project}", operation="getProjectReviews", response=ProjectReviewsView)
async def get_project_reviews(ask: Ask, project: UUID) -> ProjectReviewsView:
    """Read whether a project is reviewed at all, and which of its gates were passed by stealth."""
    await ask.require(READ, NodeId(project))
    stream = project_reviews.stream_of(ProjectId(project))
    loaded = await ask.runtime.ledger.load(PROJECT_REVIEWS, stream)
    if loaded.head.version > 0:
        ask.tag(stream, loaded.head.version)
    return ProjectReviewsView(
        project=ProjectId(project), ended=isinstance(loaded.state, Ended), breaches=loaded.state.breaches
    )
