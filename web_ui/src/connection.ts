/** The connection to the stream as a table; `stream.ts` feeds it, the page shows its state. */

export type ConnectionState = "connecting" | "live" | "lost";

export type ConnectionEvent =
  /** A whole current state arrived: the only way to become live. */
  | "snapshot"
  /** The message that follows the last one, of the same run. */
  | "message"
  /** A message is missing in between. */
  | "gap"
  /** Another run of the server answers: what we hold may be of another world. */
  | "other_run"
  /** Not what the schema says, or not a snapshot where one is due. */
  | "invalid"
  /** No message for as long as `SILENCE_MS`. */
  | "silence"
  /** The socket closed or could not be opened. */
  | "closed";

const TABLE: Record<ConnectionState, Partial<Record<ConnectionEvent, ConnectionState>>> = {
  connecting: { snapshot: "live", invalid: "lost", silence: "lost", closed: "lost" },
  live: {
    message: "live",
    gap: "lost",
    other_run: "lost",
    invalid: "lost",
    silence: "lost",
    closed: "lost",
  },
  // Lost stays lost, attempt after attempt, until a fresh snapshot is here.
  lost: { snapshot: "live", invalid: "lost", silence: "lost", closed: "lost" },
};

/** The state that follows. @throws Error for a pair that cannot happen. */
export function next(state: ConnectionState, event: ConnectionEvent): ConnectionState {
  const to = TABLE[state][event];
  if (to === undefined) throw new Error(`no transition from ${state} on ${event}`);
  return to;
}

/** What people read about why there is no live data. */
export const WHY: Record<Exclude<ConnectionEvent, "snapshot" | "message">, string> = {
  gap: "A message went missing.",
  other_run: "The service was restarted.",
  invalid: "The service sent something this page cannot read.",
  silence: "The service has been silent for 3 seconds.",
  closed: "The connection to the service broke.",
};

/** Contract of the stream: no message for this long is a lost connection. */
export const SILENCE_MS = 3000;

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5000;

/** Wait before attempt number `attempt` (0 is the first after a loss). */
export function backOffMs(attempt: number): number {
  return Math.min(FIRST_WAIT_MS * 2 ** attempt, LONGEST_WAIT_MS);
}
