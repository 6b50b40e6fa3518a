"""What several rooms' tests share."""

import os
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from tests.quick_case import QuickCase, make_quick_case

PROCEDURE_S = 720
"""Longer than the quick case: its last scan lies in the past when it is sent."""


def needed(program: str, package: str) -> str:
    """Path of a program of a Debian package. A missing one skips, but fails under CI=true."""
    path = shutil.which(program)
    if path is None:
        reason = f"{program} is missing: install the Debian package {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture(scope="session")
def storescu() -> str:
    """dcmtk's sender."""
    return needed("storescu", "dcmtk")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Debian's browser."""
    return needed("chromium", "chromium")


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> QuickCase:
    """The quick procedure, simulated once; nobody may change its files."""
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=PROCEDURE_S)
    return make_quick_case(tmp_path_factory.mktemp("quick"), start)
