/**
 * Diagnosis of requests that failed without a readable response: browsers report a refused certificate, an unknown name,
 * a stopped server and a missing CORS header alike. Two small requests distinguish these causes. Used by the driver.
 */
import { local, type Refusal } from './stream/refusal.js';
import { request } from './transports/http.js';
import { readRefusal } from './transports/refused_response.js';

/** Returns the cause of failing requests to `url`; null if the requests of the diagnosis do not fail. */
export async function diagnose(url: string, credentials: RequestCredentials): Promise<Refusal | null> {
  const { host } = new URL(url);
  try {
    // A request without frames: an edge refuses it, in the same way as the transports if they are refused.
    const response = await fetch(url, request(2, [], 'omit'));
    const refusal = await readRefusal(response);
    if (refusal.code !== 'hello') return response.ok ? null : refusal;
    const title = `cookies blocked by ${host} (CORS)`;
    return credentials === 'include' ? local('blocked', title) : null;
  } catch {
    try {
      // An opaque response: the host is reachable.
      await fetch(url, { cache: 'no-store', credentials: 'omit', mode: 'no-cors' });
      return local('blocked', `blocked by ${host} (CORS)`);
    } catch {
      return local('network', `no connection to ${host} (offline, DNS, TLS or CSP)`);
    }
  }
}
