/** Makes changes durable by a call that takes long: one serves all who asked before it began, none is made where nothing changed. */
export class SharedSync {
  readonly #act: () => Promise<void>;
  #changes = 0;
  #synced = 0;
  #running: Promise<void> | undefined;

  constructor(act: () => Promise<void>) {
    this.#act = act;
  }

  /** There was a change just now. */
  note(): void {
    this.#changes++;
  }

  /** All changes before are durable when it resolves. */
  async done(): Promise<void> {
    const wanted = this.#changes;
    while (this.#synced < wanted) await (this.#running ??= this.#run());
  }

  async #run(): Promise<void> {
    const changes = this.#changes;
    try {
      await this.#act();
      this.#synced = changes;
    } finally {
      this.#running = undefined;
    }
  }
}
