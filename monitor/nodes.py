"""Whom the service calls, from the configuration: archives, the worklist, and peers."""

from dicom_listener.nodes import Node, Ourselves, Secure
from dicom_listener.tls import TlsError, TlsSettings, client_context
from monitor.config import Settings


def ourselves(settings: Settings) -> Ourselves:
    """As whom we call."""
    return Ourselves(settings.dicom.ae_title)


def archive_nodes(settings: Settings) -> tuple[Node, ...]:
    """The archives.

    Raises
    ------
    TlsError
        When one is called by TLS, and our files can't be used.
    """
    return tuple(
        Node(
            name=node.name,
            ae_title=node.ae_title,
            host=node.host,
            port=node.port,
            secure=_secure(settings, node.certificate_sha256) if node.tls else None,
        )
        for node in settings.archive.nodes
    )


def worklist_node(settings: Settings) -> Node | None:
    """The worklist; None when it is off.

    Raises
    ------
    TlsError
        As ``archive_nodes``.
    """
    worklist = settings.worklist
    if not worklist.host:
        return None
    return Node(
        name="The worklist",
        ae_title=worklist.ae_title,
        host=worklist.host,
        port=worklist.port,
        secure=_secure(settings, worklist.certificate_sha256) if worklist.tls else None,
    )


def peer_nodes(settings: Settings) -> tuple[Node, ...]:
    """Peers that we can call: those with a host. One that must call by TLS is called so too.

    Raises
    ------
    TlsError
        As ``archive_nodes``.
    """
    return tuple(
        Node(
            name=peer.name,
            ae_title=peer.ae_title,
            host=peer.host,
            port=peer.port,
            secure=_secure(settings, peer.certificate_sha256)
            if peer.tls_required or peer.certificate_sha256
            else None,
        )
        for peer in settings.dicom.peers
        if peer.host
    )


def tls_settings(settings: Settings) -> TlsSettings | None:
    """Our files and port for TLS; None when there is none."""
    tls = settings.tls
    if tls.certificate is None or tls.key is None or tls.authorities is None:
        return None
    return TlsSettings(tls.certificate, tls.key, tls.authorities, tls.port, tls.only)


def _secure(settings: Settings, fingerprints: list[str]) -> Secure:
    files = tls_settings(settings)
    if files is None:
        raise TlsError("tls: calls by TLS need certificate, key and authorities.")
    context = client_context(files, named_host=not fingerprints)
    return Secure(context, tuple(fingerprints))
