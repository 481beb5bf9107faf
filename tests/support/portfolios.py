"""Where the public data sets of real portfolios lie, and what is skipped where they don't."""

import os
from pathlib import Path
from typing import Final

import pytest

DATA: Final = Path(os.environ.get("GOV_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
MELBOURNE: Final = DATA / "melbourne_water_stage_gates.csv"
NEW_YORK: Final = DATA / "nyc_capital_projects_2013_2019.csv"

needs_portfolios = pytest.mark.skipif(
    not DATA.is_dir(),
    reason="the public data sets are not beside this checkout; set GOV_TEST_DATA to their folder",
)
