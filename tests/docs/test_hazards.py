"""docs/hazards.md and the alerts say the same, and its controls are where it says."""

from monitor.alerts import RULES
from monitor.messages import Condition
from tests.docs.tables import ROOT, quoted, read, rows, section

TEXT = read("docs/hazards.md")


def test_each_alert_has_the_priority_of_the_table() -> None:
    documented = {
        quoted(condition)[0]: (kind, priority, latches)
        for condition, kind, priority, latches, *_ in rows(section(TEXT, "Alerts"))
    }
    assert set(documented) == {str(condition) for condition in Condition}
    for condition, rule in RULES.items():
        expected = (rule.kind, str(rule.priority), "yes" if rule.latches else "no")
        assert documented[condition] == expected, condition


def test_each_hazard_has_a_cause_a_control_and_a_place_that_exists() -> None:
    table = list(rows(section(TEXT, "Hazards")))
    assert table[0][0]
    for _, cause, control, where in table:
        assert cause
        assert control
        assert quoted(where)
        for name in quoted(where):
            assert (ROOT / name).is_file(), name


def test_the_limits_it_names_exist() -> None:
    known = {key for row in rows(read("docs/configuration.md")) for key in quoted(row[0])}
    named = {word for word in quoted(TEXT) if word.startswith(("alerts.", "dicom.", "analysis."))}
    assert named
    assert named <= known
