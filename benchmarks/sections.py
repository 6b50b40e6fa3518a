"""The tables of the accuracy document."""

from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.forecasts import AHEAD_S, ForecastScore, Quantity, mean_error
from benchmarks.interval import CONFIDENTLY_WRONG_MM, IntervalScore
from benchmarks.naive import METHODS, NaiveScore
from benchmarks.scoring import CaseScore, ScanScore
from benchmarks.summary import Summary, coverage, mean, percentile_95
from benchmarks.tables import ABSENT, figure, table
from benchmarks.targets import COLUMNS, TARGETS, Columns

MARK: Final[dict[bool | None, str]] = {True: "yes", False: "**no**", None: ABSENT}


def targets_table(cases: Sequence[CaseScore]) -> str:
    """Each target, over all cases and each part, and whether it is met everywhere."""
    columns = Columns.of(cases)
    summaries: list[Summary] = [getattr(columns, name) for name in COLUMNS]
    rows = []
    for target in TARGETS:
        verdicts = [target.met(s) for s in summaries]
        verdict = None if verdicts[0] is None else all(v is not False for v in verdicts)
        values = [figure(target.value(s), target.form) for s in summaries]
        rows.append((target.name, target.limit_text, *values, MARK[verdict]))
    return table(("Target", "Limit", *COLUMNS, "Met"), rows)


def cases_table(cases: Sequence[CaseScore]) -> str:
    """A row a case and one over all."""
    rows = [_case_row(case.name, case.part, case.summary) for case in cases]
    rows.append(_case_row("all", "", Columns.of(cases).all))
    return table(
        (
            "Case",
            "Part",
            "Scans",
            "Refused",
            "Dice mean",
            "Dice min",
            "Surface mm",
            "HD95 mm",
            "Margin MAE mm",
            "Margin worst mm",
            "Hilum MAE mm",
            "Hilum worst mm",
            "Truth in interval",
            "Width mm",
            "Registration mm",
            "3 min ahead mm",
        ),
        rows,
    )


def scans_table(cases: Sequence[CaseScore]) -> str:
    """A row a scan."""
    columns = (
        "Scan",
        "Ice ml",
        "Error ml",
        "Dice",
        "Surface / HD95 mm",
        "Margin true",
        "Margin measured",
        "Error",
        "Hilum true",
        "Hilum measured",
        "Error",
        "Registration",
        "Seen",
    )
    rows = [_scan_row(case.name, scan) for case in cases for scan in case.scans]
    return table(columns, rows)


def refusals_table(cases: Sequence[CaseScore]) -> str | None:
    """Every scan with ice that has no figure; None when there is none."""
    rows = [
        (f"{case.name} · {scan.label}", f"{scan.true_volume_ml:.1f}", _plain(scan.refused or ""))
        for case in cases
        for scan in case.scans
        if scan.denied
    ]
    return table(("Scan", "Ice ml", "Reason"), rows) if rows else None


def forecasts_table(cases: Sequence[CaseScore]) -> str | None:
    """Our forecasts beside linear extrapolation, over the scans that have both."""
    scored = [(case.part, f) for case in cases for scan in case.scans for f in scan.forecasts]
    rows = []
    quantities: tuple[Quantity, ...] = ("margin", "hilum", "volume")
    for quantity in quantities:
        for after_s in AHEAD_S:
            chosen = [
                (part, f) for part, f in scored if (f.quantity, f.after_s) == (quantity, after_s)
            ]
            if chosen:
                rows.append(_forecast_row(quantity, after_s, chosen))
    if not rows:
        return None
    return table(
        (
            "Forecast",
            "Scans",
            "MAE",
            "95 %",
            "Bias",
            "Truth in interval",
            "Width",
            "With a line",
            "MAE of these",
            "Line's MAE",
            "Unchanged MAE",
            "Best",
            "Test: ours / line",
        ),
        rows,
    )


