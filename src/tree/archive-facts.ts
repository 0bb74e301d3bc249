/** Facts about snapshots and archives that have no file of their own, as extended attributes `user.pbsfs.*`. */
import type { ByteSpan } from '../archive/damage.js';
import { formatFingerprint } from '../format/fingerprint.js';
import type { ManifestFile } from '../format/manifest.js';
import type { Datastore, GroupFacts } from '../store/datastore.js';
import type { TreeContext } from './context.js';
import type { XattrValue, Xattrs } from './node.js';
import type { SnapshotState } from '../archive/snapshot-state.js';
import type { OpenStream } from '../archive/stream-opener.js';

const factNames = ['owner', 'notes', 'protected', 'finished', 'verify-state', 'crypt-mode', 'fingerprint', 'size', 'encoded-size', 'digest', 'damaged'] as const;
type FactName = (typeof factNames)[number];
type Facts = Partial<Record<FactName, string | number | undefined>>;

const factXattrs: ReadonlySet<string> = new Set(factNames.map((name) => `user.pbsfs.${name}`));

/** Whether programs that copy from a snapshot with all attributes find this one. */
export function isFactXattr(name: Buffer): boolean {
  return factXattrs.has(name.toString('latin1'));
}

function attributes(facts: Facts): Map<string, XattrValue> {
  const known = Object.entries(facts).filter(([, value]) => value !== undefined);
  return new Map(known.map(([name, value]) => [`user.pbsfs.${name}`, Buffer.from(String(value))]));
}

export function groupXattrs({ owner, notes }: GroupFacts): Xattrs {
  return attributes({ owner, notes });
}

export function snapshotXattrs(state: SnapshotState, owner: string | undefined): Xattrs {
  const { facts, manifest } = state;
  const modes = new Set(manifest?.files.map(({ cryptMode }) => cryptMode));
  const fingerprint = manifest?.unprotected.keyFingerprint;
  return attributes({
    owner,
    notes: manifest?.unprotected.notes,
    protected: String(facts.protected),
    finished: String(facts.finished),
    'verify-state': manifest?.unprotected.verifyState?.state,
    'crypt-mode': manifest && ((['encrypt', 'sign-only'] as const).find((mode) => modes.has(mode)) ?? 'none'),
    fingerprint: fingerprint && formatFingerprint(fingerprint),
    size: manifest?.files.reduce((sum, { size }) => sum + size, 0),
    'encoded-size': manifest?.unprotected.chunkUploadStats?.compressedSize,
  });
}

export interface ArchiveFacts {
  /** One, or the metadata and payload of a split archive. */
  readonly files: readonly ManifestFile[];
  readonly fingerprint: Buffer | undefined;
}

export function archiveXattrs({ files, fingerprint }: ArchiveFacts): Map<string, XattrValue> {
  return attributes({
    'crypt-mode': files[0]?.cryptMode,
    fingerprint: files[0]?.cryptMode === 'none' || fingerprint === undefined ? undefined : formatFingerprint(fingerprint),
    digest: files.length === 0 ? undefined : files.map(({ csum }) => csum).join(' '),
    size: files.length === 0 ? undefined : files.reduce((sum, { size }) => sum + size, 0),
  });
}

/** Facts that only the open streams know. `encoded-size` asks for every chunk and is therefore worked out only when it is read. */
export function streamXattrs(context: TreeContext, streams: readonly OpenStream[], part?: ByteSpan): Map<string, XattrValue> {
  const damage = streams.flatMap((opened) => damageOf(opened, part)).join(' ');
  return new Map<string, XattrValue>([
    ...encodedSize(context.store, streams),
    ...(damage === '' ? [] : [['user.pbsfs.damaged', Buffer.from(damage)] as const]),
  ]);
}

/** Nothing of a store that can't be asked. */
function* encodedSize(store: Datastore, streams: readonly OpenStream[]): Generator<readonly [string, XattrValue]> {
  if (store.encodedBytes === undefined) return;
  const ask = async (): Promise<Buffer> => {
    const sizes = await Promise.all(streams.map(async ({ index }) => (await store.encodedBytes?.(index)) ?? 0));
    return Buffer.from(String(sizes.reduce((sum, size) => sum + size, 0)));
  };
  yield ['user.pbsfs.encoded-size', ask];
}

/** What should have been refused, and the ranges that were found lost so far, relative to `part`. */
function damageOf({ stream, doubt }: OpenStream, part: ByteSpan = { start: 0, end: stream.size }): string[] {
  const lost = stream.lostRanges(part.start, part.end).map(({ start, end }) => `${start - part.start}-${end - part.start - 1}`);
  return doubt === undefined ? lost : [doubt, ...lost];
}
