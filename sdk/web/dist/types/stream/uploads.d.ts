/**
 * When an upload is due: one at a time, never a third HTTP connection, none for what goes another way. Used
 * by the stream machine.
 */
import type { Course } from './course.js';
import type { Dialogue } from './dialogue.js';
import { Retry } from './retry.js';
import type { Transports } from './transports.js';
import type { Ending, Transport } from './types.js';
export declare class Uploads {
    readonly transports: Transports;
    readonly dialogue: Dialogue;
    readonly course: Course;
    readonly retry: Retry;
    constructor(transports: Transports, dialogue: Dialogue, course: Course, random: () => number);
    /** There is something to upload, as soon as `retry` allows it. */
    get due(): boolean;
    /** Adds own strings to the frames of an upload that begins. */
    load(upload: Transport, frames: string[], now: number): void;
    onGone(upload: Transport, ending: Ending, now: number): void;
}