def times_table(cases: Sequence[CaseScore]) -> str | None:
    """Forecast moments: of 5 mm of margin, and of contact with the hilum."""
    scored = [t for case in cases for scan in case.scans for t in scan.times]
    rows = []
    for event, name in (("margin_5_mm", "5 mm of margin"), ("hilum_contact", "Hilum contact")):
        chosen = [t for t in scored if t.event == event]
        found = [t.found for t in chosen if t.found is not None]
        if chosen:
            rows.append(
                (
                    name,
                    str(len(chosen)),
                    str(len(found)),
                    figure(mean(abs(f.error) for f in found), ".0f"),
                    figure(coverage(found), ".0%"),
                )
            )
    if not rows:
        return None
    return table(("Moment", "Comes within 5 min", "Forecast", "MAE s", "Truth in interval"), rows)


def lethal_table(cases: Sequence[CaseScore]) -> str | None:
    """The modelled -20 C surface."""
    rows = []
    for name in COLUMNS:
        lethal = [
            scan.lethal
            for case in cases
            if name in ("all", case.part)
            for scan in case.scans
            if scan.lethal is not None
        ]
        for what, chosen in (
            ("volume, ml", [x.volume for x in lethal if x.volume is not None]),
            ("margin, mm", [x.margin for x in lethal if x.margin is not None]),
        ):
            if chosen:
                rows.append((f"{what} ({name})", str(len(chosen)), *_interval_cells(chosen)))
    if not rows:
        return None
    return table(("−20 °C", "Scans", "MAE", "95 %", "Worst", "Truth in interval", "Width"), rows)


def naive_table(cases: Sequence[CaseScore]) -> str | None:
    """Ours and the naive ways, over the scans that ours measured and that truly hold ice."""
    scans = [scan for case in cases for scan in case.scans if scan.naive]
    if not scans:
        return None
    ours = [
        NaiveScore(
            scan.dice or 0.0,
            None if scan.margin is None else scan.margin.error,
            None if scan.hilum is None else scan.hilum.error,
        )
        for scan in scans
    ]
    rows = [_naive_row("icemargin", ours)]
    rows += [_naive_row(name, [s.naive[name] for s in scans]) for name in METHODS]
    return table(
        (
            "Way",
            "Scans",
            "No ice",
            "Dice mean",
            "Dice min",
            "Margin MAE mm",
            "Margin 95 % mm",
            "Hilum MAE mm",
            "Hilum 95 % mm",
            f"Wrong by over {CONFIDENTLY_WRONG_MM:g} mm",
        ),
        rows,
    )


def _case_row(name: str, part: str, s: Summary) -> tuple[str, ...]:
    return (
        name,
        part,
        str(s.scans),
        str(s.refused),
        figure(s.dice_mean, ".3f"),
        figure(s.dice_min, ".3f"),
        figure(s.surface_mm, ".2f"),
        figure(s.hd95_mm, ".2f"),
        figure(s.margin_mae_mm, ".2f"),
        figure(s.margin_worst_mm, "+.2f"),
        figure(s.hilum_mae_mm, ".2f"),
        figure(s.hilum_worst_mm, "+.2f"),
        figure(s.coverage, ".0%"),
        figure(s.width_mm, ".1f"),
        figure(s.registration_mm, ".2f"),
        figure(s.forecast_mae_mm, ".2f"),
    )


def _scan_row(case: str, scan: ScanScore) -> tuple[str, ...]:
    name, volume = f"{case} · {scan.label}", f"{scan.true_volume_ml:.1f}"
    if scan.refused is not None:
        return (name, volume, *[ABSENT] * 4, "refused" if scan.denied else "no ice", *[ABSENT] * 6)
    error_ml = None if scan.volume_ml is None else scan.volume_ml - scan.true_volume_ml
    surfaces = ABSENT
    if scan.surfaces is not None:
        surfaces = f"{scan.surfaces.mean_mm:.2f} / {scan.surfaces.hd95_mm:.1f}"
    return (
        name,
        volume,
        figure(error_ml, "+.1f"),
        figure(scan.dice, ".3f"),
        surfaces,
        *_distance_cells(scan.margin),
        *_distance_cells(scan.hilum),
        figure(scan.registration_mm, ".2f"),
        figure(scan.visible_surface_fraction, ".0%"),
    )


