"""Margins, distances and covered fractions against spheres and ellipsoids."""

from dataclasses import dataclass

import numpy as np
import pytest

from segmentation.distances import covered_fraction, gap, least_depth
from segmentation.rigid import Rigid
from segmentation.sampling import grid_around, resample
from segmentation.structures import Kind, Structure, solid_from_contours
from segmentation.surface import Surface, surface_of
from segmentation.volume import Volume
from tests.segmentation.ellipsoids import Ellipsoid, turned
from tests.segmentation.shapes import ball_field

STILL = Rigid.identity()
SPACINGS_MM = (0.8, 1.25, 2.5, 3.0, 5.0)
HALF_AXES_MM = {
    "spheres": ((12, 12, 12), (20, 20, 20), (13, 13, 13)),
    "ellipsoids": ((15, 11, 9), (24, 18, 20), (10, 14, 20)),
}
"""Of tumour, ice and hilum."""

PLACES = 4
"""Positions relative to the grid for every spacing; every other one has oblique contours."""

MEAN_MM, WORST_MM = 0.25, 0.7
COVERED = 0.03


@dataclass(frozen=True, eq=False)
class Scene:
    """Shapes, how they were drawn, and the exact answers."""

    tumour: Ellipsoid
    ice: Ellipsoid
    hilum: Ellipsoid
    drawn: tuple[Structure, Structure]
    margin_mm: float
    distance_mm: float
    covered: dict[int, float]


def scene(shape: str, spacing_mm: float, generator: np.random.Generator, place: int) -> Scene:
    sizes = [np.array(size, dtype=np.float64) for size in HALF_AXES_MM[shape]]
    turns = [np.eye(3) if shape == "spheres" else turned(generator) for _ in range(3)]
    middle = generator.uniform(-4, 4, 3)
    tumour = Ellipsoid(middle, sizes[0], turns[0])
    ice = Ellipsoid(middle + generator.uniform(-7, 7, 3), sizes[1], turns[1])
    away = turned(generator)[:, 0] * generator.uniform(26, 45)
    hilum = Ellipsoid(ice.centre + away, sizes[2], turns[2])
    planes = np.eye(3) if place % 2 == 0 else turned(generator, 30)
    pairs: tuple[tuple[Kind, Ellipsoid], ...] = (("tumour", tumour), ("hilum", hilum))
    drawn = [
        solid_from_contours(
            kind, kind, solid.contours(spacing_mm, generator.uniform(0, spacing_mm), planes)
        )
        for kind, solid in pairs
    ]
    depth = ice.depth(tumour.filling())
    return Scene(
        tumour=tumour,
        ice=ice,
        hilum=hilum,
        drawn=(drawn[0], drawn[1]),
        margin_mm=float(ice.depth(tumour.surface()).min()),
        distance_mm=-float(hilum.depth(ice.surface()).max()),
        covered={step: float((depth >= step).mean()) for step in (0, 5, 10)},
    )


def errors(of: Scene, field: Volume) -> tuple[list[float], float]:
    """Of margin, distance, worst and nearest point in mm, and of the covered fractions."""
    ice = surface_of(field)
    tumour, hilum = of.drawn
    worst = least_depth(ice, tumour, STILL)
    found = gap(ice, hilum, STILL)
    point, nearest = worst.point_lps_mm[None], found.point_lps_mm[None]
    # The places themselves are ill-defined where shapes run parallel; what holds there is not.
    wrong_mm = [
        worst.depth_mm - of.margin_mm,
        found.distance_mm - of.distance_mm,
        float(of.ice.depth(point)[0]) - of.margin_mm,
        float(of.tumour.depth(point)[0]),
        float(of.hilum.depth(nearest)[0]),
    ]
    if of.distance_mm > 0:
        wrong_mm.append(-float(of.ice.depth(nearest)[0]) - of.distance_mm)
    covered = covered_fraction(ice, tumour, STILL)
    return wrong_mm, max(abs(covered[step] - share) for step, share in of.covered.items())


@pytest.mark.parametrize("shape", HALF_AXES_MM)
def test_exact_at_every_slice_spacing(shape: str) -> None:
    table = [f"{shape}: spacing, field, mean and worst error of mm, worst of covered fractions"]
    good = True
    for spacing_mm in SPACINGS_MM:
        found: dict[str, list[list[float]]] = {"slices": [], "1 mm": []}
        shares: dict[str, list[float]] = {"slices": [], "1 mm": []}
        for place in range(PLACES):
            generator = np.random.default_rng(1000 + place)
            case = scene(shape, spacing_mm, generator, place)
            axes = np.eye(3) if place % 3 else turned(generator, 15)
            slices = case.ice.scanned(spacing_mm, axes, generator)
            grid = grid_around(slices, slices.corners_lps_mm, 0.0, 1.0)
            fields = {"slices": slices, "1 mm": resample(slices, grid, outside=-1.0)}
            for name, field in fields.items():
                wrong_mm, share = errors(case, field)
                found[name].append(wrong_mm)
                shares[name].append(share)
        for name, rows in found.items():
            # Margin and distance each for themselves: neither may hide behind the other.
            means = [float(np.mean([abs(row[n]) for row in rows])) for n in (0, 1)]
            worst = max(abs(value) for row in rows for value in row)
            good &= max(means) <= MEAN_MM and worst <= WORST_MM and max(shares[name]) <= COVERED
            table.append(
                f"{spacing_mm:5.2f} {name:7} {means[0]:.2f} {means[1]:.2f} {worst:.2f} "
                f"{max(shares[name]):.3f}"
            )
    assert good, "\n".join(table)


