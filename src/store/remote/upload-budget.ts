/** How much may be on its way to a server at once. Who asks for more than there is waits, in the order of asking. */

/** Format: protocol, section 12.3. */
const uploadsMax = 64;
const bytesMax = 64 << 20;

export class UploadBudget {
  readonly #waiting: { readonly bytes: number; readonly resolve: () => void }[] = [];
  #uploads = 0;
  #bytes = 0;

  /** Resolves when `bytes` may be sent; what is larger than everything may be sent alone. */
  async take(bytes: number): Promise<void> {
    if (this.#waiting.length === 0 && this.#fits(bytes)) {
      this.#add(bytes);
      return;
    }
    await new Promise<void>((resolve) => this.#waiting.push({ bytes, resolve }));
  }

  give(bytes: number): void {
    this.#uploads--;
    this.#bytes -= bytes;
    for (let first = this.#waiting[0]; first !== undefined && this.#fits(first.bytes); first = this.#waiting[0]) {
      this.#waiting.shift();
      this.#add(first.bytes);
      first.resolve();
    }
  }

  #fits(bytes: number): boolean {
    return this.#uploads === 0 || (this.#uploads < uploadsMax && this.#bytes + bytes <= bytesMax);
  }

  #add(bytes: number): void {
    this.#uploads++;
    this.#bytes += bytes;
  }
}
