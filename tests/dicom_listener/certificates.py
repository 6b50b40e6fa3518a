"""Certificates for tests, made by the openssl command."""

import hashlib
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from dicom_listener.tls import TlsSettings

_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: Path
    key: Path

    @property
    def sha256(self) -> str:
        """Its fingerprint."""
        encoded = ssl.PEM_cert_to_DER_cert(self.certificate.read_text())
        return hashlib.sha256(encoded).hexdigest()


class Authority:
    """An authority with a folder for what it signs."""

    def __init__(self, openssl: str, folder: Path, name: str) -> None:
        self._openssl = openssl
        self._folder = folder / name
        self._folder.mkdir(parents=True)
        self.certificate = self._folder / "authority.pem"
        self._key = self._folder / "authority.key"
        self._run(
            *("req", "-x509", *_EC, "-subj", f"/O=Hospital/CN={name}", "-days", "30"),
            *("-keyout", self._key, "-out", self.certificate),
        )

    def sign(self, name: str) -> Pair:
        """A pair for somebody, for 127.0.0.1."""
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request, extensions = self._folder / f"{name}.csr", self._folder / "extensions"
        extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        self._run(
            *("req", "-new", *_EC, "-subj", f"/O=Hospital/CN={name}"),
            *("-keyout", pair.key, "-out", request),
        )
        self._run(
            *("x509", "-req", "-in", request, "-days", "30", "-CA", self.certificate),
            *("-CAkey", self._key, "-CAcreateserial", "-extfile", extensions),
            *("-out", pair.certificate),
        )
        return pair

    def settings(self, pair: Pair, *, only: bool = False) -> TlsSettings:
        """Of a listener that shows ``pair`` and trusts this authority."""
        return TlsSettings(pair.certificate, pair.key, self.certificate, port=0, only=only)

    def client(self, pair: Pair | None) -> ssl.SSLContext:
        """Of a caller that shows ``pair``, or nothing."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.certificate)
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        return context

    def _run(self, *arguments: str | Path) -> None:
        command = [self._openssl, *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
