/** Every archive of the fixture stores, read in both ways, compared with the tree it was made from, and written again. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { aclItems, aclXattrs } from '../../../src/format/pxar/acl.js';
import { chattrFlags, entryFlags, fatAttributes } from '../../../src/format/pxar/flags.js';
import { fileTypeMask, type PxarEntry, type PxarMetadata } from '../../../src/format/pxar/entry.js';
import { PxarWriter } from '../../../src/format/pxar/writer.js';
import type { ScannedEntry } from '../../../src/format/pxar/scanner.js';
import { chattrBits, typeBits, type ExpectedEntry } from '../../support/expected.js';
import { expectedLines } from '../../support/fixtures.js';
import { archiveSources, contentOf, loadStream, scan, scanByNeed, walk } from './streams.js';

interface Listed extends ExpectedEntry {
  mountpoint?: boolean;
}

const sources = archiveSources();

it('covers archives of both versions, plain and encrypted', () => {
  expect(sources.filter(({ version }) => version === 1)).toHaveLength(10);
  expect(sources.filter(({ version }) => version === 2)).toHaveLength(6);
});

describe.each(sources)('$label', ({ store, snapshot, name, version, meta: metaSource, payload: payloadSource }) => {
  const expected = expectedLines<Listed>(store, `${snapshot.path}/${name}.jsonl`);
  const loaded = (async () => ({
    meta: (await loadStream(metaSource)).bytes,
    payload: payloadSource === undefined ? undefined : (await loadStream(payloadSource)).bytes,
  }))();

  it('is the tree that was backed up, by goodbye tables', async () => {
    const { meta, payload } = await loaded;
    const found = [...walk(meta)];
    const paths = new Map(found.map(({ namePosition, path }) => [namePosition, path.toString('base64')]));
    expect(found.map(({ path }) => path.toString('base64'))).toEqual(expected.map(({ path }) => path));
    const links = new Map<number, number>();
    const targets = new Map(found.map(({ namePosition }, index) => [namePosition, index]));
    found.forEach(({ entry, itemsEnd, namePosition }, index) => {
      const line = expected[index];
      if (line === undefined) throw new Error('no line');
      const { hardlink } = entry;
      const targetPosition = hardlink === undefined ? namePosition : namePosition - hardlink.distance;
      if (line.nlink !== undefined) links.set(targetPosition, (links.get(targetPosition) ?? 0) + 1);
      expect(paths.get(targetPosition), line.name).toBe(line.link_to ?? line.path);
      expect(hardlink?.target.toString('base64'), line.name).toBe(line.link_to);
      const real = found[targets.get(targetPosition) ?? -1];
      if (real === undefined) throw new Error('no target');
      compare(line, real.entry);
      if (entry.kind === 'file') expect(sha256(contentOf(entry, itemsEnd, meta, payload)), line.name).toBe(line.sha256);
    });
    const groups = expected.filter(({ nlink, link_to }) => nlink !== undefined && link_to === undefined);
    expect([...links.values()]).toEqual(groups.map(({ nlink }) => nlink));
  });

  it('is the same by a scan, from long windows and from the shortest', async () => {
    const { meta } = await loaded;
    const found = [...walk(meta)];
    const events = [...scan(meta)];
    const entries = events.filter((event) => event.type === 'entry');
    const ends = events.filter((event) => event.type === 'directoryEnd');
    expect(entries.map(({ entryPosition, entry }) => ({ entryPosition, entry }))).toEqual(
      found.map(({ entryPosition, entry }) => ({ entryPosition, entry })),
    );
    expect(entries.map((entry) => entry.depth)).toEqual(found.map(({ path }) => depthOf(path)));
    expect(entries.slice(1).map(({ namePosition }) => namePosition)).toEqual(
      found.slice(1).map(({ namePosition }) => namePosition),
    );
    const goodbyes = new Map(ends.map((end) => [end.entryPosition, end]));
    for (const { entryPosition, table, goodbyePosition } of found) {
      const end = goodbyes.get(entryPosition);
      expect(end?.goodbyePosition).toBe(goodbyePosition);
      expect(end?.childCount).toBe(table?.count);
    }
    const sizes = new Map(
      events.flatMap((event) => (event.type === 'preamble' ? [] : [[event.namePosition, event.endPosition]])),
    );
    for (const { table, goodbyePosition } of found) {
      for (const slot of table?.byArchiveOrder() ?? []) {
        const range = table?.range(slot, goodbyePosition ?? 0);
        expect(sizes.get(range?.start ?? -1)).toBe(range?.end);
      }
    }
    expect(events.at(-1)).toMatchObject({ type: 'directoryEnd', depth: 0, endPosition: meta.length });
    expect([...scanByNeed(meta)]).toEqual(events);
  });

  it('comes out byte for byte when it is written again', async () => {
    const { meta, payload } = await loaded;
    const metaOut: Buffer[] = [];
    const payloadOut: [position: number, bytes: Buffer][] = [];
    const events = [...scan(meta)];
    const [preamble, root, ...rest] = events;
    if (preamble?.type !== 'preamble' || root?.type !== 'entry' || root.entry.metadata === undefined) throw new Error('no root');
    expect(preamble.version).toBe(version);
    const metaSink = (bytes: Buffer): void => void metaOut.push(bytes);
    const payloadSink = (bytes: Buffer): void => void payloadOut.push([made.writer?.payloadPosition ?? 0, bytes]);
    const made: { writer?: PxarWriter } = {};
    const prelude = preamble.prelude === undefined ? {} : { prelude: preamble.prelude };
    const streams = version === 1 ? { version, meta: metaSink } : { version, meta: metaSink, payload: payloadSink, ...prelude };
    const writer = new PxarWriter(streams, root.entry.metadata);
    made.writer = writer;
    const fresh = freshFiles(meta);
    for (const event of rest) {
      if (event.type === 'directoryEnd' && event.depth > 0) writer.closeDirectory();
      if (event.type === 'entry') writeEntry(writer, event, { fresh, meta, payload });
    }
    if (payload !== undefined) writer.injectPayload(payload.length - 16 - writer.payloadPosition);
    writer.finish();
    expect(Buffer.concat(metaOut).equals(meta)).toBe(true);
    for (const [position, bytes] of payloadOut) {
      expect(payload?.subarray(position, position + bytes.length).equals(bytes)).toBe(true);
    }
  });
});

interface Originals {
  readonly fresh: ReadonlySet<number>;
  readonly meta: Buffer;
  readonly payload: Buffer | undefined;
}

function writeEntry(writer: PxarWriter, { name, namePosition, endPosition, entry }: ScannedEntry, from: Originals): void {
  const { metadata, content, hardlink } = entry;
  expect(writer.metaPosition).toBe(namePosition);
  if (hardlink !== undefined) writer.addHardlink(name, namePosition - hardlink.distance, hardlink.target);
  else if (metadata === undefined) throw new Error('no metadata');
  else if (entry.kind === 'directory') writer.openDirectory(name, metadata);
  else if (content === undefined) writer.addSpecial(name, entry);
  else if (content.where === 'payload' && !from.fresh.has(namePosition)) writer.addReusedFile(name, metadata, content);
  else {
    if (content.where === 'payload') writer.injectPayload(content.offset - writer.payloadPosition);
    writer.addFile(name, metadata, content.size);
    const itemsEnd = content.where === 'inline' ? endPosition - content.size : endPosition;
    writer.write(contentOf(entry, itemsEnd, from.meta, from.payload));
  }
}

/** FILENAME positions of the files whose table entry counts the content: those that the backup read. */
function freshFiles(meta: Buffer): Set<number> {
  const ends = new Map<number, number>();
  const fresh = new Set<number>();
  for (const event of scan(meta)) {
    if (event.type === 'entry') ends.set(event.namePosition, event.endPosition);
    if (event.type !== 'directoryEnd') continue;
    for (let at = event.goodbyePosition + 16; at < event.endPosition - 24; at += 24) {
      const position = event.goodbyePosition - Number(meta.readBigUInt64LE(at + 8));
      if (position + Number(meta.readBigUInt64LE(at + 16)) > (ends.get(position) ?? Infinity)) fresh.add(position);
    }
  }
  return fresh;
}

