/** Standard output at the speed of whoever reads it. EPIPE when the reader is gone. */

const batchBytesMax = 64 * 1024;

let failure: Error | undefined;
process.stdout.on('error', (error: Error) => {
  failure = error;
});

/** `bytes` must stay as they are until the promise resolves. */
export async function writeOut(bytes: Uint8Array | string): Promise<void> {
  if (failure !== undefined) throw failure;
  await new Promise<void>((resolve, reject) => {
    process.stdout.write(bytes, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

/** Gathers lines, so that a long listing is not one write each. */
export class LineWriter {
  #pieces: Buffer[] = [];
  #bytes = 0;

  async write(line: string | Buffer): Promise<void> {
    const piece = typeof line === 'string' ? Buffer.from(line) : line;
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    if (this.#bytes >= batchBytesMax) await this.flush();
  }

  async json(value: object): Promise<void> {
    await this.write(`${JSON.stringify(value)}\n`);
  }

  async flush(): Promise<void> {
    if (this.#bytes === 0) return;
    const bytes = Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#bytes = 0;
    await writeOut(bytes);
  }
}
