"""What people have said of scans: which are rejected, corrected, approved."""

from monitor.decisions import Decision, ScanCorrected, ScanReviewed
from monitor.messages import Correction, Measurement, Reason, Review
from segmentation import correction


class Reviews:
    """The reviews of one procedure.

    A rejection is about the scan and holds, whatever it is measured against, until the scan is
    approved or corrected. So does a correction, until another takes its place. An approval is about
    one measurement and ends with it.
    """

    def __init__(self) -> None:
        self._corrected: dict[str, Decision] = {}
        self._rejected: dict[str, Decision] = {}
        self._approved: dict[str, Review] = {}

    def take(self, decision: Decision, review: ScanReviewed) -> None:
        """A person has reviewed a scan."""
        series_uid = review.series_instance_uid
        if review.verdict == "rejected":
            self._rejected[series_uid] = decision
            self._approved.pop(review.measurement_id, None)
            return
        self._rejected.pop(series_uid, None)
        self._approved[review.measurement_id] = Review(
            verdict="approved", by=decision.by, at=decision.at, reason=review.reason
        )

    def correct(self, decision: Decision, wanted: ScanCorrected) -> None:
        """It is measured in another way from now on: a rejection is over."""
        self._rejected.pop(wanted.series_instance_uid, None)
        self._corrected[wanted.series_instance_uid] = decision
        if not (wanted.baseline_series_instance_uid or wanted.seed_lps_mm or wanted.nudge_mm):
            del self._corrected[wanted.series_instance_uid]

    def baseline_of(self, series_uid: str) -> str | None:
        """The series that a person wants it to be compared with; None: the usual one."""
        what = self._correction_of(series_uid)
        return what.baseline_series_instance_uid if what is not None else None

    def correction_of(self, series_uid: str) -> correction.Correction:
        """What is put right in its measurement."""
        what = self._correction_of(series_uid)
        if what is None:
            return correction.NONE
        return correction.Correction(what.nudge_mm, what.seed_lps_mm)

    def _correction_of(self, series_uid: str) -> ScanCorrected | None:
        decision = self._corrected.get(series_uid)
        if decision is None:
            return None
        assert isinstance(decision.what, ScanCorrected)
        return decision.what

    def rejection_of(self, series_uid: str) -> Reason | None:
        """Why a scan is rejected; None when it is not."""
        decision = self._rejected.get(series_uid)
        if decision is None:
            return None
        assert isinstance(decision.what, ScanReviewed)
        return Reason(code="rejected", text=f"Rejected by {decision.by}: {decision.what.reason}")

    def shown(self, measurement: Measurement) -> Measurement:
        """The measurement with its approval and its correction, if it has them."""
        decision = self._corrected.get(measurement.series_instance_uid)
        what = self._correction_of(measurement.series_instance_uid)
        corrected = None
        if decision is not None and what is not None:
            corrected = Correction(
                baseline_series_instance_uid=what.baseline_series_instance_uid,
                seed_lps_mm=what.seed_lps_mm,
                nudge_mm=what.nudge_mm,
                by=decision.by,
                at=decision.at,
                note=what.note,
            )
        review = self._approved.get(measurement.id)
        return measurement.model_copy(update={"review": review, "correction": corrected})

    def basis_of(self, series_uid: str) -> str:
        """What holds of a scan, for ``Measurement.basis``; empty when nothing was said of it."""
        held = (self._rejected.get(series_uid), self._corrected.get(series_uid))
        return " ".join(decision.id for decision in held if decision is not None)
