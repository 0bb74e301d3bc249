/** Making a whole file system durable. */
import { check, systemCalls } from './system-calls.js';

/** Writes everything of the file system that the descriptor is on; errors since the descriptor was opened are thrown. */
export function syncFileSystem(fd: number): void {
  check(systemCalls().syncfs(fd), 'syncfs');
}
