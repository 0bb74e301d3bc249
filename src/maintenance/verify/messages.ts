/** What the threads that verify chunks are told, and tell. */

export interface VerifySetup {
  /** `.chunks` of the datastore. */
  readonly chunksDirectory: string;
}

export interface VerifyBatch {
  /** One after the other, 32 bytes each. */
  readonly digests: Uint8Array;
  /** Bytes of content of each. */
  readonly lengths: readonly number[];
  /** Whether they have to be encrypted. */
  readonly encrypted: boolean;
}

/** `corrupt`: the file is worth nothing. `wrong`: it is no chunk of such an archive, or could not be read. */
export interface ChunkFault {
  readonly position: number;
  readonly kind: 'missing' | 'corrupt' | 'wrong';
  readonly message: string;
}

export interface VerifyAnswer {
  readonly faults: readonly ChunkFault[];
  /** Of files. */
  readonly bytes: number;
}

export type VerifyRequest = VerifyBatch | 'end';
