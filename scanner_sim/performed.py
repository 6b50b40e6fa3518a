"""What a scanner tells besides its images: performed procedure steps, and storage commitment."""

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

PERFORMED_STEP = "1.2.840.10008.3.1.2.3.3"
"""Modality Performed Procedure Step SOP Class (PS3.4, F.7)."""
COMMITMENT = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class (PS3.4, J.3), and its one instance."""
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
REQUEST_COMMITMENT = 1
ALL_COMMITTED = 1


def step_uid(images: Sequence[Dataset]) -> str:
    """The step's UID; the same for the same scan."""
    return str(generate_uid(entropy_srcs=["icemargin-sim-step", images[0].SeriesInstanceUID]))


def step_begun(images: Sequence[Dataset], station: str) -> Dataset:
    """N-CREATE's attributes for one scan (PS3.4, table F.7.2-1)."""
    first = images[0]
    scheduled = Dataset()
    scheduled.StudyInstanceUID = first.StudyInstanceUID
    scheduled.ReferencedStudySequence = []
    scheduled.AccessionNumber = first.AccessionNumber
    scheduled.RequestedProcedureID = ""
    scheduled.RequestedProcedureDescription = first.StudyDescription
    scheduled.ScheduledProcedureStepID = ""
    scheduled.ScheduledProcedureStepDescription = ""
    scheduled.ScheduledProtocolCodeSequence = []
    step = Dataset()
    step.SpecificCharacterSet = first.SpecificCharacterSet
    step.ScheduledStepAttributesSequence = [scheduled]
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID"):
        setattr(step, keyword, first[keyword].value)
    step.ReferencedPatientSequence = []
    step.PerformedProcedureStepID = str(first.SeriesNumber)
    step.PerformedStationAETitle = station
    step.PerformedStationName = first.StationName
    step.PerformedLocation = ""
    step.PerformedProcedureStepStartDate = first.SeriesDate
    step.PerformedProcedureStepStartTime = first.SeriesTime
    step.PerformedProcedureStepStatus = "IN PROGRESS"
    step.PerformedProcedureStepDescription = ""
    step.PerformedProcedureTypeDescription = ""
    step.ProcedureCodeSequence = []
    step.PerformedProcedureStepEndDate = ""
    step.PerformedProcedureStepEndTime = ""
    step.Modality = first.Modality
    step.PerformedProtocolCodeSequence = []
    step.PerformedSeriesSequence = []
    return step


def step_ended(images: Sequence[Dataset], status: str = "COMPLETED") -> Dataset:
    """N-SET's modifications at the end of one scan, with the list of its images."""
    first, last = images[0], images[-1]
    series = Dataset()
    series.PerformingPhysicianName = ""
    series.ProtocolName = first.get("ProtocolName") or first.SeriesDescription
    series.OperatorsName = ""
    series.SeriesInstanceUID = first.SeriesInstanceUID
    series.SeriesDescription = first.SeriesDescription
    series.RetrieveAETitle = ""
    series.ReferencedImageSequence = _references(images)
    series.ReferencedNonImageCompositeSOPInstanceSequence = []
    step = Dataset()
    step.SpecificCharacterSet = first.SpecificCharacterSet
    step.PerformedProcedureStepStatus = status
    step.PerformedProcedureStepEndDate = last.InstanceCreationDate
    step.PerformedProcedureStepEndTime = last.InstanceCreationTime
    step.PerformedSeriesSequence = [series]
    return step


def commitment_request(objects: Sequence[Dataset]) -> Dataset:
    """N-ACTION's information (PS3.4, table J.3-1)."""
    information = Dataset()
    information.TransactionUID = generate_uid()
    information.ReferencedSOPSequence = _references(objects)
    return information


def _references(objects: Sequence[Dataset]) -> list[Dataset]:
    references: list[Dataset] = []
    for one in objects:
        reference = Dataset()
        reference.ReferencedSOPClassUID = one.SOPClassUID
        reference.ReferencedSOPInstanceUID = one.SOPInstanceUID
        references.append(reference)
    return references
