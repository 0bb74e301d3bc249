import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { extract } from 'tar';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    sampleStore: string;
  }
}

/** Unpacks the sample datastore once for all tests, which only read it (or copy it first). */
export default async function setup(project: TestProject): Promise<() => void> {
  const directory = mkdtempSync(join(tmpdir(), 'pbsfs-test-'));
  await extract({ file: new URL('../../sample/datastore.tar.gz', import.meta.url).pathname, cwd: directory });
  project.provide('sampleStore', directory);
  return () => {
    rmSync(directory, { recursive: true, force: true });
  };
}
