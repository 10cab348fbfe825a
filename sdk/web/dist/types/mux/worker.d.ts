/** Connects a tab. */
export declare function connectTab(port: MessagePort): void;
