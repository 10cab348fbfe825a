// The short hash of a stream id, for logs: FNV-1a (64 bits) with the finaliser of MurmurHash3, as in all programs.

const mask = (value: bigint) => BigInt.asUintN(64, value);

/** Eight hex digits that identify a stream in logs without revealing the id. */
export function shortHash(streamId: string): string {
  let value = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(streamId)) value = mask((value ^ BigInt(byte)) * 0x100000001b3n);
  value = mask((value ^ (value >> 33n)) * 0xff51afd7ed558ccdn);
  value = mask((value ^ (value >> 33n)) * 0xc4ceb9fe1a85ec53n);
  return ((value ^ (value >> 33n)) >> 32n).toString(16).padStart(8, '0');
}
