/** POSIX ACLs as getfacl prints them, from the value of a system.posix_acl_* attribute. Protocol: FUSE, section 1.4. */

const version = 2;
const headerBytes = 4;
const entryBytes = 8;

const tags: ReadonlyMap<number, string> = new Map([
  [0x01, 'user'],
  [0x02, 'user'],
  [0x04, 'group'],
  [0x08, 'group'],
  [0x10, 'mask'],
  [0x20, 'other'],
]);
const namedTags = new Set([0x02, 0x08]);

/** `user:1000:rw-` for each entry; undefined if the value is no ACL. */
export function aclText(value: Buffer): string[] | undefined {
  if (value.length < headerBytes || value.readUInt32LE(0) !== version || (value.length - headerBytes) % entryBytes !== 0) return undefined;
  const entries: string[] = [];
  for (let at = headerBytes; at < value.length; at += entryBytes) {
    const tag = value.readUInt16LE(at);
    const permissions = value.readUInt16LE(at + 2);
    const name = tags.get(tag);
    if (name === undefined) return undefined;
    const id = namedTags.has(tag) ? String(value.readUInt32LE(at + 4)) : '';
    entries.push(`${name}:${id}:${['r', 'w', 'x'].map((letter, bit) => ((permissions & (4 >> bit)) === 0 ? '-' : letter)).join('')}`);
  }
  return entries;
}
