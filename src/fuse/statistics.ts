/** Counts per operation. */
import type { OperationStatistics } from '../vfs/driver.js';
import { opcodeName, opcodesMax } from './wire/opcode.js';

export class OperationCounters {
  readonly #counts = new Float64Array(opcodesMax);
  readonly #errors = new Float64Array(opcodesMax);

  count(opcode: number): void {
    const index = Math.min(opcode, opcodesMax - 1);
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
  }

  countError(opcode: number): void {
    const index = Math.min(opcode, opcodesMax - 1);
    this.#errors[index] = (this.#errors[index] ?? 0) + 1;
  }

  /** The operations that were asked for at all. */
  list(): OperationStatistics[] {
    const list: OperationStatistics[] = [];
    this.#counts.forEach((count, index) => {
      if (count > 0) list.push({ name: opcodeName(index), count, errors: this.#errors[index] ?? 0 });
    });
    return list;
  }
}
