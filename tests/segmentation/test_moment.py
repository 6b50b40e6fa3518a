"""What a scan's place in time says of its ice."""

import pytest

from segmentation.moment import Earlier, Moment, Timing


def after(*volumes_ml: float, every_s: float = 150.0, **known: object) -> Moment:
    """Scans at even steps before this one, the latest ``every_s`` ago."""
    count = len(volumes_ml)
    earlier = tuple(Earlier((count - n) * every_s, v) for n, v in enumerate(volumes_ml))
    return Moment(earlier=earlier, **known)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("moment", "volume_ml", "stages"),
    [
        (Moment(), 10, ("freeze",)),
        (after(10), 20, ("freeze",)),
        (after(10, 20), 15, ("thaw",)),
        (after(10, 20), 20, ("freeze", "thaw", "refreeze")),
        (after(10, 20, 15), 18, ("freeze", "refreeze")),
        (Moment(phase="thaw", phase_s=120), 10, ("thaw",)),
        (after(20, phase="freeze", phase_s=300, cycle=1), 20, ("freeze",)),
        (after(20, phase="freeze", phase_s=300, cycle=2), 20, ("freeze", "refreeze")),
        # What was pressed is not believed against the ice.
        (after(20, phase="freeze", phase_s=300, cycle=1), 10, ("thaw",)),
        (after(20, phase="thaw", phase_s=300, cycle=1), 30, ("freeze",)),
        # Just pressed: the ice still does what it did.
        (after(20, phase="thaw", phase_s=20, cycle=1), 21, ("freeze", "thaw", "refreeze")),
        (after(20, phase="idle", phase_s=300, cycle=1), 30, ("freeze",)),
    ],
)
def test_stages_follow_from_the_pressed_phase_and_the_volumes(
    moment: Moment, volume_ml: float, stages: tuple[str, ...]
) -> None:
    assert moment.stages(volume_ml) == stages


@pytest.mark.parametrize(
    ("moment", "volume_ml", "freezing"),
    [
        (Moment(phase="freeze", phase_s=20, cycle=1), 5, True),
        (after(20, phase="freeze", phase_s=300, cycle=1), 30, True),
        (after(20, phase="freeze", phase_s=300, cycle=1), 10, False),
        (after(20), 30, True),
        # The first scan may be of a thaw; what is not pressed is not known.
        (Moment(), 10, False),
        (after(20, phase="thaw", phase_s=300, cycle=1), 30, False),
        (after(20, phase="thaw", phase_s=20, cycle=1), 30, False),
        (after(20, phase="idle", phase_s=300, cycle=1), 30, False),
    ],
)
def test_freezing_is_believed_only_where_it_is_sure(
    moment: Moment, volume_ml: float, freezing: bool
) -> None:
    assert moment.freezing(volume_ml) is freezing


def test_a_stage_began_between_the_scans_that_border_it() -> None:
    moment = after(10, 20, 30, 25, 20, baseline_s=900)  # at 750, 600, 450, 300, 150 s before
    assert moment.timing("thaw") == Timing((300, 450), (300, 600))
    assert moment.timing("refreeze") == Timing((0, 150), (300, 600))
    assert moment.timing("freeze").elapsed_s == (750, 900)


def test_a_pressed_phase_tells_to_the_second() -> None:
    moment = after(10, 20, phase="freeze", phase_s=320, cycle=1, baseline_s=400)
    assert moment.timing("freeze").elapsed_s == (320, 320)


@pytest.mark.parametrize(
    ("before_ml", "now_ml", "step_s", "jumps"),
    [(20, 32, 150, False), (20, 8, 150, False), (20, 90, 150, True), (40, 4, 60, True)],
)
def test_ice_does_not_jump(before_ml: float, now_ml: float, step_s: float, jumps: bool) -> None:
    assert after(before_ml, every_s=step_s).jumps(now_ml) is jumps


@pytest.mark.parametrize(("volume_ml", "baseline_s", "jumps"), [(20, 200, False), (80, 25, True)])
def test_nor_does_the_first_ice(volume_ml: float, baseline_s: float, jumps: bool) -> None:
    assert Moment(baseline_s=baseline_s).jumps(volume_ml) is jumps


def test_the_scans_of_this_freeze_are_those_since_the_ice_last_shrank() -> None:
    moment = after(10, 20, 30, 15, 20)
    assert [scan.volume_ml for scan in moment.same_freeze(25)] == [20]
    assert moment.same_freeze(10) == ()
    pressed = after(10, 20, 30, phase="freeze", phase_s=200, cycle=2)
    assert [scan.volume_ml for scan in pressed.same_freeze(35)] == [30]


@pytest.mark.parametrize(
    ("moment", "all_ml", "dark_ml", "thaws"),
    [
        (after(30, 40), 46, 36, False),  # grown by a rim that looks as before the medium
        (after(30, 40), 40, 30, True),  # as large as it was, with a thawed rim
        (after(30, 40, 30), 42, 24, True),
        (after(40, phase="freeze", phase_s=300, cycle=1), 40, 30, False),
        (after(40, phase="thaw", phase_s=300, cycle=1), 46, 39, True),
    ],
)
def test_with_contrast_medium_the_scans_before_decide(
    moment: Moment, all_ml: float, dark_ml: float, thaws: bool
) -> None:
    assert moment.thaws_dead(all_ml, dark_ml) is thaws
