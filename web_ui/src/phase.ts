/** The pressed phase in words, and its time against the protocol. */

import { clockText } from "./age";
import type { Limits, OfferedPhase, Phase } from "./wire";

/** For so long a press can be taken back on the display; later on the console. */
const TAKE_BACK_MS = 60_000;

/** "FREEZE 2", "IDLE" */
export function phaseText(phase: Phase | undefined): string {
  if (!phase) return "NO PHASE";
  const cycle = phase.phase !== "idle" && phase.cycle > 0 ? ` ${phase.cycle}` : "";
  return phase.phase.toUpperCase() + cycle;
}

export interface Timer {
  readonly elapsed: string;
  /** "of 10:00 · 05:50 left", "of 10:00"; undefined where nothing is planned. */
  readonly plan: string | undefined;
  /** "OVER 01:05" once it has lasted longer than planned. */
  readonly over: string | undefined;
}

/** The n-th freeze of the protocol is the freeze of cycle n, the n-th thaw the thaw after it. */
export function plannedSeconds(phase: Phase, protocol: Limits["protocol"]): number | undefined {
  return protocol.filter((step) => step.phase === phase.phase)[phase.cycle - 1]?.planned_s;
}

export function timerOf(phase: Phase, protocol: Limits["protocol"], nowMs: number): Timer {
  const seconds = Math.max(0, Math.floor((nowMs - Date.parse(phase.since)) / 1000));
  const planned = plannedSeconds(phase, protocol);
  const elapsed = clockText(seconds);
  if (planned === undefined) return { elapsed, plan: undefined, over: undefined };
  const of = `of ${clockText(planned)}`;
  if (seconds > planned) return { elapsed, plan: of, over: `OVER ${clockText(seconds - planned)}` };
  return { elapsed, plan: `${of} · ${clockText(planned - seconds)} left`, over: undefined };
}

/** The press that a person may still take back here, if there is one. */
export function lastPress(phase: Phase | undefined, nowMs: number): string | undefined {
  const pressed = phase?.pressed_at;
  if (!pressed) return undefined;
  const agoMs = nowMs - Date.parse(pressed);
  return agoMs >= 0 && agoMs < TAKE_BACK_MS ? pressed : undefined;
}

/** "FREEZE since about 10:32:10?", by this computer's time zone. */
export function offerText(offered: OfferedPhase): string {
  const time = new Date(offered.since).toLocaleTimeString("en-GB", { hour12: false });
  return `${offered.phase.toUpperCase()} since about ${time}?`;
}

/** The last moment, up to now, at which this computer's clock showed "10:32:10". */
export function movedTo(since: string, time: string, nowMs: number): string {
  const [hours = 0, minutes = 0, seconds = 0] = time.split(":").map(Number);
  const moved = new Date(since);
  moved.setHours(hours, minutes, seconds, 0);
  if (moved.getTime() > nowMs) moved.setDate(moved.getDate() - 1);
  return moved.toISOString();
}

/** "SCANNER CLOCK 1 h AHEAD" */
export function clockBadge(text: string): string {
  const said = /about (.+) (ahead|behind)/.exec(text);
  return said ? `SCANNER CLOCK ${said[1]} ${said[2]?.toUpperCase()}` : text;
}
