/** What is told about the backup of an image, in the words that admins of such backups know. */
import { sizeText } from '../format/size-text.js';
import type { ImageFigures } from './image-chunks.js';

/** `drive-scsi0: dirty-bitmap status: OK (2.2 GiB of 4.0 GiB dirty)`. `image`: its name, with or without `.img`. */
export function dirtyBitmapLine(image: string, status: string, bytes: { readonly dirty: number; readonly total: number }): string {
  return `${image.replace(/\.img$/, '')}: dirty-bitmap status: ${statusText(status, bytes)}`;
}

/** The lines at the end, for one image or the sum of several. */
export function imageSummary(figures: Readonly<Pick<ImageFigures, 'bytes' | 'bytesRead' | 'bytesReused' | 'sparseBytes'>>, durationMs: number): string[] {
  const { bytes, bytesRead, bytesReused, sparseBytes } = figures;
  return [
    ...(sparseBytes > 0 ? [`backup is sparse: ${partText(sparseBytes, bytes)} total zero data`] : []),
    ...(bytesReused > 0 ? [`backup was done incrementally, reused ${partText(bytesReused, bytes)}`] : []),
    `transferred ${sizeText(bytesRead)} in ${secondsText(durationMs)} (${sizeText(rateOf(bytesRead, durationMs))}/s)`,
  ];
}

function statusText(status: string, { dirty, total }: { readonly dirty: number; readonly total: number }): string {
  if (status !== 'OK') return `not used, the whole image is read: ${status}`;
  return dirty === 0 ? 'OK (drive clean)' : `OK (${sizeText(dirty)} of ${sizeText(total)} dirty)`;
}

/** Rounded down, so that only the whole is 100%. */
function partText(bytes: number, total: number): string {
  return `${sizeText(bytes)} (${Math.floor((bytes / total) * 100)}%)`;
}

function secondsText(durationMs: number): string {
  const seconds = Math.round(durationMs / 1000);
  return seconds < 1 ? '<1 seconds' : `${seconds} seconds`;
}

function rateOf(bytes: number, durationMs: number): number {
  return Math.round((bytes * 1000) / Math.max(durationMs, 1));
}
