"""Read models: rows computed from events by a pure fold, with their history, provenance and rebuilds."""

from govkernel.readmodels.builds import Build, ReadModelChanged, State
from govkernel.readmodels.comparison import Compared, RowDifference
from govkernel.readmodels.digests import Digests
from govkernel.readmodels.fold import events_behind
from govkernel.readmodels.handler import ReadModelHandler
from govkernel.readmodels.model import ReadModel, ReadModelRefused
from govkernel.readmodels.rebuild import (
    Difference,
    Follower,
    Log,
    Progress,
    RebuildDiffers,
    RebuildFailed,
    RebuildRunning,
    Rebuilt,
)
from govkernel.readmodels.replay import NeedsNewerReader
from govkernel.readmodels.service import BuildStatus, FollowStatus, Position, ReadModels, UnknownReadModel
from govkernel.readmodels.tables import as_of, decode_row, views_of
from govkernel.readmodels.watermarks import Watermarks

__all__ = [
    "Build",
    "BuildStatus",
    "Compared",
    "Difference",
    "Digests",
    "FollowStatus",
    "Follower",
    "Log",
    "NeedsNewerReader",
    "Position",
    "Progress",
    "ReadModel",
    "ReadModelChanged",
    "ReadModelHandler",
    "ReadModelRefused",
    "ReadModels",
    "RebuildDiffers",
    "RebuildFailed",
    "RebuildRunning",
    "Rebuilt",
    "RowDifference",
    "State",
    "UnknownReadModel",
    "Watermarks",
    "as_of",
    "decode_row",
    "events_behind",
    "views_of",
]
