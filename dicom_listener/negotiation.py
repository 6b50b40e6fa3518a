"""What an association is asked for, and what is offered (PS3.8, 7.1 and 9.3.2 to 9.3.4).

pynetdicom encodes and decodes.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import PresentationContext

from dicom_listener.file_meta import IMPLEMENTATION_CLASS_UID
from dicom_listener.messages import INVALID_PARAMETER, Context, ProtocolError
from dicom_listener.peers import Service
from dicom_listener.syntaxes import (
    ACCEPTED_SYNTAXES,
    UNCOMPRESSED,
    VERIFICATION,
    is_storage_class,
)

APPLICATION_CONTEXT_NAME: Final = "1.2.840.10008.3.1.1.1"
"""DICOM's one (PS3.7, A.2.1)."""

IMPLEMENTATION_VERSION_NAME: Final = "ICEMARGIN"

PERFORMED_STEP: Final = "1.2.840.10008.3.1.2.3.3"
"""Modality Performed Procedure Step SOP Class (PS3.4, F.7)."""

COMMITMENT: Final = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class (PS3.4, J.3)."""

COMMITMENT_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
"""Its one instance (PS3.4, J.3.5)."""

MINIMUM_PDU_BYTES: Final = 128
"""A caller that takes no more than this can't be meant."""

_PROTOCOL_VERSION = 0x0001
_ACCEPTED, _NO_ABSTRACT_SYNTAX, _NO_TRANSFER_SYNTAX = 0, 3, 4  # PS3.8, table 9-18


@dataclass(frozen=True)
class AssociationRequest:
    """An A-ASSOCIATE-RQ.

    Attributes
    ----------
    maximum_pdu_bytes
        Longest PDU that the caller takes; 0 is any.
    contexts
        Number, abstract syntax and transfer syntaxes of each that is proposed.
    """

    calling_ae_title: str
    called_ae_title: str
    has_our_version: bool
    application_context: str
    maximum_pdu_bytes: int
    contexts: tuple[tuple[int, str, tuple[str, ...]], ...]


def read_request(body: memoryview) -> AssociationRequest:
    """Parse what follows the six bytes of an A-ASSOCIATE-RQ PDU's header.

    Raises
    ------
    ProtocolError
        When it is none.
    """
    pdu = A_ASSOCIATE_RQ()
    try:
        pdu.decode(struct.pack(">BBL", 1, 0, len(body)) + bytes(body))
        primitive = pdu.to_primitive()
        request = AssociationRequest(
            str(primitive.calling_ae_title).strip(),
            str(primitive.called_ae_title).strip(),
            bool(pdu.protocol_version & _PROTOCOL_VERSION),
            str(primitive.application_context_name),
            primitive.maximum_length_received or 0,
            tuple(
                (
                    one.context_id or 0,
                    str(one.abstract_syntax),
                    tuple(str(uid) for uid in one.transfer_syntax),
                )
                for one in primitive.presentation_context_definition_list
            ),
        )
    except Exception as error:  # the edge to a peer's bytes: wrong ones raise anything
        raise ProtocolError(INVALID_PARAMETER, "The association request can't be read.") from error
    if 0 < request.maximum_pdu_bytes < MINIMUM_PDU_BYTES:
        raise ProtocolError(INVALID_PARAMETER, "The caller takes no PDU of a sensible length.")
    return request


def syntaxes_for(abstract_syntax: str, services: frozenset[Service]) -> Sequence[str]:
    """Transfer syntaxes that are taken for an abstract syntax, the preferred one first.

    Empty when it is not taken, or is of a service that this caller may not use.
    """
    if abstract_syntax == VERIFICATION:
        return UNCOMPRESSED
    if abstract_syntax == PERFORMED_STEP:
        return UNCOMPRESSED if "mpps" in services else ()
    if abstract_syntax == COMMITMENT:
        return UNCOMPRESSED if "commitment" in services else ()
    return ACCEPTED_SYNTAXES if "store" in services and is_storage_class(abstract_syntax) else ()


def negotiate(
    request: AssociationRequest, services: frozenset[Service], maximum_pdu_bytes: int
) -> tuple[Mapping[int, Context], bytes]:
    """The contexts that are accepted, and the A-ASSOCIATE-AC PDU that says so.

    Our order of transfer syntaxes is the one that counts.
    """
    accepted: dict[int, Context] = {}
    results: list[PresentationContext] = []
    for number, abstract_syntax, proposed in request.contexts:
        ours = syntaxes_for(abstract_syntax, services)
        chosen = next((syntax for syntax in ours if syntax in proposed), None)
        result = PresentationContext()
        result.context_id = number
        result.result = _ACCEPTED
        if chosen is not None:
            accepted[number] = Context(number, abstract_syntax, str(chosen))
        else:
            result.result = _NO_TRANSFER_SYNTAX if ours else _NO_ABSTRACT_SYNTAX
        result.transfer_syntax = [UID(chosen or UNCOMPRESSED[-1])]  # of no meaning when refused
        results.append(result)
    length = MaximumLengthNotification()
    length.maximum_length_received = maximum_pdu_bytes
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    answer = A_ASSOCIATE()
    answer.application_context_name = UID(APPLICATION_CONTEXT_NAME)
    answer.calling_ae_title = request.calling_ae_title
    answer.called_ae_title = request.called_ae_title
    answer.result, answer.result_source = 0x00, 0x01
    answer.presentation_context_definition_results_list = results
    answer.user_information = [length, implementation, version]
    pdu = A_ASSOCIATE_AC()
    pdu.from_primitive(answer)
    return accepted, pdu.encode()
