/** Console lines about problems: one per cause and service, with the remedy. Used by the client. */
import type { Problem } from './stream/types.js';

/** Remedies by code. */
const REMEDIES: Record<string, string> = {
  origin: 'the operator can list the origin of this page in --origins',
  service: 'check the URL of the stream',
  unserved: 'start the application of the service and compare the names',
};

const logged = new Set<string>();

/** Logs a problem unless the same cause is logged already. */
export function logProblem(problem: Problem | null, service: string): void {
  if (!problem) return;
  const { code, title, after } = problem;
  const remedy = REMEDIES[code] ? `; ${REMEDIES[code]}` : '';
  const key = `Minerva: ${service}: ${title} (${code})${remedy}`;
  if (logged.has(key)) return;
  logged.add(key);
  console.warn(`${key}. Next attempt in ${Math.ceil(after / 1000)} s.`);
}
