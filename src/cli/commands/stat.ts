/** `pbsfs stat`: everything that is known of one entry. */
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, type InodeFlags } from '../../vfs/file-system.js';
import { nameText, printableName } from '../../vfs/name.js';
import { aclText } from '../acl-text.js';
import { command, jsonOption } from '../command.js';
import { isDevice, jsonAttributes, jsonName, modeText, timeText, typeName } from '../entry-facts.js';
import { inodeFlagNames } from '../inode-flags.js';
import { locate, withSource, type Located, type OpenSource } from '../open-source.js';
import { writeOut } from '../output.js';
import { sourceOptions, sourcePositional } from '../source-options.js';

const valueBytesShownMax = 256;
const aclPrefix = 'system.posix_acl_';

interface Facts extends Located {
  readonly target: Buffer | undefined;
  readonly flags: InodeFlags | undefined;
  readonly xattrs: readonly (readonly [name: Buffer, value: Buffer])[];
}

export const statCommand = command({
  name: 'stat',
  summary: 'Show attributes, extended attributes and ACLs of a file, archive or snapshot',
  positionals: [sourcePositional, { name: 'PATH', completion: 'path', describe: 'type/id/time/..., where time may be latest or the beginning of one' }],
  options: {
    dereference: { type: 'boolean', short: 'L', describe: 'of what a link leads to' },
    json: jsonOption,
    ...sourceOptions,
  },
  examples: [
    ['pbsfs stat /srv/store vm/120/latest', 'owner, notes, verification and key of a snapshot'],
    ['pbsfs stat /srv/store ct/113/latest/root.pxar/etc/passwd', 'a file'],
  ],
  statuses: ['failed', 'notFound', 'noAccess', 'notADatastore', 'unreachable', 'outputClosed'],
  run: (values, [source = ''], [, path = Buffer.alloc(0)]) =>
    withSource(source, values, async (opened) => {
      const located = await locate(opened, path, { followLast: values.dereference ?? false });
      const facts = await factsOf(opened, located);
      await writeOut(values.json === true ? `${JSON.stringify(jsonFacts(facts))}\n` : textFacts(facts));
    }),
});

async function factsOf({ tree }: OpenSource, located: Located): Promise<Facts> {
  const { ino, mode } = located.entry.attributes;
  const type = mode & S_IFMT;
  const xattrs: (readonly [Buffer, Buffer])[] = [];
  for (const name of await tree.listxattr(ino)) {
    const value = await tree.getxattr(ino, name);
    if (value !== undefined) xattrs.push([name, value]);
  }
  return {
    ...located,
    target: type === S_IFLNK ? await tree.readlink(ino) : undefined,
    flags: type === S_IFREG || type === S_IFDIR ? await tree.inodeFlags(ino) : undefined,
    xattrs,
  };
}

function jsonFacts({ path, entry, target, flags, xattrs }: Facts): object {
  const { atime, ctime, blocks } = entry.attributes;
  const acls = xattrs.filter(([name]) => name.toString('latin1').startsWith(aclPrefix));
  return {
    ...jsonName('path', path),
    ...jsonAttributes(entry.attributes),
    ...(target && jsonName('target', target)),
    atime: timeText(atime),
    ctime: timeText(ctime),
    blocks,
    ...(flags && { flags: inodeFlagNames(flags.flags), projectId: flags.projectId }),
    xattrs: Object.fromEntries(xattrs.map(([name, value]) => [name.toString(), value.toString('base64')])),
    acl: Object.fromEntries(acls.map(([name, value]) => [name.toString().slice(aclPrefix.length), aclText(value) ?? null])),
  };
}

function textFacts({ path, entry, target, flags, xattrs }: Facts): string {
  const { mode, uid, gid, size, blocks, nlink, ino, rdevMajor, rdevMinor, mtime } = entry.attributes;
  const arrow = target === undefined ? '' : ` -> ${printableName(target)}`;
  const rows = [
    ['path', `${path.length === 0 ? '/' : printableName(path)}${arrow}`],
    ['type', isDevice(mode) ? `${typeName(mode)} ${rdevMajor}:${rdevMinor}` : typeName(mode)],
    ['mode', `${(mode & 0o7777).toString(8).padStart(4, '0')} (${modeText(mode)})`],
    ['owner', `${uid}:${gid}`],
    ['size', `${size} bytes, ${blocks} blocks of 512`],
    ['links', String(nlink)],
    ['inode', String(ino)],
    ['modified', timeText(mtime)],
    ...(flags === undefined || flags.flags === 0 ? [] : [['flags', inodeFlagNames(flags.flags).join(', ')]]),
    ...(flags === undefined || flags.projectId === 0 ? [] : [['project', String(flags.projectId)]]),
    ...xattrs.flatMap(([name, value]) => xattrRows(name.toString(), value)),
  ];
  const width = Math.max(...rows.map(([name = '']) => name.length));
  return rows.map(([name = '', value = '']) => `${name.padEnd(width)}  ${value}\n`).join('');
}

function xattrRows(name: string, value: Buffer): string[][] {
  const acl = name.startsWith(aclPrefix) ? aclText(value) : undefined;
  if (acl !== undefined) return acl.map((entry) => [`acl ${name.slice(aclPrefix.length)}`, entry]);
  const more = value.length > valueBytesShownMax ? ` ... (${value.length} bytes)` : '';
  const text = nameText(value);
  const shown = text !== undefined && more === '' && text.includes('\n') ? JSON.stringify(text) : printableName(value.subarray(0, valueBytesShownMax));
  return [[printableName(Buffer.from(name)), `${shown}${more}`]];
}
