/** `--changed` and `--changed-since` of a command line: for which image, and what is in the file that is named. */
import { createReadStream } from 'node:fs';
import { FileError, FormatError, StoreError, UsageError, codeOf } from '../errors.js';
import { changedFileBytesMax, parseChangedBitmap, parseChangedJson, type ChangedBlocks } from './changed-list.js';

export type { ChangedBlocks } from './changed-list.js';

export interface ChangedOptions {
  /** `[drive-scsi0.img=]FILE` of JSON, or `[drive-scsi0.img=]FILE,granularity=BYTES` of a bitmap. */
  readonly changed: readonly string[];
  /** `[drive-scsi0.img=]CSUM`, 64 hex digits. */
  readonly since: readonly string[];
  /** Names of the images that are backed up; if there is only one, options need not name it. */
  readonly images: readonly string[];
}

const granularityPattern = /^(.+),granularity=([0-9]{1,10})(K|M|)(?:iB)?$/s;
const granularityUnits: Readonly<Record<string, number>> = { '': 1, K: 1 << 10, M: 1 << 20 };

/** By name of the image. USAGE for options that fit no image, NOT_FOUND, NO_PERMISSION, and what the parsers throw. */
export async function readChangedBlocks({ changed, since, images }: ChangedOptions): Promise<ReadonlyMap<string, ChangedBlocks>> {
  const files = byImage(changed, '--changed', images);
  const csums = byImage(since, '--changed-since', images);
  const result = new Map<string, ChangedBlocks>();
  for (const [image, text] of files) result.set(image, { ...(await readList(text)), since: csumOf(csums.get(image)) });
  for (const image of csums.keys()) if (!files.has(image)) throw new UsageError(`--changed-since for ${image} without --changed for it`);
  return result;
}

/** What stands behind the image's name, by image. */
function byImage(texts: readonly string[], option: string, images: readonly string[]): Map<string, string> {
  const values = new Map<string, string>();
  for (const text of texts) {
    const named = images.find((image) => text.startsWith(`${image}=`));
    const image = named ?? (images.length === 1 ? images[0] : undefined);
    if (image === undefined) throw new UsageError(`${option} '${text}' does not begin with the name of an image that is backed up; write it ${option} NAME.img=...`);
    if (values.has(image)) throw new UsageError(`${option} is given twice for ${image}`);
    values.set(image, named === undefined ? text : text.slice(named.length + 1));
  }
  return values;
}

function csumOf(text: string | undefined): string | undefined {
  if (text !== undefined && !/^[0-9a-f]{64}$/i.test(text)) throw new UsageError(`--changed-since: '${text}' is no checksum of an index, which has 64 hex digits`);
  return text?.toLowerCase();
}

async function readList(text: string): Promise<ChangedBlocks> {
  const [, bitmapPath, digits = '', unit = ''] = granularityPattern.exec(text) ?? [];
  if (bitmapPath === undefined) return parseChangedJson(await readFile(text), text);
  return parseChangedBitmap(await readFile(bitmapPath), Number(digits) * (granularityUnits[unit] ?? 1), bitmapPath);
}

/** From a pipe too. */
async function readFile(path: string): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 })) {
      pieces.push(piece as Buffer);
      bytes += (piece as Buffer).length;
      if (bytes > changedFileBytesMax) throw new FormatError('LIMIT_EXCEEDED', `${path} is larger than ${changedFileBytesMax} bytes, too large for a list of changes`);
    }
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') throw new StoreError('NOT_FOUND', `the list of changes ${path} does not exist`, { cause });
    if (codeOf(cause) === 'EACCES') throw new StoreError('NO_PERMISSION', `the list of changes ${path} can't be read: no permission`, { cause });
    if (codeOf(cause) === 'EISDIR') throw new FileError('IS_A_DIRECTORY', `${path} is a directory, not a list of changes`, { cause });
    throw cause;
  }
  return Buffer.concat(pieces);
}
