/** Passwords and secrets of API tokens as they are kept: `scrypt$N$r$p$salt$hash`, the last two in base64. */
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { Turns } from '../turns.js';

const cost = { N: 1 << 14, r: 8, p: 1 };
/** Of a file that somebody wrote: 64 MiB. */
const memoryBytesMax = 64 << 20;
const roundsMax = 16;
const saltBytes = 16;
const hashBytes = 32;
export const secretBytesMax = 4096;
/** Hashing takes 50 ms of one of the few threads that do files, too. */
const atOnceMax = 2;
const waitingMax = 256;

const turns = new Turns(atOnceMax, waitingMax);

interface Kept {
  readonly N: number;
  readonly r: number;
  readonly p: number;
  readonly salt: Buffer;
  readonly hash: Buffer;
}

export async function hashSecret(secret: string): Promise<string> {
  const salt = randomBytes(saltBytes);
  const hash = await derive(secret, { ...cost, salt });
  return ['scrypt', cost.N, cost.r, cost.p, salt.toString('base64'), hash.toString('base64')].join('$');
}

/** Takes the same time where there is nothing to compare with. Rejects with what `atItsTurn` throws; 503 when too many wait. */
export async function verifySecret(secret: string, kept: string | undefined, atItsTurn: () => void = () => undefined): Promise<boolean> {
  const parsed = kept === undefined ? undefined : parseKept(kept);
  const { hash, ...parameters } = parsed ?? dummy;
  const derived = await turns.run(async () => {
    atItsTurn();
    return await derive(secret.slice(0, secretBytesMax), parameters);
  });
  return timingSafeEqual(derived, hash) && parsed !== undefined && secret.length <= secretBytesMax;
}

export function isSecretHash(text: string): boolean {
  return parseKept(text) !== undefined;
}

const dummy: Kept = { ...cost, salt: randomBytes(saltBytes), hash: randomBytes(hashBytes) };
const keptPattern = /^scrypt\$(\d{1,8})\$(\d{1,3})\$(\d{1,2})\$([A-Za-z0-9+/=]{1,128})\$([A-Za-z0-9+/=]{1,128})$/;

function parseKept(text: string): Kept | undefined {
  const [, N, r, p, salt, hash] = keptPattern.exec(text) ?? [];
  if (salt === undefined || hash === undefined) return undefined;
  const kept = { N: Number(N), r: Number(r), p: Number(p), salt: Buffer.from(salt, 'base64'), hash: Buffer.from(hash, 'base64') };
  const isBounded = 128 * kept.N * kept.r <= memoryBytesMax && kept.p <= roundsMax && kept.p > 0 && kept.r > 0;
  return isBounded && kept.N > 1 && Number.isInteger(Math.log2(kept.N)) && kept.hash.length === hashBytes ? kept : undefined;
}

function derive(secret: string, { N, r, p, salt }: Omit<Kept, 'hash'>): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(Buffer.from(secret.normalize('NFC')), salt, hashBytes, { N, r, p, maxmem: 2 * memoryBytesMax }, (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
}
