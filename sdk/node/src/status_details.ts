// The details of a gRPC status: `google.rpc.Status` with ErrorInfo and BadRequest, of which only two texts are read. The types
// are small, so the wire format is read here instead of by another dependency.
import type { Metadata } from '@grpc/grpc-js';

/** The length-delimited fields of a protobuf message, by number. Other fields are skipped. */
function fieldsOf(bytes: Uint8Array): [number, Uint8Array][] {
  const fields: [number, Uint8Array][] = [];
  let at = 0;
  const varint = () => {
    let [value, shift] = [0, 0];
    while (at < bytes.length) {
      const byte = bytes[at++]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
      shift += 7;
    }
    return value;
  };
  while (at < bytes.length) {
    const tag = varint();
    if ((tag & 7) === 0) varint();
    else if ((tag & 7) === 2) {
      const end = varint() + at;
      fields.push([tag >> 3, bytes.subarray(at, end)]);
      at = end;
    } else return fields; // no such field in these types
  }
  return fields;
}

const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString();

/** The reason of ErrorInfo, and the first violation of BadRequest as `field: description`. */
export function reasonOf(metadata: Metadata): { reason: string; violation?: string } {
  const [details] = metadata.get('grpc-status-details-bin');
  const found: { reason: string; violation?: string } = { reason: '' };
  if (!Buffer.isBuffer(details)) return found;
  // Status: 3 details; Any: 1 type, 2 value; ErrorInfo: 1 reason; BadRequest: 1 violations; violation: 1 field, 2 description.
  for (const [number, any] of fieldsOf(details)) {
    if (number !== 3) continue;
    const { 1: type, 2: value } = Object.fromEntries(fieldsOf(any));
    const first = fieldsOf(value ?? new Uint8Array()).find(([field]) => field === 1)?.[1];
    if (text(type).endsWith('google.rpc.ErrorInfo')) found.reason = text(first);
    if (text(type).endsWith('google.rpc.BadRequest') && first) {
      const { 1: field, 2: description } = Object.fromEntries(fieldsOf(first));
      found.violation = `${text(field)}: ${text(description)}`;
    }
  }
  return found;
}
