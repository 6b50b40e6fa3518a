/**
 * The scan and the masks as the service sends and takes them: bits packed eight to a byte, the
 * first voxel lowest, compressed by zlib, in base64.
 */

import type { Mask as WireMask } from "../../wire";
import type { Grid, Triple } from "./geometry";
import { Mask } from "./mask";

async function through(
  bytes: Uint8Array<ArrayBuffer>,
  transform: CompressionStream | DecompressionStream,
): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(transform);
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function toBase64(bytes: Uint8Array): string {
  const PIECE = 0x8000;
  let text = "";
  for (let at = 0; at < bytes.length; at += PIECE) {
    text += String.fromCharCode(...bytes.subarray(at, at + PIECE));
  }
  return btoa(text);
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** @throws Error for an empty mask: there is nothing to send. */
export async function encoded(mask: Mask): Promise<WireMask> {
  const { origin, size, data } = mask.trimmed();
  if (data.length === 0) throw new Error("an empty mask is not sent");
  const packed = new Uint8Array(Math.ceil(data.length / 8));
  data.forEach((value, at) => {
    packed[at >> 3] = (packed[at >> 3] ?? 0) | (value << (at & 7));
  });
  return {
    origin_index: [...origin],
    shape: [size[2], size[1], size[0]],
    runs: toBase64(await through(packed, new CompressionStream("deflate"))),
  };
}

/** @throws Error for a mask that is not one of this grid. */
export async function decoded(wire: WireMask, grid: Grid): Promise<Mask> {
  const origin = wire.origin_index as Triple;
  const [nz, ny, nx] = wire.shape as Triple;
  const size: Triple = [nx, ny, nz];
  const fits = [0, 1, 2].every((n) => {
    const [first, cells, all] = [origin[n] ?? -1, size[n] ?? -1, grid.size[n] ?? 0];
    return Number.isInteger(first) && Number.isInteger(cells) && first >= 0 && cells >= 0 && first + cells <= all;
  });
  if (!fits) throw new Error("The marks do not lie on this scan.");
  const packed = await through(fromBase64(wire.runs), new DecompressionStream("deflate"));
  const voxels = nx * ny * nz;
  if (packed.length !== Math.ceil(voxels / 8)) throw new Error("The marks could not be read.");
  const data = new Uint8Array(voxels);
  for (let at = 0; at < voxels; at += 1) data[at] = ((packed[at >> 3] ?? 0) >> (at & 7)) & 1;
  return Mask.of(origin, size, data);
}

/** HU, i fastest, then j, then k. @throws Error where its size is not the grid's. */
export function volumeOf(bytes: ArrayBuffer, grid: Grid): Int16Array {
  const [nx, ny, nz] = grid.size;
  if (bytes.byteLength !== nx * ny * nz * 2) throw new Error("The scan did not come whole.");
  return new Int16Array(bytes);
}
