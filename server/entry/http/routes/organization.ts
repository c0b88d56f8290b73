import {
  KitConfirmation,
  Organization,
  OrganizationChange,
  RecoveryAnswer,
  RecoveryQuery,
} from '#shared/api/organization.ts'
import { one } from '#shared/api/shapes.ts'
import { pageRequest } from '../../../core/page.ts'
import { confirmKit, type ConfirmKitParts } from '../../../flow/confirm-kit.ts'
import type { App, Routes } from '../app.ts'
import { callerOf } from '../auth.ts'
import { listAnswer } from '../lists.ts'

export const organizationRoutes =
  (parts: ConfirmKitParts): Routes =>
  (app: App) => {
    app.get(
      '/v1/organization',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'The organization, its limits, its recovery key',
          response: { 200: one(Organization) },
        },
      },
      async (request) => ({ data: await parts.organization.get(callerOf(request)) }),
    )
    app.patch(
      '/v1/organization',
      {
        config: { scope: 'admin', of: 'organization' },
        schema: {
          summary: "Change the organization's name and limits",
          body: OrganizationChange,
          response: { 200: one(Organization) },
        },
      },
      async (request) => ({
        data: await parts.organization.change(callerOf(request), request.body),
      }),
    )
    app.get(
      '/v1/organization/recovery',
      {
        config: { scope: 'read' },
        schema: {
          summary: 'What the holder of the recovery kit has to know, vault by vault',
          querystring: RecoveryQuery,
          response: { 200: RecoveryAnswer },
        },
      },
      async (request) => {
        const page = pageRequest(request.query)
        const { about, vaults } = await parts.organization.recovery(callerOf(request), page)
        const { data, meta } = listAnswer(request, page, vaults)
        return { data: { ...about, vaults: data }, meta }
      },
    )
    app.post(
      '/v1/organization/recovery/confirm',
      {
        config: { scope: 'admin', of: 'organization' },
        schema: {
          summary: 'Prove that the recovery kit is at hand',
          body: KitConfirmation,
          response: { 200: one(Organization) },
        },
      },
      async (request) => ({ data: await confirmKit(parts, callerOf(request), request.body) }),
    )
  }
