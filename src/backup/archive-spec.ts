/** What is to be backed up as what: `etc.pxar:/etc`, as command lines have it. Format: datastore, sections 1.2 and 1.5. */
import { UsageError } from '../errors.js';

export type SourceKind = 'archive' | 'image' | 'blob';

export interface ArchiveSpec {
  /** `etc.pxar`, `disk.img`, `notes.conf`. */
  readonly name: string;
  readonly kind: SourceKind;
  /** A path; `-` is standard input. */
  readonly source: string;
}

const pattern = /^([a-zA-Z0-9_-]+\.(pxar|img|conf|log)):(.+)$/s;
const kindOfExtension: Readonly<Record<string, SourceKind>> = { pxar: 'archive', img: 'image', conf: 'blob', log: 'blob' };
const nameLengthMax = 200;
/** Names that a snapshot has of its own. */
const reservedNames: ReadonlySet<string> = new Set(['client.log']);

/** Throws USAGE for what is no spec, for two of one name, and where standard input is to be read twice. */
export function parseArchiveSpecs(texts: readonly string[]): ArchiveSpec[] {
  const specs = texts.map(parseArchiveSpec);
  const names = specs.map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) < at);
  if (twice !== undefined) throw new UsageError(`two archives are called ${twice}; each name is one archive of the snapshot`);
  if (specs.filter(({ source }) => source === '-').length > 1) throw new UsageError('only one archive can be read from standard input');
  return specs;
}

function parseArchiveSpec(text: string): ArchiveSpec {
  const [, name = '', extension = '', source = ''] = pattern.exec(text) ?? [];
  const kind = kindOfExtension[extension];
  if (kind === undefined || name.length > nameLengthMax) {
    const form = 'NAME.pxar:DIRECTORY, NAME.img:FILE-OR-DEVICE, or NAME.conf:FILE (NAME: letters, digits, _ and -)';
    throw new UsageError(`'${text}' does not say what to back up as what: ${form}`);
  }
  if (reservedNames.has(name)) throw new UsageError(`${name} is the log of the backup itself; choose another name`);
  if (kind === 'archive' && source === '-') throw new UsageError(`${name} is made of a directory; standard input can be an image (NAME.img:-) or a blob`);
  return { name, kind, source };
}
