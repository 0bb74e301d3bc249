/** What opening a datastore on a server needs beside its name. A local one needs nothing of it. */

export interface OpenOptions {
  /** Where PBS_PASSWORD and the like are. */
  readonly environment: NodeJS.ProcessEnv;
  /** Of the server's certificate, as the user gave it. */
  readonly fingerprint?: string | undefined;
  /** Asks a person whether an unknown certificate is the server's. Undefined where nobody can be asked: it is refused. */
  readonly confirmFingerprint?: ((host: string, fingerprint: string) => Promise<boolean>) | undefined;
  /** Asks a person. Undefined where nobody can be asked. */
  readonly askPassword?: ((user: string) => Promise<string>) | undefined;
  /** A read waits at most this long for the server, reconnections included, unless parts of answers come. */
  readonly timeoutMs?: number | undefined;
  /** A read ends by then even so: the kernel waits for it. */
  readonly isBounded?: boolean | undefined;
  readonly warn: (line: string) => void;
}
