/** The mirror of entry-decoder.ts: exactly the bytes that its functions take. Format: pxar, sections 1.3, 1.4 */
import { FormatError } from '../../errors.js';
import { writeInt64 } from '../uint64.js';
import { encodeAttributes, hasNoAttributes } from './attributes.js';
import type { Preamble } from './entry-decoder.js';
import { checkKind, type PxarContent, type PxarEntry, type PxarHardlink, type PxarKind, type PxarMetadata } from './entry.js';
import { encodeItem, encodeItemHeader, itemHeaderBytes, writeItemHeader } from './item.js';
import { checkName, checkRelativePath } from './name.js';
import { statItemBytes, writeStat } from './stat.js';

const terminator = Buffer.alloc(1);

export function encodePreamble({ version, prelude }: Preamble): Buffer {
  if (version === 1) return Buffer.alloc(0);
  const items = [encodeItem('FORMAT_VERSION', numbers(version))];
  if (prelude !== undefined) items.push(encodeItem('PRELUDE', prelude));
  return Buffer.concat(items);
}

export function encodeName(name: Buffer): Buffer {
  checkName(name);
  const item = Buffer.allocUnsafe(itemHeaderBytes + name.length + 1);
  name.copy(item, writeItemHeader(item, 0, 'FILENAME', name.length + 1));
  item[item.length - 1] = 0;
  return item;
}

/** An entry without what follows it: children, table, or data of a file. */
export function encodeEntry(entry: PxarEntry): Buffer {
  const { kind } = entry;
  if (kind === 'hardlink') return encodeHardlink(required(entry.hardlink, kind));
  const metadata = required(entry.metadata, kind);
  checkKind(kind, metadata.mode);
  const { content } = entry;
  if (kind === 'file' && content?.where === 'payload' && hasNoAttributes(metadata)) return encodePlainFile(metadata, content);
  const stat = Buffer.allocUnsafe(statItemBytes);
  writeStat(stat, 0, metadata);
  return Buffer.concat([stat, ...encodeAttributes(metadata), encodeBody(entry)]);
}

/** What most entries of most archives are, in one piece. */
function encodePlainFile(metadata: PxarMetadata, { offset, size }: { readonly offset: number; readonly size: number }): Buffer {
  const items = Buffer.allocUnsafe(statItemBytes + itemHeaderBytes + 16);
  const reference = writeItemHeader(items, writeStat(items, 0, metadata), 'PAYLOAD_REF', 16);
  writeInt64(items, offset, reference);
  writeInt64(items, size, reference + 8);
  return items;
}

function encodeBody({ kind, content, target, device }: PxarEntry): Buffer {
  switch (kind) {
    case 'file':
      return encodeContent(required(content, kind));
    case 'symlink':
      return encodeItem('SYMLINK', Buffer.concat([checkedTarget(required(target, kind)), terminator]));
    case 'device': {
      const { major, minor } = required(device, kind);
      return encodeItem('DEVICE', numbers(major, minor));
    }
    default:
      return Buffer.alloc(0);
  }
}

function encodeContent(content: PxarContent): Buffer {
  if (content.where === 'inline') return encodeItemHeader('PAYLOAD', content.size);
  return encodeItem('PAYLOAD_REF', numbers(content.offset, content.size));
}

function encodeHardlink({ distance, target }: PxarHardlink): Buffer {
  checkRelativePath(target);
  if (distance <= 0) throw new FormatError('BAD_STRUCTURE', 'the target of a hard link must be archived before it');
  return encodeItem('HARDLINK', Buffer.concat([numbers(distance), target, terminator]));
}

function required<T>(part: T | undefined, kind: PxarKind): T {
  if (part === undefined) throw new FormatError('BAD_STRUCTURE', `a ${kind} lacks what makes it one and cannot be archived`);
  return part;
}

function checkedTarget(target: Buffer): Buffer {
  if (target.length === 0 || target.includes(0)) {
    throw new FormatError('BAD_NAME', 'the target of a symbolic link is empty or has a zero byte');
  }
  return target;
}

function numbers(...values: readonly number[]): Buffer {
  const content = Buffer.allocUnsafe(8 * values.length);
  values.forEach((value, index) => {
    writeInt64(content, value, 8 * index);
  });
  return content;
}
