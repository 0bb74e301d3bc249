/**
 * What main thread and workers tell each other. Contents lie in shared memory, in decoding and in storing; what a client has encoded is handed over.
 */

/** Workers that read chunks into the slab. */
export interface DecodeSetup {
  readonly kind: 'decode';
  readonly memory: SharedArrayBuffer;
  /** Raw 32-byte encryption keys; jobs name them by their number here. */
  readonly keys: readonly Uint8Array[];
}

/** Workers that write chunks from it. */
export interface StoreSetup extends ChunkPlace {
  readonly kind: 'store';
  readonly memory: SharedArrayBuffer;
  /** Raw 32 bytes; present if chunks are to be encrypted. */
  readonly key: Uint8Array | undefined;
}

/** Where chunk files go, and how. */
export interface ChunkPlace {
  /** `.chunks` of a datastore. */
  readonly chunksDirectory: string;
  /** Where files lie until they are whole; best on the same file system. */
  readonly temporaryDirectory: string;
  /** Of new files; undefined: whoever runs this. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  /** Whether each chunk is to survive a power cut as soon as it is stored. */
  readonly durable: boolean;
}

/** Workers that write what clients have encoded, for any store. */
export interface InsertSetup {
  readonly kind: 'insert';
}

/** Workers that make encoded chunks in memory. */
export interface EncodeSetup {
  readonly kind: 'encode';
  readonly memory: SharedArrayBuffer;
  /** Raw 32 bytes; present if chunks are to be encrypted. */
  readonly key: Uint8Array | undefined;
}

export type WorkerSetup = DecodeSetup | StoreSetup | InsertSetup | EncodeSetup;

export interface DecodeJob {
  readonly kind: 'decode';
  /** The file of the chunk; of one that was fetched what messages call it. */
  readonly path: string;
  /** What was fetched: all of its memory, which goes over to the worker. */
  readonly encoded?: Uint8Array<ArrayBuffer> | undefined;
  /** A file of a disk cache: it is removed if it can't be decoded. */
  readonly isCached?: boolean;
  /** A copy of the file goes into a disk cache when it is verified. */
  readonly keep?: KeepOrder | undefined;
  readonly digest: Uint8Array;
  /** -1: the chunk is not encrypted. */
  readonly keyNumber: number;
  readonly offset: number;
  readonly length: number;
}

export interface KeepOrder {
  readonly path: string;
  /** On the same file system. */
  readonly temporaryDirectory: string;
  /** Files that have to go before. */
  readonly evict: readonly string[];
}

/** The content is [offset, offset + length) of the memory. */
export interface StoreJob {
  readonly kind: 'store';
  readonly offset: number;
  readonly length: number;
}

export interface StoreZerosJob {
  readonly kind: 'storeZeros';
  readonly length: number;
}

export interface TouchJob {
  readonly kind: 'touch';
  /** One after the other, 32 bytes each. */
  readonly digests: Uint8Array;
  /** Bytes of content of each. */
  readonly lengths: readonly number[];
}

/** Makes the file system of an open descriptor durable. */
export interface SyncJob {
  readonly kind: 'sync';
  readonly fd: number;
}

/** What a client sent as a chunk; to be checked. */
export interface InsertJob {
  readonly kind: 'insert';
  /** In shared memory, or all of its memory, which goes over to the worker. */
  readonly encoded: Uint8Array;
  readonly digest: Uint8Array;
  /** Bytes of content. */
  readonly length: number;
  readonly place: ChunkPlace;
}

/** [offset, offset + length) of the memory; without an offset zeros, which lie nowhere. */
export interface ContentPlace {
  readonly offset: number | undefined;
  readonly length: number;
}

export interface DigestJob extends ContentPlace {
  readonly kind: 'digest';
}

export interface EncodeJob extends ContentPlace {
  readonly kind: 'encode';
  /** For the longest chunk file that may come of it: in shared memory, or all of its memory, which goes over to the worker. */
  readonly room: Uint8Array;
}

export type Job = DecodeJob | StoreJob | StoreZerosJob | TouchJob | SyncJob | InsertJob | DigestJob | EncodeJob;

/** How many bytes the file in the disk cache has, or why it is not there. */
export type KeepOutcome =
  | { readonly bytes: number; readonly failure?: undefined }
  | { readonly failure: { readonly code: string | undefined; readonly message: string } };

export interface InsertOutcome {
  readonly added: boolean;
  /** Bytes of the file that is there now. */
  readonly encodedBytes: number;
}

export interface StoreOutcome {
  readonly digest: Uint8Array;
  readonly added: boolean;
  readonly encodedBytes: number;
}

interface Outcomes {
  /** The chunk is whole and verified in the slab; undefined if it was not to be kept. */
  readonly decode: KeepOutcome | undefined;
  readonly store: StoreOutcome;
  readonly storeZeros: StoreOutcome;
  /** Positions of those that have to be put again. */
  readonly touch: readonly number[];
  readonly sync: undefined;
  readonly insert: InsertOutcome;
  readonly digest: { readonly digest: Uint8Array };
  /** A whole chunk file, at the beginning of the room, which comes back. */
  readonly encode: { readonly encoded: Uint8Array };
}

export type OutcomeOf<J extends Job> = Outcomes[J['kind']];

export interface NumberedJob {
  readonly number: number;
  readonly job: Job;
}

/** `end`: no further job will come. */
export type WorkerRequest = NumberedJob | 'end';

export interface JobFailure {
  readonly code: string | undefined;
  readonly errno: number | undefined;
  readonly syscall: string | undefined;
  readonly path: string | undefined;
  readonly message: string;
}

export type JobResult = { readonly number: number } & (
  | { readonly outcome: OutcomeOf<Job>; readonly failure?: undefined }
  | { readonly failure: JobFailure }
);

/** `ready`: the thread has started and loaded what it needs. */
export type WorkerAnswer = JobResult | 'ready';
