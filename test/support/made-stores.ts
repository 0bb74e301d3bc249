/** Stores with one snapshot, `host/made/2021-01-01T00:00:00Z`, of whatever a test wants to be in it. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseDynamicIndex } from '../../src/format/dynamic-index.js';
import { parseFixedIndex } from '../../src/format/fixed-index.js';
import type { PxarMetadata } from '../../src/format/pxar/entry.js';
import { PxarWriter } from '../../src/format/pxar/writer.js';
import { metadata, type MadeArchive } from './archives.js';
import { encodeBlob } from './chunks.js';
import { scratchDirectory } from './scratch.js';
import { dynamicIndexOf, fixedIndexOf } from './streams.js';

export const madeSnapshot = 'host/made/2021-01-01T00:00:00Z';

export interface MadeContents {
  /** Archives by their names without `.pxar`. */
  readonly archives?: Readonly<Record<string, Pick<MadeArchive, 'meta' | 'payload'>>>;
  readonly images?: Readonly<Record<string, Buffer>>;
  readonly blobs?: Readonly<Record<string, Buffer>>;
  /** Of the chunks of archives. */
  readonly cuts?: readonly number[];
}

export function madeStore({ archives = {}, images = {}, blobs = {}, cuts = [1 << 20] }: MadeContents): string {
  const store = join(scratchDirectory(), 'store');
  const directory = join(store, madeSnapshot);
  mkdirSync(directory, { recursive: true });
  mkdirSync(join(store, '.chunks'), { recursive: true });
  const files: object[] = [];
  const add = (filename: string, bytes: Buffer, size: number, csum: string): void => {
    writeFileSync(join(directory, filename), bytes);
    files.push({ filename, 'crypt-mode': 'none', size, csum });
  };
  const addDynamic = (filename: string, bytes: Buffer): void => {
    const index = dynamicIndexOf(store, bytes, { cuts });
    add(filename, index, bytes.length, parseDynamicIndex(index).computeCsum().toString('hex'));
  };
  for (const [name, { meta, payload }] of Object.entries(archives)) {
    if (payload === undefined) addDynamic(`${name}.pxar.didx`, meta);
    else {
      addDynamic(`${name}.ppxar.didx`, payload);
      addDynamic(`${name}.mpxar.didx`, meta);
    }
  }
  for (const [name, bytes] of Object.entries(images)) {
    const index = fixedIndexOf(store, bytes);
    add(`${name}.fidx`, index, bytes.length, parseFixedIndex(index).computeCsum().toString('hex'));
  }
  for (const [name, content] of Object.entries(blobs)) {
    const bytes = encodeBlob(content);
    add(`${name}.blob`, bytes, bytes.length, createHash('sha256').update(bytes).digest('hex'));
  }
  const manifest = { 'backup-id': 'made', 'backup-time': 1609459200, 'backup-type': 'host', files, signature: null, unprotected: {} };
  writeFileSync(join(directory, 'index.json.blob'), encodeBlob(Buffer.from(JSON.stringify(manifest))));
  return store;
}

/** A v1 archive that `write` fills. */
export function writtenArchive(write: (writer: PxarWriter) => void, root: PxarMetadata = metadata('directory', 0o755)): Pick<MadeArchive, 'meta' | 'payload'> {
  const parts: Buffer[] = [];
  const writer = new PxarWriter({ version: 1, meta: (bytes) => void parts.push(bytes) }, root);
  write(writer);
  writer.finish();
  return { meta: Buffer.concat(parts), payload: undefined };
}

export function addFile(writer: PxarWriter, name: string, content: string | Buffer, others: Partial<PxarMetadata> = {}): void {
  const bytes = Buffer.from(content);
  writer.addFile(Buffer.from(name, 'latin1'), metadata('regular', 0o644, others), bytes.length);
  writer.write(bytes);
}

export function addDirectory(writer: PxarWriter, name: string, fill: () => void = () => undefined): void {
  writer.openDirectory(Buffer.from(name, 'latin1'), metadata('directory', 0o755));
  fill();
  writer.closeDirectory();
}

export function addSymlink(writer: PxarWriter, name: string, target: string): void {
  writer.addSpecial(Buffer.from(name), { kind: 'symlink', metadata: metadata('symlink', 0o777), target: Buffer.from(target) });
}
