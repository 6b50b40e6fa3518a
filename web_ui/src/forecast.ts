/**
 * The line under a big figure that says what freezing on would do; every rule about when it may be
 * shown is here. A forecast counts from the acquisition of its scan, and it goes, rather than turns
 * grey, as soon as it does not hold: the scan is old or only provisional, another phase was pressed.
 */

import { CLOCK_AHEAD_S, scanAgeSeconds, takenMs } from "./age";
import { hilumOf } from "./figure";
import { wholeDown } from "./rounding";
import { currentScan } from "./scans";
import type { Scan } from "./scans";
import type { Subject } from "./waiting";
import type { Interval, Limits, Measurement, Procedure, TimeSpan } from "./wire";

/** What is shown of the forecast distances: in this many seconds from the acquisition. */
const SHOWN_S = 180;

/** What margin the service's forecast is about, whatever the site's own target. */
const WANTED_MM = 5;

/** Whether the freeze in which the scan was taken goes on, as far as is known. */
function stillFreezing(measurement: Measurement, procedure: Procedure): boolean {
  if (procedure.state !== "open") return false;
  const { phase, since, pressed_at: pressed } = procedure.phase;
  // Before any press the scans alone tell.
  if (pressed === null && procedure.phases.length === 0) return true;
  return phase === "freeze" && Date.parse(since) <= takenMs(measurement);
}

/** "4–7 mm", "−3 to 2 mm": both ends rounded down, which is towards danger. */
function rangeText({ low, high }: Interval): string {
  const [from, to] = [wholeDown(low), wholeDown(high)];
  const minus = (mm: number): string => String(mm).replace("-", "−");
  if (from === to) return `${minus(from)} mm`;
  return from < 0 ? `${minus(from)} to ${minus(to)} mm` : `${from}–${to} mm`;
}

/** "2:50", as the clock of the phase counts. */
function remainingText(seconds: number): string {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** "5 mm in 2–4 min": what is wanted is told late, so whole minutes are rounded up. */
function marginText(until: TimeSpan, age: number): string | undefined {
  const minutes = (s: number): number => Math.max(1, Math.ceil((s - age) / 60));
  const what = `${WANTED_MM} mm`;
  if (until.high === null) {
    return until.low > age ? `${what} in ${minutes(until.low)}+ min` : undefined;
  }
  if (until.high <= age) return undefined;
  const [from, to] = [minutes(until.low), minutes(until.high)];
  return `${what} in ${from === to ? to : `${from}–${to}`} min`;
}

/** "contact in 3–6 min": what is feared is told early, so whole minutes are rounded down. */
function contactText(until: TimeSpan, age: number): string | undefined {
  const minutes = (s: number): number => Math.max(0, Math.floor((s - age) / 60));
  const from = minutes(until.low);
  if (until.high === null) return from > 0 ? `contact in ${from}+ min` : "contact possible";
  if (until.high <= age) return undefined;
  const to = minutes(until.high);
  if (to === 0) return "contact within 1 min";
  return `contact in ${from === to ? to : `${from}–${to}`} min`;
}

/** The parts of the forecast line, most telling first; none where no forecast may be shown. */
export function forecastOf(
  subject: Subject,
  scans: readonly Scan[],
  procedure: Procedure | null,
  limits: Limits,
  nowMs: number,
): readonly string[] {
  const measurement = currentScan(scans)?.measurement;
  const forecast = measurement?.forecast;
  if (!measurement || !forecast || !procedure) return [];
  const seconds = scanAgeSeconds(measurement, nowMs);
  if (!(seconds >= -CLOCK_AHEAD_S && seconds <= limits.value_old_s)) return [];
  if (measurement.assessment !== "final" || !stillFreezing(measurement, procedure)) return [];
  const age = Math.max(0, seconds);

  const hilum = hilumOf(measurement, procedure);
  const then = forecast.ahead.find((each) => each.after_s === SHOWN_S);
  const parts: (string | undefined)[] = [];
  if (then && then.after_s > age) {
    const interval =
      subject === "tumour"
        ? then.margin_mm
        : hilum && then.structures[measurement.structures.indexOf(hilum)]?.distance_mm;
    if (interval) parts.push(`${rangeText(interval)} in ${remainingText(then.after_s - age)}`);
  }
  // What has been reached was measured, and is said by the figure itself.
  if (subject === "tumour") {
    const until = forecast.margin_5_mm_in_s;
    if (until && until.value !== 0) parts.push(marginText(until, age));
  } else if (hilum?.contact_interval_s && hilum.contact_in_s !== 0) {
    parts.push(contactText(hilum.contact_interval_s, age));
  }
  return parts.filter((part) => part !== undefined);
}
