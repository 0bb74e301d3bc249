/** The images of one staging directory: each has a state directory, and an empty file beside the other files that its name and owner are on. */
import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ArchiveContext } from '../../archive/archive-context.js';
import { StagedImage } from './image-file.js';
import type { ImageWorks } from './image-works.js';

export class StagedImages {
  readonly #context: ArchiveContext;
  /** Of the staging directory in the tree, for messages. */
  readonly #path: string;
  readonly #directory: string;
  readonly #works: () => Promise<ImageWorks>;
  readonly #closed: () => void;
  readonly #open = new Map<string, Promise<StagedImage>>();
  /** How often each is open, and those of them whose name is gone. */
  readonly #users = new Map<StagedImage, number>();
  readonly #removed = new Set<StagedImage>();

  /** `closed` is called when an image that was removed needs nothing any more. */
  constructor(context: ArchiveContext, path: string, directory: string, works: () => Promise<ImageWorks>, closed: () => void) {
    this.#context = context;
    this.#path = path;
    this.#directory = directory;
    this.#works = works;
    this.#closed = closed;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  /** Those that there were when the spool was last used. */
  names(): string[] {
    return readdirSync(this.#directory);
  }

  /** Whether there is an image, or one that is still open. */
  get any(): boolean {
    return this.#open.size > 0 || this.#removed.size > 0 || this.names().length > 0;
  }

  /** Rejects as image() would for a new one. */
  async check(): Promise<void> {
    await this.#works();
  }

  /** The image of this name, empty if it is a new one. */
  image(name: string): Promise<StagedImage> {
    let opening = this.#open.get(name);
    if (opening === undefined) {
      opening = this.#openImage(name);
      this.#open.set(name, opening);
      // Who comes next tries again.
      opening.catch(() => this.#open.delete(name));
    }
    return opening;
  }

  /** Somebody has it open from now on. */
  hold(image: StagedImage): void {
    this.#users.set(image, (this.#users.get(image) ?? 0) + 1);
  }

  letGo(image: StagedImage): void {
    const users = (this.#users.get(image) ?? 1) - 1;
    if (users > 0) this.#users.set(image, users);
    else this.#users.delete(image);
    if (users === 0 && this.#removed.delete(image)) this.#closeQuietly(image);
  }

  /** Who has it open goes on with it: the image is given then. */
  remove(name: string): Promise<StagedImage> | undefined {
    const opening = this.#open.get(name);
    this.#open.delete(name);
    rmSync(join(this.#directory, name), { recursive: true, force: true });
    opening?.then(
      (image) => {
        if (this.#users.has(image)) this.#removed.add(image);
        else this.#closeQuietly(image);
      },
      () => undefined,
    );
    return opening;
  }

  /** The name is free. */
  rename(from: string, to: string): void {
    renameSync(join(this.#directory, from), join(this.#directory, to));
    const opening = this.#open.get(from);
    this.#open.delete(from);
    if (opening !== undefined) this.#open.set(to, opening);
  }

  async opened(): Promise<StagedImage[]> {
    const settled = await Promise.allSettled(this.#open.values());
    return settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  }

  async close(): Promise<void> {
    const images = [...(await this.opened()), ...this.#removed];
    this.#open.clear();
    this.#removed.clear();
    await Promise.allSettled(images.map((image) => image.close()));
  }

  /** What it could not flush is of no use to anybody. */
  #closeQuietly(image: StagedImage): void {
    image.close().then(this.#closed, this.#closed);
  }

  async #openImage(name: string): Promise<StagedImage> {
    const { writer, rooms, keyNumber } = await this.#works();
    const { cache, damage } = this.#context;
    return await StagedImage.open({ path: `${this.#path}/${name}`, directory: join(this.#directory, name), writer, rooms, cache, keyNumber, damage });
  }
}
