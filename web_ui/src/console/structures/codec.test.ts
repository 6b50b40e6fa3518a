import { describe, expect, test } from "vitest";

import { decoded, encoded, volumeOf } from "./codec";
import type { Grid } from "./geometry";
import { Mask } from "./mask";

const GRID: Grid = {
  size: [40, 30, 20],
  spacingMm: [1, 1, 1],
  originLpsMm: [0, 0, 0],
  direction: [1, 0, 0, 0, 1, 0, 0, 0, 1],
};

/** zlib.compress(b"\x09\x02") and zlib.compress(b"\x01\x00") of Python, in base64. */
const THREE_VOXELS = "eJzjZAIAABYADA==";
const ONE_VOXEL = "eJxjZAAAAAQAAg==";

function wire(runs: string, change: object = {}): Parameters<typeof decoded>[0] {
  return { origin_index: [1, 2, 3], shape: [1, 2, 5], runs, ...change };
}

describe("a mask", () => {
  test("comes as packed bits, the first voxel lowest, compressed by zlib", async () => {
    // Voxels 0, 3 and 9 of a box of five by two.
    const mask = await decoded(wire(THREE_VOXELS), GRID);
    expect(mask.count).toBe(3);
    expect([mask.has(1, 2, 3), mask.has(4, 2, 3), mask.has(5, 3, 3)]).toEqual([true, true, true]);
  });

  test("goes and comes back the same", async () => {
    const data = Uint8Array.from({ length: 7 * 5 * 3 }, (_, n) => ((n * 2654435761) >>> 7) & 1);
    data[0] = data[data.length - 1] = 1;
    const mask = Mask.of([10, 20, 5], [7, 5, 3], data);
    const sent = await encoded(mask);
    expect([sent.origin_index, sent.shape]).toEqual([
      [10, 20, 5],
      [3, 5, 7],
    ]);
    const back = await decoded(sent, GRID);
    expect([...back.data]).toEqual([...data]);
  });

  test("of nothing is not sent", async () => {
    await expect(encoded(new Mask())).rejects.toThrow("empty");
  });

  test.each([
    ["beyond the scan", { origin_index: [37, 2, 3] }, "do not lie on this scan"],
    ["before the scan", { origin_index: [-1, 2, 3] }, "do not lie on this scan"],
    ["of parts of voxels", { shape: [1, 2, 4.5] }, "do not lie on this scan"],
    ["of another size", { shape: [2, 2, 5] }, "could not be read"],
  ])("%s is refused", async (_, change, words) => {
    await expect(decoded(wire(ONE_VOXEL, change), GRID)).rejects.toThrow(words);
  });

  test("that is no zlib is refused", async () => {
    await expect(decoded(wire(btoa("nonsense")), GRID)).rejects.toThrow();
  });
});

test("a scan that did not come whole is refused", () => {
  expect(volumeOf(new ArrayBuffer(40 * 30 * 20 * 2), GRID)).toHaveLength(24000);
  expect(() => volumeOf(new ArrayBuffer(1000), GRID)).toThrow("did not come whole");
});
