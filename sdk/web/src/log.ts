/** Console lines about problems: one per cause and service, as text and code. Used by the client. */
import type { Problem } from './stream/types.js';

const logged = new Set<string>();

/** Logs a problem unless the same cause is logged already. */
export function logProblem(problem: Problem | null, service: string): void {
  if (!problem) return;
  const { code, title, after } = problem;
  const line = `Minerva: ${service}: ${title} (${code})`;
  if (logged.has(line)) return;
  logged.add(line);
  console.warn(`${line}. Next attempt in ${Math.ceil(after / 1000)} s.`);
}
