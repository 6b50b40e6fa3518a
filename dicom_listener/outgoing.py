"""A DICOM file on its way to a peer: what is proposed for it, and in which encoding it is sent.

A file is sent in its own transfer syntax where the peer takes that, byte for byte. Where it does
not, and nothing is lost by it, the file is encoded anew: native pixel data as Explicit or Implicit
VR, losslessly compressed ones after decompression. What is compressed lossily is never decompressed
(its mark would be lost), and big endian is not converted: nothing of ours is.
"""

import mmap
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicom_listener.association import Association, Context, Proposal
from dicom_listener.encoded import DatasetError, parse_dataset, split_syntax
from dicom_listener.nodes import CallError
from dicom_listener.syntaxes import LOSSLESS_COMPRESSED, UNCOMPRESSED, is_uid

_UIDS: Final = (int(Tag("SOPClassUID")), int(Tag("SOPInstanceUID")))
_PART_BYTES: Final = 1 << 20

CONVERTIBLE: Final = frozenset(
    (*UNCOMPRESSED, DeflatedExplicitVRLittleEndian, *LOSSLESS_COMPRESSED)
)
"""Transfer syntaxes that can be undone without loss."""


class OutgoingError(ValueError):
    """A file that can't be sent to anybody; the text is one sentence."""


@dataclass(frozen=True)
class Outgoing:
    """A DICOM file that is whole, and what it holds: the UIDs are those of its data set.

    Attributes
    ----------
    offset
        Where its data set begins, in bytes.
    """

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    offset: int

    @classmethod
    def read(cls, path: Path) -> "Outgoing":
        """Look at a file.

        Raises
        ------
        OutgoingError
            When it is no DICOM file, is cut off, or does not say what it holds.
        OSError
            When it can't be read.
        """
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise OutgoingError("The file is empty.")
            # Not closed by hand: views of it may live on in the traceback of an error.
            view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        try:
            syntax, offset = split_syntax(view)
            values = parse_dataset(view[offset:], syntax, _UIDS).values
        except DatasetError as error:
            raise OutgoingError(error.text) from error
        uids = [values.get(tag, b"").decode("ascii", "replace").strip(" \0") for tag in _UIDS]
        if not all(is_uid(uid) for uid in (*uids, syntax)):
            raise OutgoingError("The file lacks one of its UIDs, or has a wrong one.")
        return cls(path, uids[0], uids[1], syntax, offset)

    def proposals(self) -> tuple[Proposal, ...]:
        """Presentation contexts for it: one for each syntax, for of several the peer would choose.

        The file's own comes first.
        """
        syntaxes = [self.transfer_syntax_uid]
        if self.transfer_syntax_uid in CONVERTIBLE:
            syntaxes += [uid for uid in UNCOMPRESSED if uid != self.transfer_syntax_uid]
        return tuple((self.sop_class_uid, (syntax,)) for syntax in syntaxes)

    def context(self, association: Association) -> Context:
        """The best of the accepted contexts.

        Raises
        ------
        CallError
            ``no_context``.
        """
        for sop_class, syntaxes in self.proposals():
            try:
                return association.context(sop_class, syntaxes[0])
            except CallError:
                continue
        return association.context(self.sop_class_uid, self.transfer_syntax_uid)

    def data(self, transfer_syntax_uid: str) -> Iterable[bytes]:
        """The data set in one of the proposed syntaxes, in parts.

        Raises
        ------
        OutgoingError
            When it can't be encoded so.
        OSError
            When it can't be read, perhaps only while it goes on.
        """
        if transfer_syntax_uid == self.transfer_syntax_uid:
            return self._parts()
        return [self._converted(transfer_syntax_uid)]

    def _parts(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            while part := file.read(_PART_BYTES):
                yield part

    def _converted(self, transfer_syntax_uid: str) -> bytes:
        try:
            dataset = pydicom.dcmread(self.path)
            if self.transfer_syntax_uid in LOSSLESS_COMPRESSED:
                dataset.decompress(generate_instance_uid=False)
            return _encode(dataset, implicit=transfer_syntax_uid == ImplicitVRLittleEndian)
        except OSError:
            raise
        except (
            InvalidDicomError,
            AttributeError,
            LookupError,
            NotImplementedError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            raise OutgoingError(f"The file can't be encoded anew ({error}).") from error


def _encode(dataset: Dataset, *, implicit: bool) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = implicit
    buffer.is_little_endian = True
    write_dataset(buffer, dataset)
    return buffer.getvalue()
