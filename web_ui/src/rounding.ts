/**
 * Millimetres for people: one decimal, rounded towards danger. For the margin and for the distance
 * to a structure at risk alike the danger is below, so every shown number, both ends of the
 * interval too, is rounded down.
 */

/** Below what is ever measured; keeps 2.3 (22.999999999999996 tenths) from becoming 2.2. */
const FLOAT_NOISE_TENTHS = 1e-6;

const MINUS = "−";

export function roundedDown(mm: number): number {
  const tenths = Math.floor(mm * 10 + FLOAT_NOISE_TENTHS);
  return tenths === 0 ? 0 : tenths / 10;
}

/** Whole millimetres, for what is only forecast. */
export function wholeDown(mm: number): number {
  return Math.floor(mm + FLOAT_NOISE_TENTHS / 10);
}

/** "2.4", "−0.3", with a real minus sign. */
export function mmText(mm: number): string {
  const rounded = roundedDown(mm);
  return (rounded < 0 ? MINUS : "") + Math.abs(rounded).toFixed(1);
}

/** "3.1 to 5.0 mm" */
export function intervalText(interval: { low: number; high: number }): string {
  return `${mmText(interval.low)} to ${mmText(interval.high)} mm`;
}

/** A site's limit: "5" or "7.5". */
export function limitText(mm: number): string {
  return String(Number(mm.toFixed(1))).replace("-", MINUS);
}
