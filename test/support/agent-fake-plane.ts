/** The control plane's end of the session in memory: the real machine on both ends, and a test that decides. */
import { encode } from '#shared/protocol/codec.ts'
import type { Connect, Enroll, Welcome } from '#shared/protocol/hello.ts'
import type { Order } from '#shared/protocol/orders.ts'
import type { Report } from '#shared/protocol/reports.ts'
import {
  type ControlPlaneState,
  openControlPlane,
  stepControlPlane,
} from '#shared/protocol/session.ts'
import { PROTOCOL } from '#shared/protocol/version.ts'
import { systemClock } from '#agent/io/world.ts'
import type { Dial } from '#agent/ports.ts'
import { anId } from './agent-control-plane.ts'

type Without<M> = M extends unknown ? Omit<M, 'id'> : never

export type FakePlane = {
  readonly dial: Dial
  /** Everything that was reported, heartbeats too. */
  readonly reports: Report[]
  readonly introductions: (Enroll | Connect)[]
  connections: number
  /** Why the agent left the last connection. */
  left: number[]
  /** What is answered to an introduction; null lets the agent in. */
  refuse: string | null
  /** What is done with a report; what it gives is sent. */
  on: (report: Report) => readonly Without<Order>[]
  send(order: Without<Order>): void
  /** The line breaks. */
  cut(): void
  welcome: Partial<Welcome>
}

export const fakePlane = (): FakePlane => {
  let send: (order: Without<Order>) => void = () => undefined
  let cut: () => void = () => undefined
  const plane: FakePlane = {
    reports: [],
    introductions: [],
    connections: 0,
    left: [],
    refuse: null,
    welcome: {},
    on: (report) => (report.type === 'heartbeat' ? [leases(report)] : []),
    send: (order) => send(order),
    cut: () => cut(),
    dial: (_url, on) => {
      plane.connections += 1
      const challenge = Buffer.alloc(32, plane.connections).toString('base64url')
      const now = (): number => systemClock.monotonic()
      const [first, effects] = openControlPlane(
        { type: 'challenge', id: anId(), protocol: PROTOCOL, challenge, time: Date.now() },
        now(),
      )
      let state: ControlPlaneState = first
      let open = true
      const close = (): void => {
        if (!open) return
        open = false
        on.closed('the line broke')
      }
      const perform = (list: typeof effects): void => {
        for (const effect of list) {
          if (effect.kind === 'send') {
            const frame = encode(effect.message)
            queueMicrotask(() => (open ? on.frame(frame) : undefined))
          } else if (effect.kind === 'close') queueMicrotask(close)
          else if (effect.kind === 'introduced') {
            plane.introductions.push(effect.message)
            decide()
          } else if (effect.kind === 'deliver') {
            plane.reports.push(effect.message)
            for (const order of plane.on(effect.message)) send(order)
          }
        }
      }
      const feed = (event: Parameters<typeof stepControlPlane>[1]): void => {
        const [next, list] = stepControlPlane(state, event, now())
        state = next
        perform(list)
      }
      const decide = (): void => {
        if (plane.refuse !== null) {
          const problem = { code: plane.refuse, message: 'no' }
          feed({ kind: 'rejected', refused: { type: 'refused', id: anId(), problem } })
          return
        }
        const welcome: Welcome = {
          type: 'welcome',
          id: anId(),
          version: 1,
          server: anId(),
          catalog_epoch: 1,
          heartbeat_seconds: 1,
          joins: 1,
          ...plane.welcome,
        }
        feed({ kind: 'accepted', welcome })
      }
      send = (order) => feed({ kind: 'send', message: { ...order, id: anId() } as Order })
      cut = close
      queueMicrotask(() => perform(effects))
      return {
        send: (frame) => (open ? feed({ kind: 'frame', frame }) : undefined),
        close: (code) => {
          plane.left.push(code)
          queueMicrotask(close)
        },
        drop: close,
      }
    },
  }
  return plane
}

/** Renews all runs of a heartbeat under epochs that are one higher. */
export const leases = (
  beat: Extract<Report, { type: 'heartbeat' }>,
  lost: string[] = [],
): Without<Order> => ({
  type: 'leases',
  re: beat.id,
  renewed: beat.runs
    .filter(({ run }) => !lost.includes(run))
    .map(({ run, epoch }) => ({ run, epoch: epoch + 1, lease_seconds: 60 })),
  lost,
})
