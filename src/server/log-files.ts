/** Logs of a server that are files: JSON, a line each, for their owner only. */
import { createWriteStream } from 'node:fs';
import { messageOf } from '../errors.js';

/** A reader who does not keep up makes lines be left out, not memory grow. */
const waitingBytesMax = 4 << 20;

/** A failure to log is told once to `warn`, and is no reason to end. */
export function openLineLog(path: string, warn: (line: string) => void): { write(record: object): void } {
  const stream = createWriteStream(path, { flags: 'a', mode: 0o600 });
  let told = false;
  stream.on('error', (error) => {
    if (!told) warn(`${path} can't be written, its lines are lost: ${messageOf(error)}`);
    told = true;
  });
  return {
    write(record) {
      if (stream.destroyed || stream.writableLength > waitingBytesMax) return;
      stream.write(`${JSON.stringify(record)}\n`);
    },
  };
}