def _distance_cells(distance: IntervalScore | None) -> tuple[str, str, str]:
    if distance is None:
        return ABSENT, ABSENT, ABSENT
    mark = "" if distance.holds else " †"
    return (
        f"{distance.truth:.1f}",
        f"{distance.value:.1f} ({distance.low:.1f} to {distance.high:.1f}){mark}",
        f"{distance.error:+.1f}",
    )


def _interval_cells(scores: Sequence[IntervalScore]) -> tuple[str, ...]:
    return (
        figure(mean(abs(s.error) for s in scores), ".2f"),
        figure(percentile_95(abs(s.error) for s in scores), ".2f"),
        figure(max((s.error for s in scores), key=abs, default=None), "+.2f"),
        figure(coverage(scores), ".0%"),
        figure(mean(s.width for s in scores), ".1f"),
    )


def _forecast_row(
    quantity: Quantity, after_s: int, scored: Sequence[tuple[str, ForecastScore]]
) -> tuple[str, ...]:
    forecasts = [f for _, f in scored]
    unit = "ml" if quantity == "volume" else "mm"
    mae, p95, _, held, width = _interval_cells([f.found for f in forecasts])
    ours, line, unchanged = _beside([f for _, f in scored])
    test_ours, test_line, _ = _beside([f for part, f in scored if part == "test"])
    rated = {"ours": ours, "**line**": line, "**unchanged**": unchanged}
    known = {name: error for name, error in rated.items() if error is not None}
    best = min(known, key=lambda name: known[name]) if known else ABSENT
    return (
        f"{quantity}, {unit}, {after_s // 60} min",
        str(len(forecasts)),
        mae,
        p95,
        figure(mean(f.found.error for f in forecasts), "+.2f"),
        held,
        width,
        str(sum(f.linear is not None for f in forecasts)),
        figure(ours, ".2f"),
        figure(line, ".2f"),
        figure(unchanged, ".2f"),
        best,
        f"{figure(test_ours, '.2f')} / {figure(test_line, '.2f')}",
    )


def _beside(
    forecasts: Sequence[ForecastScore],
) -> tuple[float | None, float | None, float | None]:
    """Mean absolute errors of ours, of the line, and of no change, where there is a line."""
    both = [f for f in forecasts if f.linear is not None]
    return (
        mean_error([f.found.error for f in both]),
        mean_error([f.linear_error for f in both if f.linear_error is not None]),
        mean_error([f.unchanged_error for f in both]),
    )


def _naive_row(name: str, scores: Sequence[NaiveScore]) -> tuple[str, ...]:
    def errors(of: Callable[[NaiveScore], float | None]) -> list[float]:
        return [abs(error) for score in scores if (error := of(score)) is not None]

    margins = errors(lambda s: s.margin_error_mm)
    hila = errors(lambda s: s.hilum_error_mm)
    return (
        name,
        str(len(scores)),
        str(sum(s.margin_error_mm is None for s in scores)),
        figure(mean(s.dice for s in scores), ".3f"),
        figure(min((s.dice for s in scores), default=None), ".3f"),
        figure(mean(margins), ".2f"),
        figure(percentile_95(margins), ".2f"),
        figure(mean(hila), ".2f"),
        figure(percentile_95(hila), ".2f"),
        str(sum(error > CONFIDENTLY_WRONG_MM for error in (*margins, *hila))),
    )


def _plain(text: str) -> str:
    return text.replace("|", "/")
