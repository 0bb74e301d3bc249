/** Where keys lie if nobody says where: in the directory that other clients have for them. Format: datastore, section 6.3. */
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { mkdir } from 'node:fs/promises';

export const keyFileName = 'encryption-key.json';
export const masterPublicName = 'master-public.pem';
export const masterPrivateName = 'master-private.pem';

const directoryMode = 0o700;

export function defaultKeyPath(): string {
  return join(keyDirectory(), keyFileName);
}

export function defaultMasterPath(): string {
  return join(keyDirectory(), masterPublicName);
}

/** Makes the directory of a default path; that of a path that was typed has to be there. */
export async function ensureKeyDirectory(path: string): Promise<void> {
  if (dirname(path) === keyDirectory()) await mkdir(keyDirectory(), { recursive: true, mode: directoryMode });
}

/** Relative values of the variable are to be ignored, as the XDG specification has it. */
function keyDirectory(): string {
  const { XDG_CONFIG_HOME: configured = '' } = process.env;
  return join(configured.startsWith('/') ? configured : join(homedir(), '.config'), 'proxmox-backup');
}
