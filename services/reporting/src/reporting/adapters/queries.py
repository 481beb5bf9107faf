"""What reporting reads besides single streams: which reports a project has."""

from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Select, select, type_coerce

from govkernel.domain import ProjectId
from govkernel.tables import events, stream_links
from reporting.domain.status_report import REPORT_OF

newest_first: Final[ColumnElement[int]] = type_coerce(-events.c.seq, BigInteger)


def reports_of(project: ProjectId) -> Select[Any]:
    """The streams of a project's status reports, each with its place in the order in which they were first drafted."""
    return (
        select(stream_links.c.stream, newest_first.label("place"))
        .join(events, (events.c.stream == stream_links.c.stream) & (events.c.version == 1))
        .where(stream_links.c.kind == REPORT_OF, stream_links.c.target == project)
    )
