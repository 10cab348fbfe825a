/** Declarations of the Node.js APIs used by the tests; the client itself must use none of them. */
declare module 'node:test' {
  export default function test(name: string, body: () => void | Promise<void>): void;
}
declare const process: { readonly env: Record<string, string | undefined> };
declare module 'node:assert/strict' {
  interface Assert {
    (value: unknown, message?: string): asserts value;
    equal(actual: unknown, expected: unknown, message?: string): void;
    deepEqual(actual: unknown, expected: unknown, message?: string): void;
    throws(body: () => unknown, expected?: new (...args: never[]) => Error): void;
    rejects(promise: Promise<unknown>, expected?: RegExp | { readonly name?: string; readonly message?: string | RegExp }): Promise<void>;
    match(text: string, expected: RegExp): void;
    fail(message: string): never;
  }
  const assert: Assert;
  export default assert;
}
declare module 'node:events' {
  export function getEventListeners(target: EventTarget, type: string): unknown[];
}
declare module 'node:fs' {
  export function readFileSync(path: string | URL, encoding: 'utf8'): string;
  export function readdirSync(path: string, options: { recursive: true }): string[];
}
declare module 'node:http' {
  interface Socket {
    write(data: string | Uint8Array): void;
    on(event: 'data', listener: (data: Uint8Array) => void): void;
    on(event: 'error' | 'close', listener: () => void): void;
    end(): void;
    destroy(): void;
  }
  interface IncomingMessage extends AsyncIterable<Uint8Array> {
    readonly url: string;
    readonly method: string;
    readonly headers: Record<string, string | undefined>;
  }
  interface ServerResponse {
    writeHead(status: number, headers?: Record<string, string>): void;
    write(text: string): void;
    end(text?: string): void;
    destroy(): void;
    on(event: 'close', listener: () => void): void;
  }
  interface Server {
    listen(port: number, host: string, done: () => void): void;
    address(): { port: number };
    close(): void;
    closeAllConnections(): void;
    on(event: 'upgrade', listener: (request: IncomingMessage, socket: Socket) => void): void;
  }
  export function createServer(
    listener: (request: IncomingMessage, response: ServerResponse) => void,
  ): Server;
}
declare module 'node:crypto' {
  export function createHash(name: string): { update(text: string): { digest(encoding: 'base64'): string } };
}
