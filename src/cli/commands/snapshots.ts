/** `pbsfs snapshots`: what is in a datastore, and what its manifests say. */
import { decodeBlob } from '../../codec/blob-decoder.js';
import { StoreError, messageOf, type StoreErrorCode } from '../../errors.js';
import { logicalName, manifestFileName } from '../../format/archive-name.js';
import { formatBackupTime } from '../../format/backup-time.js';
import { formatFingerprint, formatShortFingerprint } from '../../format/fingerprint.js';
import { parseManifest, type Manifest } from '../../format/manifest.js';
import { formatNamespace, parseNamespace, type Namespace } from '../../format/namespace.js';
import { snapshotPath, type GroupName, type SnapshotName } from '../../format/snapshot-name.js';
import { loadZstd } from '../../os/zstd/zstd.js';
import type { Datastore, GroupFacts, SnapshotFacts } from '../../store/datastore.js';
import { stderrLog } from '../../mount/log.js';
import { resolveReference, type SnapshotReference } from '../../store/snapshot-reference.js';
import { printableName } from '../../vfs/name.js';
import { command, jsonOption } from '../command.js';
import { openLocation } from '../open-location.js';
import { LineWriter } from '../output.js';
import { ReportedError } from '../report.js';
import { serverOptions, sourceOptions, sourcePositional } from '../source-options.js';
import { sizeText, tableText } from '../text.js';

const readAtOnce = 32;
/** In every finished snapshot of its kind, and no backup by itself. */
const furniture = new Set([manifestFileName, 'client.log.blob', 'catalog.pcat1.didx', 'rsa-encrypted.key.blob']);

const withheld: ReadonlySet<StoreErrorCode> = new Set(['NO_PERMISSION', 'NOT_OWNER', 'REFUSED', 'UNREACHABLE', 'LOCKED']);

interface Row {
  readonly snapshot: SnapshotName;
  readonly group: GroupFacts;
  readonly facts?: SnapshotFacts;
  readonly manifest?: Manifest;
  readonly error?: string;
  /** Of the error. */
  readonly kind?: 'damaged' | 'not readable';
}

export const snapshotsCommand = command({
  name: 'snapshots',
  summary: 'List groups and snapshots of a datastore',
  positionals: [sourcePositional, { name: 'PATH', completion: 'path', describe: 'only these: ns/NAME, type, type/id or type/id/time', optional: true }],
  options: {
    ns: sourceOptions.ns,
    ...serverOptions,
    json: { ...jsonOption, describe: 'print a JSON object a line for each snapshot' },
  },
  examples: [
    ['pbsfs snapshots /srv/store', 'everything, namespaces included'],
    ['pbsfs snapshots /srv/store vm/120', 'one virtual machine'],
    ['pbsfs snapshots --json /srv/store ns/prod', 'a namespace, for a program'],
  ],
  statuses: ['failed', 'notFound', 'noAccess', 'notADatastore', 'unreachable', 'outputClosed'],
  run: async (values, [source = ''], [, path = Buffer.alloc(0)]) => {
    const { ns = '', json = false } = values;
    const store = await openLocation(source, values, stderrLog(() => 'pbsfs: '));
    try {
      const reference = await resolveReference(store, path, parseNamespace(ns));
      const [strange] = reference.rest;
      if (strange !== undefined) throw new StoreError('NOT_FOUND', `'${printableName(strange)}' is no namespace, type, group or snapshot; pbsfs ls lists files`);
      await (json ? printLines(store, reference) : printTable(store, reference));
    } finally {
      await store.close();
    }
  },
});

async function printLines(store: Datastore, reference: SnapshotReference): Promise<void> {
  const out = new LineWriter();
  let damaged = false;
  for await (const row of readRows(store, reference)) {
    await out.json(jsonRow(row));
    damaged ||= row.error !== undefined;
  }
  await out.flush();
  if (damaged) throw new ReportedError('failed');
}

async function printTable(store: Datastore, reference: SnapshotReference): Promise<void> {
  const rows: string[][] = [];
  let damaged = false;
  for await (const row of readRows(store, reference)) {
    rows.push(cellsOf(row));
    damaged ||= row.error !== undefined;
  }
  const out = new LineWriter();
  const head = ['SNAPSHOT', 'SIZE', 'VERIFIED', 'PROTECTED', 'CRYPT', 'KEY', 'OWNER', 'FILES', 'NOTES'];
  await out.write(rows.length === 0 ? 'no snapshots\n' : await tableText(head, rows));
  await out.flush();
  if (damaged) throw new ReportedError('failed');
}

