"""What people have said of scans: which are rejected, and which measurements are approved."""

from monitor.decisions import Decision, ScanReviewed
from monitor.messages import Measurement, Reason, Review


class Reviews:
    """The reviews of one procedure.

    A rejection is about the scan and holds, whatever it is measured against, until the scan is
    approved or corrected. An approval is about one measurement and ends with it.
    """

    def __init__(self) -> None:
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

    def lift(self, series_uid: str) -> None:
        """It is measured again in another way: what was said of it is over."""
        self._rejected.pop(series_uid, None)

    def rejection_of(self, series_uid: str) -> Reason | None:
        """Why a scan is rejected; None when it is not."""
        decision = self._rejected.get(series_uid)
        if decision is None:
            return None
        assert isinstance(decision.what, ScanReviewed)
        return Reason(code="rejected", text=f"Rejected by {decision.by}: {decision.what.reason}")

    def shown(self, measurement: Measurement) -> Measurement:
        """The measurement with its approval, if it has one."""
        review = self._approved.get(measurement.id)
        return measurement.model_copy(update={"review": review})

    def basis_of(self, series_uid: str) -> str:
        """The rejection that holds, for ``Measurement.basis``; empty when none does."""
        decision = self._rejected.get(series_uid)
        return decision.id if decision is not None else ""