function compare(line: Listed, entry: PxarEntry): void {
  const { metadata, content, target, device } = entry;
  if (metadata === undefined) throw new Error('no metadata');
  expect(metadata.mode & fileTypeMask, line.name).toBe(typeBits[line.type]);
  expect({
    mode: (metadata.mode & ~fileTypeMask).toString(8).padStart(4, '0'),
    uid: metadata.uid,
    gid: metadata.gid,
    mtime: [metadata.mtime.sec, metadata.mtime.nsec],
    size: content?.size,
    target: target?.toString('base64'),
    rdev: device === undefined ? undefined : [device.major, device.minor],
    xattrs: xattrsOf(metadata),
    projid: metadata.projectId,
    flags: Number(line.pxar_flags ?? 0),
  }).toEqual({
    mode: line.mode,
    uid: line.uid,
    gid: line.gid,
    mtime: line.mtime,
    size: line.size,
    target: line.target,
    rdev: line.rdev,
    xattrs: expectedXattrs(line),
    projid: line.projid,
    flags: metadata.flags.lo + metadata.flags.hi * 2 ** 32,
  });
  const { access, default: defaultAcl } = aclXattrs(metadata);
  expect({ access: access?.toString('base64'), default: defaultAcl?.toString('base64') }, line.name).toEqual({
    access: line.acl?.access?.raw,
    default: line.acl?.default?.raw,
  });
  expect(aclItems(aclXattrs(metadata)), line.name).toEqual(metadata.acl);
  const chattr = (line.flags ?? []).reduce((sum, flag) => sum | (chattrBits[flag] ?? 0), 0);
  expect(chattrFlags(metadata.flags), line.name).toBe(chattr);
  expect(entryFlags(chattr, fatAttributes(metadata.flags)), line.name).toEqual(metadata.flags);
}

function xattrsOf({ xattrs, fcaps }: PxarMetadata): Record<string, string> {
  const named: [string, Buffer][] = xattrs.map(({ name, value }) => [name.toString('hex'), value]);
  if (fcaps !== undefined) named.push([Buffer.from('security.capability').toString('hex'), fcaps]);
  return Object.fromEntries(
    named.map(([name, value]) => [name, value.length > 1024 ? `${value.length} ${sha256(value)}` : value.toString('base64')]),
  );
}

function expectedXattrs({ xattrs = {} }: Listed): Record<string, string> {
  const entries = Object.entries(xattrs).map(([name, value]): [string, string] => [
    unescaped(name).toString('hex'),
    typeof value === 'string' ? value : `${value.size} ${value.sha256}`,
  ]);
  return Object.fromEntries(entries);
}

function unescaped(name: string): Buffer {
  const parts = name.split(/(\\x[0-9a-f]{2})/);
  return Buffer.concat(parts.map((part) => (part.startsWith('\\x') ? Buffer.from(part.slice(2), 'hex') : Buffer.from(part))));
}

function depthOf(path: Buffer): number {
  return path.length === 0 ? 0 : path.toString('latin1').split('/').length;
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
