/** What was done, step by step, to be taken back and done again. States are never changed. */

/** Older steps can't be taken back; each holds the voxels of one structure. */
const LONGEST = 100;

export class History<State> {
  private constructor(
    readonly present: State,
    private readonly past: readonly State[],
    private readonly future: readonly State[],
  ) {}

  static from<State>(state: State): History<State> {
    return new History(state, [], []);
  }

  get canUndo(): boolean {
    return this.past.length > 0;
  }

  get canRedo(): boolean {
    return this.future.length > 0;
  }

  /** After one more step; what had been taken back is gone. */
  with(state: State): History<State> {
    return new History(state, [...this.past, this.present].slice(-LONGEST), []);
  }

  undone(): History<State> {
    const state = this.past.at(-1);
    if (state === undefined) return this;
    return new History(state, this.past.slice(0, -1), [this.present, ...this.future]);
  }

  redone(): History<State> {
    const [state, ...later] = this.future;
    if (state === undefined) return this;
    return new History(state, [...this.past, this.present], later);
  }
}