def ball(
    kind: str, radius_mm: float, centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> Structure:
    field = ball_field(radius_mm, centre)
    return Structure(kind, "tumour" if kind == "tumour" else "hilum", field)


def ice_ball(radius_mm: float, centre: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Surface:
    return surface_of(ball_field(radius_mm, centre))


def moved(x: float, y: float = 0.0, z: float = 0.0) -> Rigid:
    return Rigid(np.eye(3), np.array([x, y, z]))


@pytest.mark.parametrize(
    ("radius_mm", "shift_mm", "expected_mm"),
    [
        (10.0, 25.3, 0.3),  # 15 and 10 mm: nearly touching
        (10.0, 25.0, 0.0),
        (10.0, 22.0, -3.0),
        (10.0, 38.6, 13.6),
        (10.0, 120.0, 95.0),  # far beyond the grid of the ice
        (6.0, 2.0, -11.0),  # wholly inside the ice, its surface 4 mm from the centre
        (4.0, 7.0, -12.0),  # wholly inside the ice, 3 mm from its centre
        (30.0, 5.0, -20.0),  # the ice wholly inside the structure, to 10 mm from its centre
    ],
)
def test_distance_to_a_ball(radius_mm: float, shift_mm: float, expected_mm: float) -> None:
    found = gap(ice_ball(15.0), ball("hilum", radius_mm), moved(shift_mm, 0.2, -0.1))
    assert found.distance_mm == pytest.approx(expected_mm, abs=0.1)


def test_the_nearest_point_lies_on_the_structure_towards_the_ice() -> None:
    found = gap(ice_ball(15.0), ball("hilum", 10.0), moved(0.0, 30.0, 0.0))
    assert found.distance_mm == pytest.approx(5.0, abs=0.05)
    assert found.point_lps_mm == pytest.approx([0.0, 20.0, 0.0], abs=0.8)


@pytest.mark.parametrize(
    ("shift_mm", "expected_mm"), [(0.0, 8.0), (3.0, 5.0), (11.0, -3.0), (60.0, -52.0)]
)
def test_margin_of_a_ball(shift_mm: float, expected_mm: float) -> None:
    found = least_depth(ice_ball(20.0), ball("tumour", 12.0), moved(0.0, 0.0, shift_mm))
    assert found.depth_mm == pytest.approx(expected_mm, abs=0.1)
    if shift_mm:
        assert found.point_lps_mm == pytest.approx([0, 0, shift_mm + 12], abs=1.0)


def test_a_tumour_clear_of_the_ice_is_not_covered() -> None:
    shares = covered_fraction(ice_ball(12.0), ball("tumour", 8.0), moved(30.0))
    assert shares == {0: 0.0, 5: 0.0, 10: 0.0}


@pytest.mark.parametrize("shift_mm", [0.0, 4.0, 12.0])
def test_covered_fractions_to_a_hundredth(shift_mm: float) -> None:
    tumour = Ellipsoid(np.array([shift_mm, 0.3, 0]), np.full(3, 12.0), np.eye(3))
    depth = 20.0 - np.linalg.norm(tumour.filling(200_000), axis=1)
    shares = covered_fraction(ice_ball(20.0), ball("tumour", 12.0), moved(shift_mm, 0.3))
    for step, share in shares.items():
        assert share == pytest.approx((depth >= step).mean(), abs=0.01)


@pytest.mark.parametrize("thickness_mm", [3.0, 5.0])
def test_a_thin_tumour(thickness_mm: float) -> None:
    """A lens along or across the slices; its edge has a radius of 0.2 or 0.5 mm."""
    for axes in (np.eye(3), np.eye(3)[:, [2, 0, 1]]):
        plate = Ellipsoid(np.zeros(3), np.array([13.0, 13.0, thickness_mm / 2]), np.eye(3))
        ice = Ellipsoid(np.array([3.0, 2, 1]), np.full(3, 20.0), np.eye(3))
        drawn = solid_from_contours("tumour", "tumour", plate.contours(1.25, 0.4, axes))
        found = least_depth(ice_ball(20.0, (3.0, 2.0, 1.0)), drawn, STILL)
        expected = float(ice.depth(plate.surface()).min())
        assert found.depth_mm == pytest.approx(expected, abs=0.6)


def bent_field(generator: np.random.Generator) -> Volume:
    """A ball whose level set is bent by smooth noise and clipped as the ice's is."""
    field = ball_field(19.0)
    points = np.asarray(0.25 * np.moveaxis(np.indices(field.array.shape), 0, -1), dtype=np.float64)
    wave = sum(np.sin(points @ generator.normal(size=3) + generator.uniform(0, 6)) for _ in "abcd")
    return Volume(
        np.clip(field.array + wave, -3, 3).astype(np.float32),
        field.origin_lps_mm,
        field.direction,
        field.spacing_mm,
    )


def test_the_search_finds_what_measuring_every_point_finds() -> None:
    for seed in range(6):
        generator = np.random.default_rng(seed)
        ice = surface_of(bent_field(generator))
        tumour = surface_of(bent_field(generator))
        move = Rigid(turned(generator), generator.uniform(-15, 15, 3))
        depth, _ = ice.depth(move.apply(tumour.points_lps_mm))
        least = ice.shallowest(tumour.points_lps_mm, tumour.clusters, move)
        most = ice.deepest(tumour.points_lps_mm, tumour.clusters, move)
        assert (least.depth_mm, least.index) == (depth.min(), int(np.argmin(depth)))
        assert (most.depth_mm, most.index) == (depth.max(), int(np.argmax(depth)))


def test_no_ice_is_said_so() -> None:
    field = Volume(np.full((5, 5, 5), -1, np.float32), np.zeros(3), np.eye(3), np.ones(3))
    with pytest.raises(ValueError, match="no surface"):
        least_depth(surface_of(field), ball("tumour", 12.0), STILL)
