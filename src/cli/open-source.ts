/** The datastore and its tree for commands that read without a mount, and paths in it. */
import type { EncryptionKey } from '../crypto/encryption-key.js';
import { messageOf } from '../errors.js';
import { parseNamespace, type Namespace } from '../format/namespace.js';
import { stderrLog } from '../mount/log.js';
import type { Datastore } from '../store/datastore.js';
import { referencePath, resolveReference } from '../store/snapshot-reference.js';
import type { DatastoreTree } from '../tree/datastore-tree.js';
import type { Entry } from '../vfs/file-system.js';
import { walkPath } from '../vfs/path.js';
import type { OptionValues } from './command.js';
import { cacheBytesMax, openLocation } from './open-location.js';
import type { sourceOptions } from './source-options.js';

export interface OpenSource {
  readonly store: Datastore;
  readonly tree: DatastoreTree;
  readonly namespace: Namespace;
}

export interface Located {
  readonly entry: Entry;
  /** Where it lies in the tree, with the snapshot's time in full. */
  readonly path: Buffer;
}

/** Opens the source, and closes it when `use` is done. */
export async function withSource(
  source: string,
  values: OptionValues<typeof sourceOptions>,
  use: (opened: OpenSource) => Promise<void>,
  asking = { ask: true },
): Promise<void> {
  const lines: string[] = [];
  const log = (line: string): void => void lines.push(line);
  const namespace = parseNamespace(values.ns ?? '');
  const keys = await loadKeys(values.keyfile ?? [], values['password-file'], stderrLog(() => 'pbsfs: '));
  const store = await openLocation(source, values, stderrLog(() => 'pbsfs: '), asking);
  // Other commands take the keys only.
  const { openDatastoreTree } = await import('../tree/datastore-tree.js');
  const tree = openDatastoreTree({ store, keys, namespace, cacheBytesMax: cacheBytesMax(store), salvage: values.salvage ?? false, log });
  let failure: unknown;
  try {
    await use({ store, tree, namespace });
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    await tree.close();
    // The line that the command ends with says what it failed for.
    for (const line of lines) if (failure === undefined || line !== messageOf(failure)) stderrLog(() => 'pbsfs: ')(line);
  }
}

/** The entry of a path: a snapshot by its time, `latest` or the beginning of its time, then names in the tree. */
export async function locate({ store, tree, namespace }: OpenSource, path: Buffer, { followLast }: { followLast: boolean }): Promise<Located> {
  const reference = await resolveReference(store, path, namespace);
  const start = referencePath(reference, namespace);
  const components = [...(start === '' ? [] : [Buffer.from(start)]), ...reference.rest];
  const whole = Buffer.concat(components.flatMap((component, at) => (at === 0 ? [component] : [Buffer.from('/'), component])));
  // Links in an archive were made for the machine that was backed up: its root is theirs.
  const archiveDepth = reference.snapshot === undefined || reference.rest.length === 0 ? 0 : start.split('/').length + 1;
  const slash = path.at(-1) === 0x2f && whole.length > 0 ? Buffer.from('/') : Buffer.alloc(0);
  const entry = await walkPath(tree, Buffer.concat([whole, slash]), { rootDepth: archiveDepth, followLast });
  return { entry, path: whole };
}

/** Asks for a password if need be. */
export async function loadKeys(keyFiles: readonly string[], passwordFile: string | undefined, log: (line: string) => void): Promise<EncryptionKey[]> {
  if (keyFiles.length === 0) return [];
  const [{ readKeyFiles, unlockKeyFiles }, { findPassword }] = await Promise.all([import('../mount/keys.js'), import('../mount/password.js')]);
  const found = await readKeyFiles(keyFiles, log);
  return unlockKeyFiles(found, await findPassword(found, passwordFile, log));
}
