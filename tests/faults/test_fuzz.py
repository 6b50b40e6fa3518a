"""Nonsense from many peers at once; for longer by ``make fuzz``.

``FUZZ_SECONDS`` says how long, ``FUZZ_SEED`` repeats a run.
"""

import logging
import os
import secrets
from pathlib import Path

import pytest

from tests.conftest import needed
from tests.dicom_listener.certificates import Authority
from tests.faults.fuzz import Fuzz
from tests.service import Sections, running_service

LOGGER = logging.getLogger(__name__)

SECONDS = float(os.environ.get("FUZZ_SECONDS", "60"))
SEED = os.environ.get("FUZZ_SEED") or secrets.token_hex(4)


@pytest.mark.timeout(SECONDS + 240)
def test_nonsense_breaks_nothing(tmp_path: Path) -> None:
    """No crash, no leak, no wrong file."""
    LOGGER.info("FUZZ_SEED=%s", SEED)
    authority = Authority(needed("openssl", "openssl"), tmp_path / "tls", "authority")
    pair = authority.sign("service")
    files = {
        "certificate": str(pair.certificate),
        "key": str(pair.key),
        "authorities": str(authority.certificate),
    }
    settings: Sections = {
        "dicom": {"maximum_associations": 100, "maximum_object_mb": 8},
        "tls": {"port": 0, **files},
    }
    with running_service(tmp_path / "service", settings) as service:
        fuzz = Fuzz(service, SEED, authority.client(authority.sign("peer")))
        fuzz.run(SECONDS)
        LOGGER.info("%d conversations; %s, %s", fuzz.conversations, fuzz.begun_with, fuzz.held)
        answers = (f"{status:04X}: {n}" for status, n in sorted(fuzz.statuses.items()))
        LOGGER.info("Answered with %s", ", ".join(answers))
        # Requests of all kinds got through to where they are looked at.
        assert fuzz.statuses[0] > 0
        assert len(fuzz.statuses) > 3
        assert service.end() == 0
