/** The catalog of all archives of a snapshot that are not split; there is none where there is no such archive. Format: pxar, section 5. */
import { performance } from 'node:perf_hooks';
import { catalogFileName, logicalName } from '../format/archive-name.js';
import { CatalogWriter } from '../format/catalog-writer.js';
import type { BackupSession } from '../store/backup-session.js';
import type { MaybePromise } from '../vfs/file-system.js';
import type { ArchiveCatalog } from './archive-options.js';
import type { BackupContext } from './snapshot-writer.js';
import { StreamSink } from './stream-sink.js';
import { StreamWriter } from './stream-writer.js';

const averageBytes = 512 * 1024;

export class CatalogStream {
  readonly #session: BackupSession;
  #open: OpenCatalog | undefined;

  constructor(session: BackupSession) {
    this.#session = session;
  }

  /** For an archive, which becomes one of its outermost directories. */
  open(): ArchiveCatalog {
    this.#open ??= new OpenCatalog(this.#session);
    return this.#open;
  }

  async finish({ manifest, observer }: BackupContext): Promise<void> {
    if (this.#open === undefined) return;
    const begun = performance.now();
    const { writer, stream } = this.#open;
    writer.finish();
    await this.#open.flush();
    const written = await stream.finish();
    manifest.addIndex(written);
    const { bytes, bytesAdded, encodedBytesAdded: bytesStored } = written.figures;
    const durationMs = performance.now() - begun;
    observer.finishedArchive({ name: logicalName(catalogFileName), kind: 'catalog', bytes, bytesReused: bytes - bytesAdded, bytesStored, durationMs });
  }

  async abort(): Promise<void> {
    await this.#open?.stream.abort();
  }
}

class OpenCatalog implements ArchiveCatalog {
  readonly stream: StreamWriter;
  readonly writer: CatalogWriter;
  readonly #sink: StreamSink;

  constructor(session: BackupSession) {
    this.stream = new StreamWriter({ target: session.openIndex(catalogFileName), filename: catalogFileName, averageBytes, cuts: 'hash' });
    this.#sink = new StreamSink(this.stream);
    this.writer = new CatalogWriter((bytes) => this.#sink.write(bytes));
  }

  flush(): MaybePromise<void> {
    return this.#sink.flush();
  }
}
