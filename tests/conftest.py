"""What every test may use: the folder of real data, where there is one."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A time limit would fail by how busy the machine is, not by what the code does.
settings.register_profile("hilum", deadline=None)
settings.load_profile("hilum")

# Before numpy or torch is imported: the suite runs one test process per core, and threads of
# several that wait for each other make it many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real data (`HILUM_DATA`), or skip the test."""
    folder = Path(os.environ.get("HILUM_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder} (set HILUM_DATA)")
    return folder
