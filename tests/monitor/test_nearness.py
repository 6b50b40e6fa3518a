"""Warning distances: each structure's own, the site's by its name, the hilum's."""

from dataclasses import replace
from pathlib import Path

import pytest

from monitor.alerts import AlertBook
from monitor.config import StructuresSection
from monitor.drawings import USUAL_NAMING
from monitor.messages import AlertState, Condition
from monitor.nearness import of_distances
from monitor.procedure import Procedure
from segmentation.structures import Structure
from tests.monitor.made import at, distance, measurement, procedure
from tests.segmentation.shapes import ball_field


def with_structures(*names: str) -> Procedure:
    """A procedure with a tumour, a hilum and these; the site warns as the defaults say."""
    naming = replace(USUAL_NAMING, warning_mm=StructuresSection().warning_mm)
    made = procedure(derived=Path("derived"), naming=naming)
    assert made.drawings.structures is not None
    others = tuple(Structure(name, "other", ball_field(8, step_mm=4)) for name in names)
    made.drawings.structures = (*made.drawings.structures, *others)
    return made


@pytest.mark.parametrize(
    ("name", "limit_mm"),
    [
        ("Ureter left", 10),
        ("COLON desc.", 10),
        ("Small bowel", 10),
        ("Renal pelvis", 4),
        ("Calyces", 4),
        ("Spleen", None),
    ],
)
def test_the_sites_distances(name: str, limit_mm: float | None) -> None:
    assert StructuresSection().warning_mm(name) == limit_mm


def test_each_structure_has_an_alert_of_its_own() -> None:
    made = with_structures("Ureter", "Colon", "Spleen")
    near = [distance(3.19, "Ureter"), distance(-0.31, "Colon"), distance(1, "Spleen")]
    found = of_distances(measurement(structures=near), made, 5, [])
    said = {f.subject: (f.present, f.limit, f.text) for f in found if f.subject}
    assert said == {
        "Ureter": (True, 10, "Ice 3.1 mm from Ureter."),
        "Colon": (True, 10, "Ice OVERLAPS Colon by 0.4 mm."),
    }
    book = AlertBook("p", worsened=1)
    for finding in found:
        book.consider(finding, at(0))
    assert book.subjects(Condition.STRUCTURE_NEAR) == {"Ureter", "Colon"}
    colon = next(alert for alert in book if alert.subject == "Colon")
    book.acknowledge(colon.id, by="console", note=None, at=at(1))
    farther = [distance(12, "Ureter"), distance(-0.31, "Colon")]
    for finding in of_distances(measurement(structures=farther), made, 5, []):
        book.consider(finding, at(2))
    states = {alert.subject: alert.state for alert in book}
    assert states == {
        "Ureter": AlertState.LATCHED,
        "Colon": AlertState.ACTIVE_ACKNOWLEDGED,
    }


def test_the_alert_of_a_structure_that_is_not_in_use_any_more_ends() -> None:
    (found,) = [
        f
        for f in of_distances(measurement(), with_structures(), 5, ["Ureter"])
        if f.condition is Condition.STRUCTURE_NEAR
    ]
    assert (found.subject, found.present) == ("Ureter", False)


@pytest.mark.parametrize(("value", "present"), [(4.9, True), (5.0, False)])
def test_the_hilum_has_the_sites_limit(value: float, present: bool) -> None:
    (found,) = of_distances(measurement(hilum_mm=value), with_structures(), 5, [])
    assert (found.condition, found.present, found.limit) == (Condition.HILUM_NEAR, present, 5)


def test_the_alert_of_a_hilum_that_is_not_in_use_any_more_ends() -> None:
    made = with_structures()
    assert made.drawings.structures is not None
    made.drawings.structures = made.drawings.structures[:1]
    (found,) = of_distances(measurement(structures=[]), made, 5, [])
    assert (found.condition, found.present) == (Condition.HILUM_NEAR, False)
