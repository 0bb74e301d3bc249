/** All calls of a datastore. Format: protocol, section 8.1. */
import type { Endpoint } from '../endpoint.js';
import { archiveFileEndpoint, catalogEndpoint } from './archive-files.js';
import { uploadLogEndpoint } from './backup-log.js';
import { downloadDecodedEndpoint, downloadEndpoint } from './download.js';
import { gcStartEndpoint, gcStatusEndpoint } from './garbage.js';
import { filesEndpoint, groupsEndpoint, snapshotsEndpoint } from './listings.js';
import { createNamespaceEndpoint, deleteNamespaceEndpoint, namespacesEndpoint } from './namespaces.js';
import { notesEndpoints } from './notes.js';
import { changeOwnerEndpoint } from './owner.js';
import { pruneDatastoreEndpoint, pruneEndpoint } from './prune.js';
import { forgetEndpoint, forgetGroupEndpoint } from './removal.js';
import { statusEndpoint } from './status.js';
import { verifyEndpoint } from './verify.js';

export const datastoreEndpoints: readonly Endpoint[] = [
  statusEndpoint,
  groupsEndpoint,
  snapshotsEndpoint,
  filesEndpoint,
  ...notesEndpoints,
  forgetEndpoint,
  forgetGroupEndpoint,
  changeOwnerEndpoint,
  uploadLogEndpoint,
  pruneEndpoint,
  pruneDatastoreEndpoint,
  gcStatusEndpoint,
  gcStartEndpoint,
  verifyEndpoint,
  namespacesEndpoint,
  createNamespaceEndpoint,
  deleteNamespaceEndpoint,
  downloadEndpoint,
  downloadDecodedEndpoint,
  catalogEndpoint,
  archiveFileEndpoint,
];
