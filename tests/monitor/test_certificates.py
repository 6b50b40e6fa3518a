"""Until when certificates are valid."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor.certificates import CertificateError, valid_until
from tests.conftest import needed
from tests.dicom_listener.certificates import Authority, Pair

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Its own certificate, and those it signs, are good for 30 days."""
    return Authority(needed("openssl", "openssl"), tmp_path_factory.mktemp("ca"), "hospital")


def openssl(*arguments: str | Path) -> None:
    command = [needed("openssl", "openssl"), *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)


def self_signed(folder: Path, *arguments: str) -> Pair:
    """A certificate of one's own."""
    pair = Pair(folder / "own.pem", folder / "own.key")
    openssl(
        *("req", "-x509", "-nodes", "-subj", "/CN=own", "-newkey", "rsa:2048"),
        *("-keyout", str(pair.key), "-out", str(pair.certificate), *arguments),
    )
    return pair


def expired(folder: Path) -> Pair:
    """The same, of yesterday."""
    pair = self_signed(folder)
    old = folder / "old.pem"
    openssl("x509", "-in", pair.certificate, "-signkey", pair.key, "-days", "-1", "-out", old)
    return Pair(old, pair.key)


def ends_in(days: int, moment: datetime) -> bool:
    return abs(moment - datetime.now(UTC) - timedelta(days=days)) < timedelta(hours=1)


def test_the_first_one_that_ends(hospital: Authority, tmp_path: Path) -> None:
    long = self_signed(tmp_path, "-days", "400")
    assert ends_in(30, valid_until(long.certificate, long.key, hospital.certificate))
    assert ends_in(400, valid_until(long.certificate, long.key, long.certificate))
    ours = hospital.sign("ours")
    assert ends_in(30, valid_until(ours.certificate, ours.key, long.certificate))


def test_one_that_has_ended(hospital: Authority, tmp_path: Path) -> None:
    old = expired(tmp_path)
    with pytest.raises(CertificateError, match="expired"):
        valid_until(old.certificate, old.key, hospital.certificate)
    ours = hospital.sign("ours")
    with pytest.raises(CertificateError, match="authority's certificate has expired"):
        valid_until(ours.certificate, ours.key, old.certificate)


def test_one_that_is_for_something_else(hospital: Authority, tmp_path: Path) -> None:
    """Callers would turn away from it."""
    other = self_signed(tmp_path, "-addext", "extendedKeyUsage=codeSigning")
    with pytest.raises(CertificateError, match="purpose"):
        valid_until(other.certificate, other.key, hospital.certificate)
