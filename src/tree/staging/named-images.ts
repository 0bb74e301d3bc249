/** Which inodes of a staging directory are images: by their names there, and without one when they are removed but open still. */
import { FileError } from '../../errors.js';
import type { Ino } from '../../vfs/file-system.js';
import type { StagedImage } from './image-file.js';
import type { StagedImages } from './staged-images.js';

interface Place {
  /** Undefined: it was removed. */
  name: string | undefined;
  /** What it was then, if it was in use. */
  removed: Promise<StagedImage> | undefined;
}

export class NamedImages {
  readonly #images: StagedImages;
  readonly #places = new Map<Ino, Place>();
  /** Those that were written since the time of their files in the spool was set. */
  readonly #written = new Set<Ino>();

  constructor(images: StagedImages) {
    this.#images = images;
  }

  has(ino: Ino): boolean {
    return this.#places.has(ino);
  }

  /** The kernel knows the inode by this name now. */
  tell(ino: Ino, name: string): void {
    this.#places.set(ino, { name, removed: undefined });
  }

  forget(ino: Ino): void {
    this.#places.delete(ino);
    this.#written.delete(ino);
  }

  /** Undefined if it is no image. Rejects as StagedImages.image(), and with STALE. */
  image(ino: Ino): Promise<StagedImage> | undefined {
    const place = this.#places.get(ino);
    if (place === undefined) return undefined;
    if (place.name !== undefined) return this.#images.image(place.name);
    return place.removed ?? Promise.reject(new FileError('STALE', 'the image was removed'));
  }

  /** Whoever has it open goes on with it, and with nothing that gets the name after it. */
  remove(name: string): void {
    const removed = this.#images.remove(name);
    const place = this.#placeOf(name);
    if (place !== undefined) Object.assign(place, { name: undefined, removed });
  }

  /** Takes the place of another one. */
  rename(from: string, to: string): void {
    if (from === to) return;
    this.remove(to);
    this.#images.rename(from, to);
    const place = this.#placeOf(from);
    if (place !== undefined) place.name = to;
  }

  noteWrite(ino: Ino): void {
    this.#written.add(ino);
  }

  /** Whether it was written since this was asked last: its time is to be set, or is set to another one. */
  takeWritten(ino: Ino): boolean {
    return this.#written.delete(ino);
  }

  #placeOf(name: string): Place | undefined {
    return [...this.#places.values()].find((place) => place.name === name);
  }
}
