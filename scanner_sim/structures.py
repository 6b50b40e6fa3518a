"""The planning contours as an RT Structure Set (PS3.3 A.19)."""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
from contourpy import contour_generator
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage

from scanner_sim.dicom_ct import Identity
from scanner_sim.grid import F64, Grid
from scanner_sim.shapes import Shape

_STEP_MM = 0.4
_WOBBLE_MM = 9.0
"""Length over which a hand's error on the contour changes."""
_STUDY_SOP_CLASS = "1.2.840.10008.3.1.2.3.1"
_COLOURS = {"Tumour": [255, 160, 60], "Renal hilum": [120, 200, 255]}


def draw(
    shape: Shape, levels: F64, rng: np.random.Generator, error_mm: float
) -> list[tuple[int, F64]]:
    """Closed curves of a shape on axial planes: (index of the level, (n, 3) LPS mm)."""
    grid = Grid.covering(shape.box.grow(2), _STEP_MM)
    curves = []
    for n, z in enumerate(levels):
        if not shape.box.lower[2] < z < shape.box.upper[2]:
            continue
        plane = Grid(grid.x, grid.y, np.array([z]))
        distance = shape.distance(*plane.open)[0]
        for line in contour_generator(grid.x, grid.y, distance).lines(0.0):
            closed = np.asarray(line)[:-1]
            if len(closed) >= 8:
                drawn = _by_hand(closed[:: max(len(closed) // 60, 1)], rng, error_mm)
                curves.append((n, np.column_stack([drawn, np.full(len(drawn), z)])))
    return curves


def _by_hand(curve: F64, rng: np.random.Generator, error_mm: float) -> F64:
    """The curve moved along its normals by a smooth random amount."""
    if error_mm <= 0:
        return curve
    along = np.roll(curve, -1, axis=0) - np.roll(curve, 1, axis=0)
    normal = np.column_stack([along[:, 1], -along[:, 0]])
    normal /= np.linalg.norm(normal, axis=1)[:, None] + 1e-9
    length = float(np.linalg.norm(along, axis=1).sum() / 2)
    waves = max(int(length / _WOBBLE_MM), 1)
    phase = np.linspace(0, 2 * np.pi, len(curve), endpoint=False)
    weights = rng.normal(size=(waves, 2))
    wobble = sum(
        a * np.cos((n + 1) * phase) + b * np.sin((n + 1) * phase)
        for n, (a, b) in enumerate(weights)
    )
    return np.asarray(curve + error_mm / np.sqrt(waves) * np.asarray(wobble)[:, None] * normal)


def structure_set(
    identity: Identity,
    planning: Sequence[Dataset],
    shapes: Sequence[tuple[str, Shape]],
    *,
    at_s: float,
    rng: np.random.Generator,
    error_mm: float,
) -> Dataset:
    """The structure set drawn on the planning scan, every contour naming its image."""
    moment = identity.start + timedelta(seconds=at_s)
    dataset = identity.base(RTStructureSetStorage, identity.uid("structures"), moment)
    date, time = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S.%f")
    dataset.Modality = "RTSTRUCT"
    dataset.SeriesInstanceUID = identity.uid("structures-series")
    dataset.SeriesNumber = 900
    dataset.SeriesDate, dataset.SeriesTime = date, time
    dataset.SeriesDescription = "Planning contours"
    dataset.OperatorsName = ""
    dataset.InstanceNumber = "1"
    dataset.StructureSetLabel = "PLAN"
    dataset.StructureSetDate, dataset.StructureSetTime = date, time
    dataset.ApprovalStatus = "UNAPPROVED"
    dataset.ReferencedFrameOfReferenceSequence = [_referenced_frame(identity, planning)]
    dataset.StructureSetROISequence = []
    dataset.ROIContourSequence = []
    dataset.RTROIObservationsSequence = []
    levels = np.array([float(image.ImagePositionPatient[2]) for image in planning])
    for number, (name, shape) in enumerate(shapes, start=1):
        roi = Dataset()
        roi.ROINumber = number
        roi.ReferencedFrameOfReferenceUID = dataset.FrameOfReferenceUID
        roi.ROIName = name
        roi.ROIGenerationAlgorithm = "MANUAL"
        dataset.StructureSetROISequence.append(roi)
        contours = Dataset()
        contours.ReferencedROINumber = number
        contours.ROIDisplayColor = _COLOURS.get(name, [200, 200, 200])
        contours.ContourSequence = [
            _contour(points, planning[n]) for n, points in draw(shape, levels, rng, error_mm)
        ]
        dataset.ROIContourSequence.append(contours)
        observation = Dataset()
        observation.ObservationNumber = number
        observation.ReferencedROINumber = number
        observation.RTROIInterpretedType = "GTV" if number == 1 else "AVOIDANCE"
        observation.ROIInterpreter = ""
        dataset.RTROIObservationsSequence.append(observation)
    return dataset


def _contour(points: F64, image: Dataset) -> Dataset:
    """One closed planar contour on an image."""
    contour = Dataset()
    contour.ContourImageSequence = [_reference(image)]
    contour.ContourGeometricType = "CLOSED_PLANAR"
    contour.NumberOfContourPoints = len(points)
    contour.ContourData = [f"{value:.3f}" for value in points.ravel()]
    return contour


def _reference(image: Dataset) -> Dataset:
    """A reference to an image."""
    reference = Dataset()
    reference.ReferencedSOPClassUID = image.SOPClassUID
    reference.ReferencedSOPInstanceUID = image.SOPInstanceUID
    return reference


def _referenced_frame(identity: Identity, planning: Sequence[Dataset]) -> Dataset:
    """Frame of reference, study, series and images that the contours are drawn on."""
    series = Dataset()
    series.SeriesInstanceUID = planning[0].SeriesInstanceUID
    series.ContourImageSequence = [_reference(image) for image in planning]
    study = Dataset()
    study.ReferencedSOPClassUID = _STUDY_SOP_CLASS
    study.ReferencedSOPInstanceUID = planning[0].StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = identity.uid("frame")
    frame.RTReferencedStudySequence = [study]
    return frame
