/** Format: datastore, section 1.2. The grammar that ids, namespace components and archive names share. */

/** NAME_MAX of every file system. */
export const nameBytesMax = 255;

const safeIdPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/;

/** Such a name is ASCII, not empty, not hidden, and no path. */
export function isSafeId(name: string): boolean {
  return name.length <= nameBytesMax && safeIdPattern.test(name);
}