/** In the order of the tree: of each namespace its groups, then the namespaces in it. */
async function* readRows(store: Datastore, reference: SnapshotReference): AsyncGenerator<Row> {
  const zstd = await loadZstd();
  const waiting: Namespace[] = [reference.namespace];
  for (let namespace = waiting.pop(); namespace !== undefined; namespace = waiting.pop()) {
    const groups = reference.group === undefined ? await store.groups(namespace) : [reference.group];
    for (const group of groups.filter(({ type }) => reference.type === undefined || type === reference.type)) {
      const groupFacts = await store.groupFacts(group);
      const snapshots = reference.snapshot === undefined ? await listIfThere(store, group) : [reference.snapshot];
      for (let at = 0; at < snapshots.length; at += readAtOnce) {
        const some = snapshots.slice(at, at + readAtOnce);
        yield* await Promise.all(some.map((snapshot) => readRow(store, snapshot, groupFacts, zstd)));
      }
    }
    if (reference.type !== undefined) continue;
    const parent = namespace;
    waiting.push(...(await store.namespaces(parent)).map((name) => [...parent, name]).reverse());
  }
}

/** A group may go while others are listed. */
async function listIfThere(store: Datastore, group: GroupName): Promise<readonly SnapshotName[]> {
  try {
    return await store.snapshots(group);
  } catch (error) {
    if (error instanceof StoreError && error.code === 'NOT_FOUND') return [];
    throw error;
  }
}

async function readRow(store: Datastore, snapshot: SnapshotName, group: GroupFacts, zstd: Awaited<ReturnType<typeof loadZstd>>): Promise<Row> {
  try {
    const facts = await store.snapshotFacts(snapshot);
    if (!facts.finished) return { snapshot, group, facts };
    const manifest = parseManifest(decodeBlob(await store.blob(snapshot, manifestFileName), zstd, undefined));
    return { snapshot, group, facts, manifest };
  } catch (error) {
    // What a server does not give is whole for all that is known.
    const kind = error instanceof StoreError && withheld.has(error.code) ? 'not readable' : 'damaged';
    return { snapshot, group, error: messageOf(error), kind };
  }
}

function cryptModeOf({ files }: Manifest): string {
  const modes = new Set(files.map(({ cryptMode }) => cryptMode));
  return (['encrypt', 'sign-only'] as const).find((mode) => modes.has(mode)) ?? 'none';
}

function totalSize({ files }: Manifest): number {
  return files.reduce((sum, { size }) => sum + size, 0);
}

function cellsOf({ snapshot, group, facts, manifest, error, kind = 'damaged' }: Row): string[] {
  const name = snapshotPath(snapshot);
  const isProtected = facts?.protected === true ? 'yes' : '';
  if (manifest === undefined) return [name, '', '', isProtected, '', '', group.owner ?? '', '', error === undefined ? '(unfinished)' : `(${kind}: ${error})`];
  const { keyFingerprint, notes = '', verifyState } = manifest.unprotected;
  return [
    name,
    sizeText(totalSize(manifest)),
    verifyState?.state ?? '',
    isProtected,
    cryptModeOf(manifest),
    keyFingerprint === undefined ? '' : formatShortFingerprint(keyFingerprint),
    group.owner ?? '',
    manifest.files.filter(({ filename }) => !furniture.has(filename)).map(({ filename }) => logicalName(filename)).join(' '),
    notes.split('\n', 1)[0] ?? '',
  ];
}

function jsonRow({ snapshot, group, facts, manifest, error }: Row): object {
  return {
    snapshot: snapshotPath(snapshot),
    namespace: formatNamespace(snapshot.namespace),
    type: snapshot.type,
    id: snapshot.id,
    time: formatBackupTime(snapshot.time),
    epoch: snapshot.time,
    owner: group.owner ?? null,
    groupNotes: group.notes ?? null,
    finished: facts?.finished ?? null,
    protected: facts?.protected ?? null,
    ...(manifest && {
      notes: manifest.unprotected.notes ?? null,
      verifyState: manifest.unprotected.verifyState?.state ?? null,
      cryptMode: cryptModeOf(manifest),
      fingerprint: manifest.unprotected.keyFingerprint === undefined ? null : formatFingerprint(manifest.unprotected.keyFingerprint),
      size: totalSize(manifest),
      files: manifest.files.map(({ filename, size, cryptMode }) => ({ name: logicalName(filename), filename, size, cryptMode })),
    }),
    ...(error !== undefined && { error }),
  };
}
