/** Where a probe's tip is marked and its number stands, mm of the picture. */

export type Flat = readonly [number, number];
export type Line = readonly [Flat, Flat];

/** Of one that is seen end on: nothing tells in which direction it runs. */
const END_ON_MM = 1;

/** Unit vector from the end of a shaft to its tip; undefined where it is seen end on. */
function deeper([tip, end]: Line): Flat | undefined {
  const [x, y] = [tip[0] - end[0], tip[1] - end[1]];
  const length = Math.hypot(x, y);
  return length > END_ON_MM ? [x / length, y / length] : undefined;
}

/** A bar across the tip. */
export function shaftBar(line: Line, halfMm: number): Line | undefined {
  const to = deeper(line);
  if (to === undefined) return undefined;
  const [[x, y]] = line;
  return [
    [x - to[1] * halfMm, y + to[0] * halfMm],
    [x + to[1] * halfMm, y - to[0] * halfMm],
  ];
}

/** The middle of the number: beyond the tip, inside the picture. */
export function labelPlace(line: Line, awayMm: number, sideMm: number): Flat {
  const [x, y] = line[0];
  const [dx, dy] = deeper(line) ?? [0, 1];
  const inside = (value: number): number => Math.min(Math.max(value, awayMm), sideMm - awayMm);
  return [inside(x + dx * awayMm), inside(y + dy * awayMm)];
}
