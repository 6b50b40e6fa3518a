/** Which tab is chosen: by the address after #, and by the arrow keys. */

/** The tab that an address names, or the first one. */
export function tabOf(hash: string, ids: readonly string[]): string | undefined {
  const named = hash.replace(/^#/, "");
  return ids.includes(named) ? named : ids[0];
}

/** The tab that a key leads to from another one; undefined for a key without a meaning here. */
export function tabByKey(
  key: string,
  from: string | undefined,
  ids: readonly string[],
): string | undefined {
  const at = ids.findIndex((id) => id === from);
  switch (key) {
    case "ArrowRight":
      return ids[(at + 1) % ids.length];
    case "ArrowLeft":
      return ids.at((at <= 0 ? ids.length : at) - 1);
    case "Home":
      return ids[0];
    case "End":
      return ids.at(-1);
    default:
      return undefined;
  }
}
