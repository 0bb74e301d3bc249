/** Facts of a group that are files of its own. Format: datastore, section 1.4. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeNotes } from '../../format/notes.js';
import { encodeOwner } from '../../format/owner.js';
import type { GroupName } from '../../format/snapshot-name.js';
import { writeWhole } from './atomic-file.js';
import { checkOwner, lockGroup, ownerName } from './group.js';
import { LockStack } from './locks.js';
import type { WritableStore } from './writable-store.js';

export const notesName = 'notes';

/** Empty notes are none. NOT_FOUND, LOCKED. */
export async function writeGroupNotes(store: WritableStore, group: GroupName, notes: string): Promise<void> {
  await inGroup(store, group, async (directory) => {
    if (notes === '') await rm(join(directory, notesName), { force: true });
    else await writeWhole(directory, notesName, encodeNotes(notes), { owner: store.owner, durable: store.syncLevel !== 'none' });
  });
}

/** NOT_FOUND, LOCKED; USAGE for what is no owner. */
export async function writeGroupOwner(store: WritableStore, group: GroupName, owner: string): Promise<void> {
  checkOwner(owner);
  await inGroup(store, group, (directory) => writeWhole(directory, ownerName, encodeOwner(owner), { owner: store.owner, durable: store.syncLevel !== 'none' }));
}

async function inGroup(store: WritableStore, group: GroupName, work: (directory: string) => Promise<void>): Promise<void> {
  const locks = new LockStack();
  try {
    await work(await lockGroup(store, group, locks));
  } finally {
    locks.release();
  }
}
