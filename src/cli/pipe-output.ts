/**
 * Standard output for what is long: written in the background, so that Ctrl-C is heard while a reader takes its time (process.stdout
 * blocks on pipes). Not to be mixed with other output to the same place.
 */
import { write } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { codeOf } from '../errors.js';

const stdout = 1;
/** A pipe that someone set to be non-blocking is full. */
const retryMs = 5;

/** `bytes` must stay as they are until this resolves. EPIPE when the reader is gone. */
export async function writePipe(bytes: Buffer): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += await writeSome(bytes, done);
}

async function writeSome(bytes: Buffer, from: number): Promise<number> {
  try {
    return await new Promise((resolve, reject) => {
      write(stdout, bytes, from, bytes.length - from, null, (error, written) => {
        if (error === null) resolve(written);
        else reject(error);
      });
    });
  } catch (error) {
    if (codeOf(error) !== 'EAGAIN') throw error;
    await delay(retryMs);
    return 0;
  }
}
