/** Format: datastore, section 3.7. `datastore.cfg` of a server: what it says about its datastores that a writer beside it has to know. */

export type SyncLevel = 'none' | 'filesystem' | 'file';

export interface ConfiguredDatastore {
  readonly name: string;
  /** As written; relative to the file system on it if it lies on a removable device. */
  readonly path: string;
  readonly removable: boolean;
  readonly syncLevel: SyncLevel;
  /** For how long unused chunks are kept from garbage collection; undefined: as usual. */
  readonly gcCutoffSeconds: number | undefined;
  /** `read-only`, `offline`, ...; undefined in normal operation. */
  readonly maintenance: string | undefined;
  /** `filesystem` or `s3`. */
  readonly backend: string;
}

export const serverConfigurationBytesMax = 1 << 20;

const headPattern = /^datastore:\s*([A-Za-z0-9_][A-Za-z0-9._-]*)\s*$/;
const memberPattern = /^\s+([a-z0-9-]+)(?:\s+(.*?))?\s*$/;

/** What it does not know is left out: later versions have more. */
export function parseServerConfiguration(text: string): readonly ConfiguredDatastore[] {
  const sections: { name: string; members: Map<string, string> }[] = [];
  let members: Map<string, string> | undefined;
  for (const line of text.split('\n')) {
    const member = memberPattern.exec(line);
    if (member !== null) {
      members?.set(member[1] ?? '', member[2] ?? '');
    } else if (line.trim() !== '' && !line.startsWith('#')) {
      const name = headPattern.exec(line)?.[1];
      members = name === undefined ? undefined : new Map();
      if (name !== undefined && members !== undefined) sections.push({ name, members });
    }
  }
  return sections.map(({ name, members }) => ({
    name,
    path: members.get('path') ?? '',
    removable: members.has('backing-device'),
    syncLevel: syncLevelOf(propertiesOf(members.get('tuning') ?? '', '').get('sync-level')),
    gcCutoffSeconds: cutoffOf(propertiesOf(members.get('tuning') ?? '', '').get('gc-atime-cutoff')),
    maintenance: propertiesOf(members.get('maintenance-mode') ?? '', 'type').get('type'),
    backend: propertiesOf(members.get('backend') ?? '', 'type').get('type') ?? 'filesystem',
  }));
}

/** `key=value,key=value`; a bare first value is that of `firstKey`. Values may be quoted. */
function propertiesOf(text: string, firstKey: string): ReadonlyMap<string, string> {
  const properties = new Map<string, string>();
  for (const [, key = firstKey, quoted, plain = ''] of text.matchAll(/(?:^|,)\s*(?:([a-z0-9-]+)=)?(?:"((?:[^"\\]|\\.)*)"|([^,]*))/g)) {
    const value = quoted ?? plain.trim();
    if (key !== '' && value !== '') properties.set(key, value);
  }
  return properties;
}

function syncLevelOf(value: string | undefined): SyncLevel {
  return value === 'none' || value === 'file' ? value : 'filesystem';
}

/** Written in minutes, at most two days. */
function cutoffOf(value: string | undefined): number | undefined {
  const minutes = Number(value);
  return Number.isInteger(minutes) && minutes >= 1 && minutes <= 2880 ? minutes * 60 : undefined;
}
