/** Archives of planned trees: pxar v1 with its catalog, or v2 as a pair of streams. */
import { encodeEntry, encodeName, encodePreamble } from '../../dist/format/pxar/entry-encoder.js';
import { fileTypes } from '../../dist/format/pxar/entry.js';
import { encodeGoodbye } from '../../dist/format/pxar/goodbye-encoder.js';
import { encodeItem, encodeItemHeader } from '../../dist/format/pxar/item.js';
import { nameHash } from '../../dist/format/pxar/name-hash.js';
import { catalogMagic, encodeCatalogTable } from '../../dist/format/catalog.js';
import { fillContent } from './content.js';

/**
 * @typedef {import('./stream-maker.js').StreamMaker} StreamMaker
 * @typedef {import('./tree-plan.js').TreePlan} TreePlan
 */

const none = Buffer.alloc(0);
const mtimeSec = 1_600_000_000;

/** @param {number} mode */
function metadata(mode) {
  const acl = undefined;
  return { mode, flags: { hi: 0, lo: 0 }, uid: 0, gid: 0, mtime: { sec: mtimeSec, nsec: 0 }, xattrs: [], acl, fcaps: undefined, projectId: undefined };
}

const directoryEntry = encodeEntry({ kind: 'directory', metadata: metadata(fileTypes.directory | 0o755) });
const fileMetadata = metadata(fileTypes.regular | 0o644);

/**
 * @param {TreePlan} root
 * @param {StreamMaker} meta
 * @param {StreamMaker} [payload] the second stream of a v2 archive
 */
export function writeArchive(root, meta, payload) {
  if (payload !== undefined) {
    meta.write(encodePreamble({ version: 2, prelude: undefined }));
    payload.write(encodeItem('PAYLOAD_START_MARKER', none));
  }
  writeNode(root, meta, payload, true);
  payload?.write(encodeItem('PAYLOAD_TAIL_MARKER', none));
}

/** @param {TreePlan} plan @param {StreamMaker} meta @param {StreamMaker | undefined} payload @param {boolean} isRoot */
function writeNode(plan, meta, payload, isRoot) {
  if (plan.kind === 'file') {
    writeFile(plan, meta, payload);
    return;
  }
  const entryPosition = isRoot ? 0 : meta.position;
  meta.write(directoryEntry);
  const children = plan.children.map((child) => {
    const name = Buffer.from(child.name);
    const position = meta.position;
    meta.write(encodeName(name));
    writeNode(child, meta, payload, false);
    const payloadBytes = payload !== undefined && child.kind === 'file' ? child.size : 0;
    return { hash: nameHash(name), position, size: meta.position - position + payloadBytes };
  });
  meta.write(encodeGoodbye(children, { goodbyePosition: meta.position, entryPosition }));
}

/** @param {import('./tree-plan.js').FilePlan} plan @param {StreamMaker} meta @param {StreamMaker | undefined} payload */
function writeFile({ size, content }, meta, payload) {
  const data = payload ?? meta;
  if (payload === undefined) {
    meta.write(encodeEntry({ kind: 'file', metadata: fileMetadata, content: { where: 'inline', size } }));
  } else {
    meta.write(encodeEntry({ kind: 'file', metadata: fileMetadata, content: { where: 'payload', offset: payload.position, size } }));
    payload.write(encodeItemHeader('PAYLOAD', size));
  }
  data.fill(size, (target, offset) => {
    fillContent(target, content, offset);
  });
}

/**
 * @param {ReadonlyMap<string, TreePlan>} archives by the names of their indexes
 * @param {StreamMaker} stream
 */
export function writeCatalog(archives, stream) {
  stream.write(catalogMagic);
  const roots = [...archives].map(([name, plan]) => catalogEntry(plan, name, stream));
  const position = stream.position;
  stream.write(encodeCatalogTable(roots, position));
  const pointer = Buffer.alloc(8);
  pointer.writeBigUInt64LE(BigInt(position));
  stream.write(pointer);
}

/** @param {TreePlan} plan @param {string} nameText @param {StreamMaker} stream @returns {import('../../dist/format/catalog.js').CatalogEntry} */
function catalogEntry(plan, nameText, stream) {
  const name = Buffer.from(nameText);
  if (plan.kind === 'file') return { kind: 'file', name, size: plan.size, mtimeSec };
  const children = plan.children.map((child) => catalogEntry(child, child.name, stream));
  const tablePosition = stream.position;
  stream.write(encodeCatalogTable(children, tablePosition));
  return { kind: 'directory', name, tablePosition };
}

