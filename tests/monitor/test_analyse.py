"""``icemargin analyse``: folders in, measurements and segmentations out, no network."""

import contextlib
import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from pydantic import TypeAdapter

from monitor.cli import main
from monitor.messages import Assessment, Measurement, Role
from tests.quick_case import QuickCase, changed
from tests.seg_objects import dice, read_segmentation

MEASUREMENTS = TypeAdapter(list[Measurement])


@dataclass(frozen=True)
class Analysed:
    """What came of it."""

    status: int
    said: str
    output: Path

    @property
    def measurements(self) -> list[Measurement]:
        """As written."""
        return MEASUREMENTS.validate_json((self.output / "measurements.json").read_bytes())


@pytest.fixture(scope="module")
def analysed(quick: QuickCase, tmp_path_factory: pytest.TempPathFactory) -> Analysed:
    """The quick case, with files between its own that do not belong there."""
    root = tmp_path_factory.mktemp("analyse")
    folder = root / "in"
    shutil.copytree(quick.folder, folder)
    (folder / "readme.txt").write_text("These are scans.")
    (folder / "empty.dcm").touch()
    whole = quick.monitoring[0].files[3].read_bytes()
    (folder / "half.dcm").write_bytes(whole[: len(whole) // 2])
    shutil.copy(quick.monitoring[0].files[3], folder / "copy.dcm")
    with contextlib.redirect_stdout(io.StringIO()) as said:
        status = main(["analyse", str(folder), "--out", str(root / "out")])
    return Analysed(status, said.getvalue(), root / "out")


def test_every_series_has_its_measurement(analysed: Analysed, quick: QuickCase) -> None:
    assert analysed.status == 0
    scans = (quick.planning, quick.baseline, *quick.monitoring)
    assert [(m.series_instance_uid, m.role) for m in analysed.measurements] == [
        (scan.uid, Role(scan.role)) for scan in scans
    ]


def test_figures_agree_with_the_truth(analysed: Analysed, quick: QuickCase) -> None:
    measured = {m.series_instance_uid: m for m in analysed.measurements}
    for scan in quick.monitoring:
        found = measured[scan.uid]
        assert found.assessment is Assessment.FINAL
        assert found.tumour is not None
        assert found.tumour.margin_mm.value == pytest.approx(scan.margin_mm, abs=3.0)
        (hilum,) = found.structures
        assert hilum.distance_mm.value == pytest.approx(scan.hilum_distance_mm, abs=3.0)


def test_measurements_are_a_plain_list(analysed: Analysed) -> None:
    written = json.loads((analysed.output / "measurements.json").read_text())
    assert isinstance(written, list)
    times = [m.acquired_at for m in analysed.measurements]
    assert times == sorted(times)


def test_each_measured_scan_has_its_segmentation(analysed: Analysed, quick: QuickCase) -> None:
    expected = {f"{scan.uid}.seg.dcm" for scan in quick.monitoring} | {"measurements.json"}
    assert {path.name for path in analysed.output.iterdir()} == expected
    for scan in quick.monitoring:
        content = (analysed.output / f"{scan.uid}.seg.dcm").read_bytes()
        found = read_segmentation(content)
        assert dice(found.masks["Ice ball"], scan.ice()) > 0.8
        source = pydicom.dcmread(scan.files[0])
        assert found.dataset.FrameOfReferenceUID == source.FrameOfReferenceUID


def test_the_table(analysed: Analysed, quick: QuickCase) -> None:
    patient = pydicom.dcmread(quick.planning.files[0]).PatientID
    assert f"Procedure {patient}" in analysed.said
    rows = [line for line in analysed.said.splitlines() if " monitoring " in line]
    assert len(rows) == 2
    for row, measured in zip(rows, analysed.measurements[2:], strict=True):
        assert measured.tumour is not None
        assert f"{measured.tumour.margin_mm.value:.1f}" in row
        assert "Renal hilum" in row
    assert "Not a medical device" in analysed.said


def test_files_that_are_none_are_told_and_passed_over(analysed: Analysed) -> None:
    assert "3 files passed over" in analysed.said
    for name in ("readme.txt", "empty.dcm", "half.dcm"):
        (line,) = [line for line in analysed.said.splitlines() if f"  {name}: " in line]
        assert line.split(": ", 1)[1].strip()


def test_two_patients_are_two_procedures(quick: QuickCase, tmp_path: Path) -> None:
    """No identity alert where folders are analysed; and nobody's scans are another's."""

    def other(dataset: pydicom.FileDataset) -> None:
        dataset.PatientID = "OTHER"
        dataset.StudyInstanceUID = f"{dataset.StudyInstanceUID[:60]}.9"
        dataset.SeriesInstanceUID = f"{dataset.SeriesInstanceUID[:60]}.9"
        dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID[:60]}.9"

    one = tmp_path / "in" / "one"
    shutil.copytree(quick.planning.folder, one / "planning")
    shutil.copytree(quick.structures, one / "structures")
    scan = quick.baseline.folder
    changed(scan, tmp_path / "in" / "two", other)
    assert main(["analyse", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    written = MEASUREMENTS.validate_json((tmp_path / "out" / "measurements.json").read_bytes())
    assert [m.role for m in written] == [Role.PLANNING]


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyse", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    assert "none: no such folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_without_scans(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert main(["analyse", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out" / "measurements.json").read_text()) == []
