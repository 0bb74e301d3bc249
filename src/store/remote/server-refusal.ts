/** The server understood and said no. */
import { StoreError, type StoreErrorCode } from '../../errors.js';

export class ServerRefusal extends StoreError {
  constructor(
    readonly status: number,
    /** What the server says, one line; for people only. */
    readonly text: string,
    code: StoreErrorCode,
    message: string,
  ) {
    super(code, message);
  }
}
