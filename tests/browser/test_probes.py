"""Probes and nephrometry on the page: drawn in the slices, listed, taken out and put back."""

from collections.abc import Iterator

import pytest

from tests.browser.conftest import PATIENCE_MS, Open, Watched
from tests.browser.test_page import send_procedure
from tests.quick_case import QuickCase
from tests.service import RunningService, running_service
from tests.waiting import until

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def service(
    quick: QuickCase, storescu: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """A service on which the quick procedure was measured."""
    with running_service(tmp_path_factory.mktemp("probes")) as service:
        send_procedure(service, storescu, quick)
        yield service


def drawn(watched: Watched, plane: str) -> set[str]:
    """Numbers of the probes in a slice."""
    view = watched.page.get_by_test_id(f"view-{plane}")
    view.wait_for(timeout=PATIENCE_MS)
    return set(view.locator("text").all_text_contents())


def wait_for(watched: Watched, plane: str, *numbers: str) -> None:
    until(lambda: drawn(watched, plane) == set(numbers), f"{numbers} in the {plane} slice")


def press_twice(watched: Watched, test_id: str) -> None:
    button = watched.page.get_by_test_id(test_id)
    button.click(timeout=PATIENCE_MS)
    asked = watched.page.evaluate("performance.now()")
    # The second press of a double click is no answer.
    watched.page.wait_for_function("asked => performance.now() - asked > 400", arg=asked)
    button.click()


def test_probes_are_drawn_listed_taken_out_and_put_back(
    service: RunningService, open_page: Open
) -> None:
    display = open_page(service.page)
    console = open_page(f"{service.page}console.html#probes")
    for plane in ("axial", "coronal", "sagittal"):
        wait_for(display, plane, "1", "2")
    console.wait_for_text("probe-count", "2 probes")
    (spacing,) = _spacings(service)
    assert f"{round(spacing)} mm to 2" in console.text("probe-1")
    assert "it is none" in console.text("probe-1").lower()

    press_twice(console, "remove-1")
    console.wait_for_text("probe-count", "1 probe, 1 taken out")
    wait_for(display, "axial", "2")
    assert "–" in console.text("probe-2")

    console.page.get_by_test_id("restore-1").click()
    console.wait_for_text("probe-count", "2 probes")
    wait_for(display, "axial", "1", "2")
    record = open_page(f"{service.page}console.html#procedure")
    assert "put probe 1 back" in record.text("decisions")
    assert "took probe 1 out" in record.text("decisions")
    assert display.errors == console.errors == record.errors == []


def _spacings(service: RunningService) -> list[float]:
    procedure = service.procedure()
    assert procedure is not None
    return [spacing["zones_mm"] for spacing in procedure["probes"]["spacings"]]


def test_nephrometry_is_marked_as_computed(service: RunningService, open_page: Open) -> None:
    """A tumour of 20 mm and a hilum; no other structure."""
    watched = open_page(f"{service.page}console.html#procedure")
    said = watched.text("nephrometry")
    assert "computed" in said
    assert "no score" in said
    assert watched.text("greatest-diameter") in {"2.0 cm", "2.1 cm", "2.2 cm"}  # with bumps
    assert "\t1\t" in watched.text("item-R")
    assert "open" in watched.text("item-L")
    assert "at least" in watched.text("item-N")
    assert "No bowel is contoured." in watched.text("item-bowel")
    assert watched.errors == []
