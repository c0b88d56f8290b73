/** Who is connected to this replica. Implements `AgentLinks`. */
import type { ServerId } from '#shared/ids.ts'
import type { AgentLinks, Link } from '../../ports.ts'

export const createLinks = (): AgentLinks => {
  const links = new Map<ServerId, Link>()
  return {
    add: (link) => {
      const older = links.get(link.server)
      links.set(link.server, link)
      older?.close('superseded', 'a newer connection of this server took over')
    },
    remove: (link) => {
      if (links.get(link.server) === link) links.delete(link.server)
    },
    get: (server) => links.get(server) ?? null,
    all: () => [...links.values()],
  }
}
