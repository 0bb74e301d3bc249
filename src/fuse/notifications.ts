/**
 * Tells the kernel what is old. The kernel takes locks for a notification that it may hold until a request is answered; hence
 * each is written off the main thread and one after the other, so that they wait in one thread at most.
 */
import type { Transport } from './transport.js';
import { invalidateEntryNotification, invalidateInodeNotification } from './wire/notification.js';

/** More than these waiting are not worth remembering: names and attributes are believed for a limited time only. */
const queueMax = 100_000;

export class Notifications {
  readonly #transport: Transport;
  #queue: Buffer[] = [];
  #running = false;
  #stopped = false;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  invalidateEntry(parent: number, name: Buffer): void {
    this.#add(invalidateEntryNotification(parent, name));
  }

  invalidateInode(node: number): void {
    this.#add(invalidateInodeNotification(node));
  }

  stop(): void {
    this.#stopped = true;
    this.#queue = [];
  }

  #add(message: Buffer): void {
    if (this.#stopped || this.#queue.length >= queueMax) return;
    this.#queue.push(message);
    if (this.#running) return;
    this.#running = true;
    setImmediate(() => void this.#run());
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue;
      this.#queue = [];
      for (const message of batch) {
        if (this.#stopped) break;
        // An error only says that the kernel knew nothing of it, or that the mount is gone.
        await this.#transport.notify(message).catch(() => undefined);
      }
    }
    this.#running = false;
  }
}
