/** A writer that is killed at any moment leaves a whole snapshot or none, and the next one cleans up. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { start } from '../support/command.js';
import { begin, checkSnapshots, emptyStore, fakeServer, hostSnapshot, openStore, storeNames, writeSnapshot } from '../support/new-snapshots.js';
import { Random, seed } from '../support/random.js';

const time = 1_700_000_000;
const kills = 40;
const writer = new URL('../support/snapshot-writer.js', import.meta.url).pathname;

test(`${kills} times, seed ${seed}`, { timeout: 240_000 }, async () => {
  const random = new Random(seed);
  const directory = emptyStore();
  const { paths } = fakeServer(directory);
  const store = await openStore(directory, paths);
  const seen = { leftovers: 0, warnings: 0, snapshots: 0 };
  for (let n = 0; n < kills; n++) {
    // Most groups are new ones, so that their making is hit, too.
    const id = random.pick(['web', `new${n}`]);
    const child = start(process.execPath, [writer, directory, id, String(time + n * 1000), '1000', paths.configuration, paths.locks]);
    if (random.below(4) > 0) await child.wrote(random.pick([/begun/, /half/, /finished/, /finished[^]*begun/]));
    else await setTimeout(250);
    await setTimeout(random.below(60));
    child.child.kill('SIGKILL');
    await child.exited;
    expect(child.text()).not.toContain('refused');
    seen.warnings += child.text().split('warning').length - 1;
    seen.leftovers += storeNames(directory).filter((name) => /\.pbsfs-[^/]*$/.test(name)).length;
    const count = await checkSnapshots(store);
    expect(count).toBeGreaterThanOrEqual(seen.snapshots);
    seen.snapshots = count;
  }
  expect(seen.leftovers, 'kills that hit').toBeGreaterThan(kills / 4);
  expect(seen.snapshots, 'snapshots that were finished').toBeGreaterThan(1);
  expect(seen.warnings).toBe(0);
  // The next backup of each group leaves nothing of all that.
  for (const id of readdirSync(join(directory, 'host')).filter((name) => !name.startsWith('.'))) {
    await writeSnapshot(await begin(store, hostSnapshot(time + kills * 1000, id), { owner: 'root@pam' }));
  }
  const strange = storeNames(directory).filter((name) => name.includes('.pbsfs-') || name.includes('tmp_') || name.includes('.tmp'));
  expect(strange).toEqual([]);
  for (const group of await store.groups([])) expect((await store.groupFacts(group)).owner).toBe('root@pam');
  await checkSnapshots(store);
});
