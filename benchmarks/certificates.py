"""A certificate for service and peers alike, made by openssl."""

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


class CertificateError(RuntimeError):
    """It can't be made; the message says why."""


@dataclass(frozen=True)
class Certificate:
    """One that is its own authority. Files in PEM format."""

    certificate: Path
    key: Path

    @staticmethod
    def make(folder: Path) -> "Certificate":
        """A new one, for a day.

        Raises
        ------
        CertificateError
            There is no openssl.
        """
        program = shutil.which("openssl")
        if program is None:
            raise CertificateError("openssl is missing: install the Debian package openssl.")
        made = Certificate(folder / "certificate.pem", folder / "key.pem")
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
        files = ["-keyout", str(made.key), "-out", str(made.certificate)]
        command = [program, "req", "-x509", *kind, "-subj", "/O=Benchmark/CN=peer", *files]
        subprocess.run(command, check=True, capture_output=True)
        return made

    def settings(self) -> dict[str, str]:
        """Of a service that shows it, and lets in who shows it."""
        return {
            "TLS__PORT": "0",
            "TLS__CERTIFICATE": str(self.certificate),
            "TLS__KEY": str(self.key),
            "TLS__AUTHORITIES": str(self.certificate),
        }

    def client(self) -> ssl.SSLContext:
        """Of a peer that shows it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # it names nobody
        context.load_verify_locations(self.certificate)
        context.load_cert_chain(self.certificate, self.key)
        return context
