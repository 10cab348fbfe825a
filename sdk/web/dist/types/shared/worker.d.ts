/** Runs in the worker: owns the stream and the ports of the tabs. */
export declare function serveSharedStream(scope: {
    name: string;
    onconnect: unknown;
}): void;
