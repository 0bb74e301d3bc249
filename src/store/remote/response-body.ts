/** The body of an answer in memory of its own, bounded before it is allocated. */
export class ResponseBody {
  readonly #bytesMax: number;
  /** Of the length that was announced. */
  readonly #whole: Uint8Array<ArrayBuffer> | undefined;
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  /** `announced`: the content-length, if there is one; at most `bytesMax`. */
  constructor(announced: number | undefined, bytesMax: number) {
    this.#bytesMax = announced ?? bytesMax;
    // All of it is written before anyone sees it.
    if (announced !== undefined) this.#whole = Buffer.allocUnsafeSlow(announced);
  }

  get isAnnounced(): boolean {
    return this.#whole !== undefined;
  }

  /** False if there is more than there may be. The part must not change. */
  add(part: Uint8Array): boolean {
    if (this.#length + part.length > this.#bytesMax) return false;
    if (this.#whole === undefined) this.#parts.push(part);
    else this.#whole.set(part, this.#length);
    this.#length += part.length;
    return true;
  }

  /** Undefined if it is shorter than announced. */
  end(): Uint8Array<ArrayBuffer> | undefined {
    if (this.#whole !== undefined) return this.#length === this.#whole.length ? this.#whole : undefined;
    const body = new Uint8Array(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      body.set(part, at);
      at += part.length;
    }
    return body;
  }
}
