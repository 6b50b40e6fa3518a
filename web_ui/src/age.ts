/** Ages by the server's clock, never by this computer's. */

import type { Clock, Measurement } from "./wire";

/** The server's clock as last heard, carried on by a local monotonic clock. */
export interface HeardClock {
  readonly serverMs: number;
  readonly speed: number;
  readonly heardAtMs: number;
}

export function heard(clock: Clock, monotonicMs: number): HeardClock {
  return { serverMs: Date.parse(clock.now), speed: clock.speed, heardAtMs: monotonicMs };
}

/** The server's time now, in ms since 1970. */
export function serverNow(clock: HeardClock, monotonicMs: number): number {
  return clock.serverMs + (monotonicMs - clock.heardAtMs) * clock.speed;
}

/** Seconds since `moment`. */
export function ageSeconds(moment: string, nowMs: number): number {
  return (nowMs - Date.parse(moment)) / 1000;
}

/** A scanner's clock this far ahead makes an age worthless; less is taken as "just now". */
export const CLOCK_AHEAD_S = 5;

/** When a scan was acquired, by the service's clock as far as that is known, in ms since 1970. */
export function takenMs(measurement: Measurement): number {
  return Date.parse(measurement.acquired_at) - measurement.clock_offset_s * 1000;
}

/** Seconds since a scan was acquired; minus infinity where it seems to have come before that. */
export function scanAgeSeconds(measurement: Measurement, nowMs: number): number {
  const aheadMs = takenMs(measurement) - Date.parse(measurement.last_slice_received_at);
  // Its clock is surely wrong; later on the age would look right, and be too small.
  if (aheadMs > CLOCK_AHEAD_S * 1000) return Number.NEGATIVE_INFINITY;
  return (nowMs - takenMs(measurement)) / 1000;
}

/** "42 s ago", "3 min 20 s ago", "12 min ago", "1 h 5 min ago" */
export function ageText(seconds: number): string {
  if (seconds < -CLOCK_AHEAD_S) return "age unknown";
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s ago`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 10) return whole % 60 ? `${minutes} min ${whole % 60} s ago` : `${minutes} min ago`;
  if (minutes < 60) return `${minutes} min ago`;
  const hours = Math.floor(minutes / 60);
  return minutes % 60 ? `${hours} h ${minutes % 60} min ago` : `${hours} h ago`;
}

/** A running clock: "04:12", "1:04:12". */
export function clockText(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const pad = (n: number): string => String(n).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const rest = `${pad(Math.floor((whole % 3600) / 60))}:${pad(whole % 60)}`;
  return hours ? `${hours}:${rest}` : rest;
}
