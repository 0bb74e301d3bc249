/** Keeps the session of a snapshot open that somebody holds: its lock on the server is what keeps the snapshot from being removed. */
import { codeOf, messageOf } from '../../errors.js';
import { BackOff } from './back-off.js';
import type { Patience } from './patience.js';
import type { SnapshotReader } from './snapshot-reader.js';

export interface Holding {
  readonly patience: Patience;
  readonly isReleased: () => boolean;
  readonly warn: (line: string) => void;
}

/** Resolves when it is released, or given up because the snapshot is gone. Never rejects. */
export async function keepOpen(reader: SnapshotReader, { patience, isReleased, warn }: Holding): Promise<void> {
  const isOver = (): boolean => isReleased() || patience.closed;
  let backOff: BackOff | undefined;
  while (!isOver()) {
    try {
      const { ended } = await reader.open();
      if (backOff !== undefined) warn(`${reader.path} is kept from being removed again`);
      backOff = undefined;
      await ended;
      if (isOver()) return;
      warn(`${reader.path} can be removed until its server is reached again: the session that kept it was lost`);
    } catch (error) {
      if (isOver()) return;
      if (codeOf(error) !== 'UNREACHABLE') {
        warn(`${reader.path} is not kept from being removed any more: ${messageOf(error)}`);
        return;
      }
    }
    backOff ??= new BackOff();
    if (!(await patience.pause(backOff.nextMs()))) return;
  }
}
