import { expect, test } from "vitest";

import { History } from "./history";

test("what was done is taken back and done again, step by step", () => {
  const history = History.from("a").with("b").with("c");
  expect(history.undone().present).toBe("b");
  expect(history.undone().undone().present).toBe("a");
  expect(history.undone().undone().redone().present).toBe("b");
  expect(history.undone().undone().redone().redone().present).toBe("c");
});

test("there is nothing before the first and after the last", () => {
  const history = History.from("a");
  expect([history.canUndo, history.canRedo]).toEqual([false, false]);
  expect(history.undone()).toBe(history);
  expect(history.redone()).toBe(history);
  expect([history.with("b").canUndo, history.with("b").undone().canRedo]).toEqual([true, true]);
});

test("a new step ends what could be done again", () => {
  const history = History.from("a").with("b").undone().with("c");
  expect(history.canRedo).toBe(false);
  expect(history.undone().present).toBe("a");
});

test("the oldest steps are let go", () => {
  let history = History.from(0);
  for (let n = 1; n <= 150; n += 1) history = history.with(n);
  for (let n = 0; n < 150; n += 1) history = history.undone();
  expect(history.present).toBe(50);
});
