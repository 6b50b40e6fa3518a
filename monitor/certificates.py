"""Until when our certificates are valid, as a peer would find."""

import ssl
from datetime import UTC, datetime
from pathlib import Path


class CertificateError(Exception):
    """A certificate is of no use; the text says why, for people."""


def valid_until(certificate: Path, key: Path, authorities: Path) -> datetime:
    """When the first of our certificate and the authorities' expires.

    The standard library reads a certificate only from a peer: so ours is shown in a handshake in
    memory, where it is trusted for itself.

    Raises
    ------
    CertificateError
        When one has expired, is not valid yet, or is not meant for this use.
    """
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    theirs.check_hostname = False
    theirs.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    theirs.load_verify_locations(certificate)
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(certificate, key)
    shown = _shake_hands(ours, theirs, certificate)
    known = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    known.load_verify_locations(authorities)
    ends = [_moment(str(shown["notAfter"]))]
    for authority in known.get_ca_certs():
        ends.append(_moment(str(authority["notAfter"])))
        if ends[-1] < datetime.now(UTC):
            raise CertificateError(f"{authorities}: an authority's certificate has expired")
    return min(ends)


def _shake_hands(
    ours: ssl.SSLContext, theirs: ssl.SSLContext, certificate: Path
) -> dict[str, object]:
    """The certificate that our side shows."""
    to_us, to_them = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = ours.wrap_bio(to_us, to_them, server_side=True)
    client = theirs.wrap_bio(to_them, to_us)
    for _ in range(4):  # two rounds are enough for TLS 1.2 and 1.3
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                text = f"{certificate}: {error.verify_message}"
                raise CertificateError(text) from error
            except ssl.SSLError as error:
                raise CertificateError(f"{certificate}: {error.reason}") from error
    return dict(client.getpeercert() or {})


def _moment(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)
