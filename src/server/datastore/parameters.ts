/** Parameters that the calls of a datastore have in common. Format: protocol, sections 1 and 8. */
import { messageOf } from '../../errors.js';
import { parseNamespace, type Namespace } from '../../format/namespace.js';
import { isSafeId } from '../../format/safe-id.js';
import { backupTypes, isBackupId, isBackupType, type BackupType, type GroupName, type SnapshotName } from '../../format/snapshot-name.js';
import type { ParameterSpec } from '../endpoint.js';

const storeLengthMin = 3;
const storeLengthMax = 32;
/** The year 9999. */
const timeMax = 253_402_300_799;

function checkStore(name: string): string | undefined {
  if (isSafeId(name) && name.length >= storeLengthMin && name.length <= storeLengthMax) return undefined;
  return `is no name of a datastore: ${storeLengthMin} to ${storeLengthMax} letters, digits, '_', '-' and '.'`;
}

export function checkNamespace(text: string): string | undefined {
  try {
    parseNamespace(text);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

function checkType(type: string): string | undefined {
  return isBackupType(type) ? undefined : `is none of ${backupTypes.join(', ')}`;
}

function checkId(id: string): string | undefined {
  return isBackupId(id) ? undefined : "is no backup id: letters, digits, '_', '-' and '.'";
}

export const storeParameter = { store: { kind: 'string', check: checkStore } } as const satisfies Record<string, ParameterSpec>;
export const namespaceParameter = { ns: { kind: 'string', optional: true, check: checkNamespace } } as const satisfies Record<string, ParameterSpec>;
export const inNamespace = { ...storeParameter, ...namespaceParameter } as const;

export const groupFilters = {
  ...inNamespace,
  'backup-type': { kind: 'string', optional: true, check: checkType },
  'backup-id': { kind: 'string', optional: true, check: checkId },
} as const satisfies Record<string, ParameterSpec>;

export const groupParameters = {
  ...inNamespace,
  'backup-type': { kind: 'string', check: checkType },
  'backup-id': { kind: 'string', check: checkId },
} as const satisfies Record<string, ParameterSpec>;

export const snapshotParameters = {
  ...groupParameters,
  'backup-time': { kind: 'integer', min: 1, max: timeMax },
} as const satisfies Record<string, ParameterSpec>;

export interface GroupValues {
  readonly ns: string | undefined;
  readonly 'backup-type': string;
  readonly 'backup-id': string;
}

export interface SnapshotValues extends GroupValues {
  readonly 'backup-time': number;
}

/** Of checked parameters, as those below. */
export function namespaceOf({ ns = '' }: { readonly ns: string | undefined }): Namespace {
  return parseNamespace(ns);
}

export function groupOf(values: GroupValues): GroupName {
  return { namespace: namespaceOf(values), type: values['backup-type'] as BackupType, id: values['backup-id'] };
}

export function snapshotOf(values: SnapshotValues): SnapshotName {
  return { ...groupOf(values), time: values['backup-time'] };
}
