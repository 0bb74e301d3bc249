/**
 * What a new snapshot may take over from the previous one of its group: the server lets the chunks of an index stand in a new one when the index was
 * asked for in the session. Format: protocol, section 12.1; datastore, sections 10.1 and 10.2.
 */
import { decodeBlob } from '../../codec/blob-decoder.js';
import type { EncryptionKey } from '../../crypto/encryption-key.js';
import { reuseFault } from '../../crypto/manifest-signature.js';
import { messageOf } from '../../errors.js';
import { archiveKind, manifestFileName } from '../../format/archive-name.js';
import { encodedBlobBytesMax } from '../../format/blob.js';
import { indexBytesMax, type ChunkIndex } from '../../format/chunk-index.js';
import { parseDynamicIndex } from '../../format/dynamic-index.js';
import { parseFixedIndex } from '../../format/fixed-index.js';
import { parseManifest, type Manifest } from '../../format/manifest.js';
import { loadZstd } from '../../os/zstd/zstd.js';
import type { WriterConnection } from './writer-connection.js';

/** Of all indexes that servers make. */
const fixedChunkBytes = 4 << 20;

export class PreviousFiles {
  readonly #connection: WriterConnection;
  readonly #manifest: Manifest;
  readonly #isEncrypted: boolean;
  /** Why no encrypted chunks of it may be taken over. */
  readonly #fault: string | undefined;
  readonly #warn: (line: string) => void;

  private constructor(connection: WriterConnection, manifest: Manifest, key: EncryptionKey | undefined, warn: (line: string) => void) {
    this.#connection = connection;
    this.#manifest = manifest;
    this.#isEncrypted = key !== undefined;
    this.#fault = key && reuseFault(manifest, key);
    this.#warn = warn;
  }

  /** Undefined if there is no manifest that can be read: everything is sent then. */
  static async read(connection: WriterConnection, key: EncryptionKey | undefined, warn: (line: string) => void): Promise<PreviousFiles | undefined> {
    try {
      const blob = await connection.previousFile(manifestFileName, encodedBlobBytesMax);
      return new PreviousFiles(connection, parseManifest(decodeBlob(blob, await loadZstd(), undefined)), key, warn);
    } catch (error) {
      connection.ended.throwIfAborted();
      warn(`the manifest of the previous snapshot can't be read, so that nothing of it is reused: ${messageOf(error)}`);
      return undefined;
    }
  }

  /** Of the snapshot, as its manifest has it: seconds since 1970. */
  get time(): number {
    return this.#manifest.backupTime;
  }

  /** Undefined if there is none, if its chunks are encrypted otherwise, or if it is not what its manifest says. */
  async index(fileName: string): Promise<ChunkIndex | undefined> {
    const file = this.#manifest.files.find(({ filename }) => filename === fileName);
    if (file === undefined || this.#fault !== undefined || this.#isEncrypted !== (file.cryptMode === 'encrypt')) return undefined;
    try {
      const bytes = await this.#connection.previousFile(fileName, indexBytesMax);
      const index = archiveKind(fileName) === 'fixed' ? parseFixedIndex(bytes) : parseDynamicIndex(bytes);
      const isWhole = index.size === file.size && index.computeCsum().toString('hex') === file.csum;
      if (isWhole && (index.kind === 'dynamic' || index.endOf(0) === Math.min(fixedChunkBytes, index.size))) return index;
      this.#warn(`the previous ${fileName} is not what its manifest says, nothing of it is reused: verify its snapshot`);
    } catch (error) {
      this.#connection.ended.throwIfAborted();
      this.#warn(`the previous ${fileName} can't be read, nothing of it is reused: ${messageOf(error)}`);
    }
    return undefined;
  }
}
