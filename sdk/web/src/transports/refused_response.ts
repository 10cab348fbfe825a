/** Reads the refusal of an HTTP response. Used by the HTTP transports and the diagnosis. */
import { isReadable, refusalOf, type Refusal } from '../stream/refusal.js';

/** Reads the text of a short response and classifies the refusal. */
export async function readRefusal(response: Response): Promise<Refusal> {
  const { status, headers } = response;
  const contentType = headers.get('content-type');
  const text = isReadable(contentType) ? await response.text() : '';
  return refusalOf({ status, contentType, retryAfter: headers.get('retry-after'), text });
}
