/**
 * The three pictures of the current scan. Pictures, outlines and scan number change together, and
 * only when everything of the new scan is here; until then the older ones stay, under their own
 * number. What fails is tried again for as long as it is wanted.
 */

import { backOffMs } from "./connection";
import type { Scan } from "./scans";
import { parseViews } from "./wire";
import type { View } from "./wire";

const ANSWER_WITHIN_MS = 8000;

export interface Pictures {
  readonly measurementId: string;
  readonly scanNumber: number;
  readonly views: readonly View[];
}

async function load(scan: Scan, signal: AbortSignal): Promise<Pictures> {
  const id = scan.measurement.id;
  const within = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]);
  const answer = await fetch(`/api/v1/measurements/${encodeURIComponent(id)}/views`, {
    signal: within,
  });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const { measurement_id, views } = parseViews(await answer.json());
  if (measurement_id !== id) throw new Error(`views of ${measurement_id} in place of ${id}`);
  await Promise.all(
    views.map((view) => {
      const image = new Image();
      image.src = view.image;
      return image.decode();
    }),
  );
  return { measurementId: id, scanNumber: scan.number, views };
}

export class PictureLoader {
  shown = $state.raw<Pictures | null>(null);
  /** The scan whose pictures are awaited, and how often they failed to come. */
  awaited = $state.raw<number | null>(null);
  failures = $state(0);

  private wanted: string | null = null;
  private abort = new AbortController();

  /** Asks for the pictures of a scan; the same scan again changes nothing. */
  want(scan: Scan | undefined): void {
    const id = scan?.measurement.id ?? null;
    if (id === this.wanted) return;
    this.forget();
    this.wanted = id;
    if (scan) void this.keepTrying(scan, this.abort.signal);
  }

  /** Drops the pictures too: without live data, or for another procedure, none may stay. */
  clear(): void {
    this.forget();
    this.shown = null;
  }

  private forget(): void {
    this.abort.abort();
    this.abort = new AbortController();
    this.wanted = null;
    this.awaited = null;
    this.failures = 0;
  }

  private async keepTrying(scan: Scan, signal: AbortSignal): Promise<void> {
    this.awaited = scan.number;
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      try {
        const pictures = await load(scan, signal);
        if (signal.aborted) return;
        this.shown = pictures;
        this.awaited = null;
        this.failures = 0;
        return;
      } catch (error) {
        if (signal.aborted) return;
        console.warn("pictures failed, trying again:", error);
        this.failures = attempt + 1;
        await new Promise((resolve) => setTimeout(resolve, backOffMs(attempt)));
      }
    }
  }
}
