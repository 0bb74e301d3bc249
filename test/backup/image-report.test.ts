import { expect, test } from 'vitest';
import { dirtyBitmapLine, imageSummary } from '../../src/backup/image-report.js';

const gib = 2 ** 30;

test('the status of a bitmap', () => {
  const bytes = { dirty: 2.2 * gib, total: 4 * gib };
  expect(dirtyBitmapLine('drive-scsi0.img', 'OK', bytes)).toBe('drive-scsi0: dirty-bitmap status: OK (2.2 GiB of 4.0 GiB dirty)');
  expect(dirtyBitmapLine('drive-scsi0', 'OK', { ...bytes, dirty: 0 })).toBe('drive-scsi0: dirty-bitmap status: OK (drive clean)');
  expect(dirtyBitmapLine('drive-scsi0.img', 'the image had 1 bytes and has 2 now', bytes)).toBe(
    'drive-scsi0: dirty-bitmap status: not used, the whole image is read: the image had 1 bytes and has 2 now',
  );
});

test('the summary', () => {
  const figures = { bytes: 4 * gib, bytesRead: 2.2 * gib, bytesReused: 1.8 * gib, sparseBytes: 1.2 * gib };
  expect(imageSummary(figures, 11_000)).toEqual([
    'backup is sparse: 1.2 GiB (30%) total zero data',
    'backup was done incrementally, reused 1.8 GiB (45%)',
    'transferred 2.2 GiB in 11 seconds (204.8 MiB/s)',
  ]);
});

test('nothing reused, nothing sparse, no time', () => {
  const figures = { bytes: gib, bytesRead: gib, bytesReused: 0, sparseBytes: 0 };
  expect(imageSummary(figures, 400)).toEqual(['transferred 1.0 GiB in <1 seconds (2.5 GiB/s)']);
  expect(imageSummary({ ...figures, bytesRead: 0 }, 0)).toEqual(['transferred 0 B in <1 seconds (0 B/s)']);
});

test('only the whole is 100%', () => {
  const figures = { bytes: 1000, bytesRead: 1, bytesReused: 999, sparseBytes: 1000 };
  expect(imageSummary(figures, 1000).slice(0, 2)).toEqual(['backup is sparse: 1000 B (100%) total zero data', 'backup was done incrementally, reused 999 B (99%)']);
});
