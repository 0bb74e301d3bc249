/** The library: what the command line does can be done by a program. */
export { FileError, FormatError, CryptoError, MountError, PbsfsError, StoreError, UsageError, type ErrorCode } from './errors.js';
export { EncryptionKey } from './crypto/encryption-key.js';
export { unwrapKeyFile } from './crypto/key-wrap.js';
export { parseKeyFile } from './format/key-file.js';
export type { ChunkIndex } from './format/chunk-index.js';
export type { Manifest, ManifestFile } from './format/manifest.js';
export type { Namespace } from './format/namespace.js';
export type { GroupName, SnapshotName } from './format/snapshot-name.js';
export { openDatastore } from './store/open.js';
export type { Datastore, GroupFacts, SnapshotFacts, StoredFile, StoreSpace } from './store/datastore.js';
export { openDatastoreTree, type DatastoreTree, type TreeOptions } from './tree/datastore-tree.js';
export type * from './vfs/file-system.js';
export type * from './vfs/driver.js';
export { mountDatastore, type MountedDatastore } from './mount/mount-datastore.js';
export { mountRequest, type MountRequest } from './mount/mount-request.js';
