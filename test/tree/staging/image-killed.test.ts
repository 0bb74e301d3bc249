/** A process that is killed while it writes a staged image: what was flushed or synced is there, and nothing that was never written. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Random, seed } from '../../support/random.js';
import { backupOf, digestsOf, readAll, staging } from '../../support/staged-images.js';
import { imageSectors, operationOf, sectorBytes } from '../../support/staged-image-operations.js';

const kills = 25;
const program = new URL('../../support/staged-image-writer.js', import.meta.url).pathname;
/** Operations that a killed one may have done after the last that it told. */
const untold = 200;

test(`${kills} times, seed ${seed}`, { timeout: 240_000 }, async () => {
  const random = new Random(seed);
  const place = await staging();
  const directory = join(place.spool, 'disk.img');
  const sectors: Buffer[] = Array.from({ length: imageSectors }, () => Buffer.alloc(sectorBytes));
  let next = 0;
  let told = 0;
  for (let kill = 0; kill < kills; kill++) {
    const child = spawn(process.execPath, [program, place.store, directory, String(next), String(seed)], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (bytes) => (output += String(bytes)));
    while (!output.includes('open')) await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
    await setTimeout(random.below(600));
    child.kill('SIGKILL');
    await once(child, 'close');
    const last = Number(/done (\d+)\n(?!.*done \d+\n)/s.exec(output)?.[1] ?? next - 1);
    told += last - next + 1;
    for (let number = next; number <= last; number++) apply(sectors, number);
    const image = await place.open('disk.img', { spooledChunksMax: 3 });
    const content = await readAll(image);
    const later = candidates(last + 1, last + 1 + untold);
    for (const [i, sector] of sectors.entries()) {
      const found = Buffer.alloc(sectorBytes);
      content.subarray(i * sectorBytes, (i + 1) * sectorBytes).copy(found);
      if (found.equals(sector)) continue;
      const where = `kill ${kill}: sector ${i} after operation ${last}: ${found.toString('latin1', 0, 40)}`;
      expect(later.get(i)?.some((each) => each.equals(found)), where).toBe(true);
      sectors[i] = found;
    }
    await image.close();
    next = last + 1 + untold;
  }
  expect(told, 'operations that were told').toBeGreaterThan(kills * 5);
  const image = await place.open('disk.img');
  const content = Buffer.concat(sectors).subarray(0, image.size);
  expect((await image.finish()).digests.equals(digestsOf(await backupOf(content, place)))).toBe(true);
});

function apply(sectors: Buffer[], number: number): void {
  const { offset, bytes } = operationOf(number, seed);
  for (let at = 0; at < bytes.length; at += sectorBytes) sectors[(offset + at) / sectorBytes] = bytes.subarray(at, at + sectorBytes);
}

/** What each sector may hold if some of the operations were done. */
function candidates(first: number, end: number): Map<number, Buffer[]> {
  const found = new Map<number, Buffer[]>();
  for (let number = first; number < end; number++) {
    const { offset, bytes } = operationOf(number, seed);
    for (let at = 0; at < bytes.length; at += sectorBytes) {
      const sector = (offset + at) / sectorBytes;
      found.set(sector, [...(found.get(sector) ?? []), bytes.subarray(at, at + sectorBytes)]);
    }
  }
  return found;
}
