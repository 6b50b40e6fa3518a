"""The modality worklist, as it goes over the wire."""

from pydantic import AwareDatetime

from monitor.wire import Wire


class ScheduledStep(Wire):
    """One scheduled procedure step of the worklist."""

    patient_id: str
    patient_name: str
    patient_birth_date: str
    accession_number: str
    study_instance_uid: str
    procedure_description: str
    step_description: str
    step_id: str
    scheduled_at: AwareDatetime
    modality: str
    station_ae_title: str


class Worklist(Wire):
    """Who is scheduled, as the worklist has last answered."""

    configured: bool
    asked_at: AwareDatetime | None
    problem: str | None
    more: bool
    steps: list[ScheduledStep]
