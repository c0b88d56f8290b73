import { expect, test } from 'vitest'
import { enrollOptions } from '#agent/entry/cli/enroll.ts'

test('a fingerprint that begins with a dash is not taken for an option', () => {
  const fingerprint = '-rgPqVv1cVbA3gXgRk1w2mQyC3l0aV0p3B0XQe3mX4A'
  const { confirm } = enrollOptions(['--url', 'http://127.0.0.1:1', `--confirm=${fingerprint}`])
  expect(confirm).toEqual([fingerprint])
})
