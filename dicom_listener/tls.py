"""TLS, on the listener's second port and in our own calls: both sides show a certificate (PS3.15,
annex B)."""

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import cast


class TlsError(Exception):
    """The files can't be used; the text says which, why, and what to do."""


@dataclass(frozen=True)
class TlsSettings:
    """The second port.

    Attributes
    ----------
    certificate, key, authorities
        Files in PEM format: ours with those between it and its authority, its private key without
        a password, and the authorities that callers' certificates must come from.
    port
        Port 0 takes a free one.
    only
        No port without TLS.
    """

    certificate: Path
    key: Path
    authorities: Path
    port: int = 2762
    only: bool = False


@dataclass(frozen=True)
class Certificate:
    """What a caller has shown.

    Attributes
    ----------
    subject
        As in ``CN=ct1,O=Hospital``.
    sha256
        Fingerprint: 64 lower-case hexadecimal digits.
    """

    subject: str
    sha256: str


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """TLS 1.2 or newer, with a certificate of the caller's.

    Raises
    ------
    TlsError
        When one of the files can't be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0  # nobody comes in by a certificate that was shown some other day
    _load(context, settings)
    return context


def client_context(settings: TlsSettings, *, named_host: bool) -> ssl.SSLContext:
    """TLS 1.2 or newer for a call of ours, with a certificate of the peer's.

    ``named_host``: the certificate must name the host that is called. Without this, who calls must
    know the certificate by its fingerprint, for any of the authorities' would do.

    Raises
    ------
    TlsError
        When one of the files can't be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = named_host
    _load(context, settings)
    return context


def _load(context: ssl.SSLContext, settings: TlsSettings) -> None:
    """Give a context our files."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for key, path in (
        ("certificate", settings.certificate),
        ("key", settings.key),
        ("authorities", settings.authorities),
    ):
        try:
            path.read_bytes()
        except OSError as error:
            raise TlsError(
                f"tls.{key}: {path} can't be read: {error.strerror}. Name a file in PEM format "
                "that the service may read."
            ) from error
    try:
        # Without a password OpenSSL would ask for one at the terminal, and wait.
        context.load_cert_chain(settings.certificate, settings.key, password=lambda: "-")
    except (ssl.SSLError, OSError) as error:
        raise TlsError(
            f"tls.certificate and tls.key: {settings.certificate} and {settings.key} can't be used "
            f"together: {_reason(error)}. Both must be in PEM format, the key without a password, "
            "and of this certificate."
        ) from error
    try:
        context.load_verify_locations(settings.authorities)
    except (ssl.SSLError, OSError) as error:
        raise TlsError(
            f"tls.authorities: {settings.authorities} holds no certificate: {_reason(error)}. Put "
            "the certificates of the authorities there, in PEM format."
        ) from error


def shown_certificate(connection: ssl.SSLSocket) -> Certificate:
    """The caller's certificate, after the handshake has verified it."""
    encoded = connection.getpeercert(binary_form=True) or b""
    parsed = connection.getpeercert() or {}
    subject = cast("tuple[tuple[tuple[str, str], ...], ...]", parsed.get("subject", ()))
    names = [f"{_SHORT.get(kind, kind)}={value}" for part in subject for kind, value in part]
    return Certificate(",".join(reversed(names)), hashlib.sha256(encoded).hexdigest())


_SHORT = {
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
}
"""Of RFC 4514."""


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no PEM").replace("_", " ").lower()
    return str(error.strerror)
