import { expect, test } from 'vitest'
import { pickAccount } from '#server/io/embedded/postgres/account.ts'
import { parsePidFile } from '#server/io/embedded/postgres/processes.ts'

test('the account is a dedicated one, else that of PostgreSQL, else nobody, and never root', () => {
  const root = 'root:x:0:0:root:/root:/bin/bash\n'
  const nobody = 'nobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin\n'
  const postgres = 'postgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash\n'
  const holdfast = 'holdfast:x:900:901::/:/bin/false\n'
  expect(pickAccount(root + nobody + postgres + holdfast)).toEqual({ uid: 900, gid: 901 })
  expect(pickAccount(root + nobody + postgres)).toEqual({ uid: 101, gid: 104 })
  expect(pickAccount(root + nobody)).toEqual({ uid: 65534, gid: 65533 })
  expect(pickAccount(`postgres:x:0:0::/:/bin/sh\n${nobody}`)).toEqual({ uid: 65534, gid: 65533 })
  expect(pickAccount('')).toEqual({ uid: 65534, gid: 65534 })
})

test('a pid file tells number and socket folder; one that is half written tells nothing', () => {
  const whole =
    '4711\n/proc/self/cwd\n1795227003\n5432\n/tmp/hf-1\n\n  2238714         8\nready   \n'
  expect(parsePidFile(whole)).toEqual({ pid: 4711, socket: '/tmp/hf-1' })
  for (const text of [
    '',
    '4711\n',
    '4711\n/data\n1\n5432\n',
    'x\n/d\n1\n5432\n/tmp\n',
    '-5\n/d\n1\n5432\n/tmp\n',
  ])
    expect(parsePidFile(text)).toBeNull()
})
