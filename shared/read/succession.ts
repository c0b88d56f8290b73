/** Which key may have signed which record, where several are known. FORMAT.md, "Genesis and signers". */
import { toBase64url } from '../format/bytes.ts'

type Signed = {
  /** Number in its (vault, job). */
  readonly sequence: number
  /** Place in the chain of the key that signed it, as `verifyRecord` gave it. */
  readonly signer: number
}

/**
 * Of the records of one job those whose key was replaced before them: one with a lower number was signed by a later key
 * already. A key that stands in the chain more than once counts at each of its places. `signers` is the chain's.
 */
export const signedAfterOffice = <R extends Signed>(
  records: readonly R[],
  signers: readonly Uint8Array[],
): ReadonlySet<R> => {
  const names = signers.map(toBase64url)
  const late = new Set<R>()
  let office = 0
  // Of two with one number (a run that was given up may have left one) the older key's comes first.
  const inOrder = [...records].sort((a, b) => a.sequence - b.sequence || a.signer - b.signer)
  for (const record of inOrder) {
    const place = names.indexOf(names[record.signer] ?? '', office)
    if (place < 0) late.add(record)
    else office = place
  }
  return late
}
