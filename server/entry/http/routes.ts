/** All routes of the API, in one list: what is served is what is documented and what the tests walk through. */
import type { Routes } from './app.ts'
import { documentRoutes } from './openapi/document.ts'
import { backupEventRoutes } from './routes/backup-events.ts'
import { backupRoutes } from './routes/backups.ts'
import { downloadRoutes } from './routes/downloads.ts'
import { encryptionKeyRoutes } from './routes/encryption-keys.ts'
import { fileRoutes } from './routes/files.ts'
import { healthRoutes } from './routes/health.ts'
import { jobRoutes } from './routes/jobs.ts'
import { meRoutes } from './routes/me.ts'
import { openRequestRoutes } from './routes/open-requests.ts'
import { organizationRoutes } from './routes/organization.ts'
import { projectRoutes } from './routes/projects.ts'
import { restoreRoutes } from './routes/restores.ts'
import { serverRoutes } from './routes/servers.ts'
import { storageRoutes } from './routes/storages.ts'
import { tokenRoutes } from './routes/tokens.ts'
import { verificationRoutes } from './routes/verifications.ts'

type PartsOf<Make extends (parts: never) => Routes> = Parameters<Make>[0]

export type ApiParts = PartsOf<typeof organizationRoutes> &
  PartsOf<typeof tokenRoutes> &
  PartsOf<typeof serverRoutes> &
  PartsOf<typeof storageRoutes> &
  PartsOf<typeof jobRoutes> &
  PartsOf<typeof backupRoutes> &
  PartsOf<typeof backupEventRoutes> &
  PartsOf<typeof restoreRoutes> &
  PartsOf<typeof openRequestRoutes> &
  PartsOf<typeof downloadRoutes> &
  PartsOf<typeof verificationRoutes> & {
    readonly health: PartsOf<typeof healthRoutes>
    readonly organizations: PartsOf<typeof meRoutes>
    readonly projects: PartsOf<typeof projectRoutes>
    readonly keys: PartsOf<typeof encryptionKeyRoutes>
    readonly browsing: PartsOf<typeof fileRoutes>
  }

export const apiRoutes = (parts: ApiParts): Routes[] => [
  documentRoutes(parts.health.version),
  healthRoutes(parts.health),
  meRoutes(parts.organizations),
  organizationRoutes(parts),
  tokenRoutes(parts),
  projectRoutes(parts.projects),
  serverRoutes(parts),
  storageRoutes(parts),
  encryptionKeyRoutes(parts.keys),
  jobRoutes(parts),
  backupRoutes(parts),
  backupEventRoutes(parts),
  fileRoutes(parts.browsing),
  downloadRoutes(parts),
  verificationRoutes(parts),
  restoreRoutes(parts),
  openRequestRoutes(parts),
]
