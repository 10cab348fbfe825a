/** Set of acknowledged messages: all numbers up to `acked` (-1 for none) and the ones listed in `beyond`. */
export interface Sack {
    readonly acked: number;
    readonly beyond: readonly number[];
}
/** Longest accepted `beyond` list. Windows are far smaller, so a longer list is an attack or a defect. */
export declare const MAX_BEYOND = 4096;
/** Parses a SACK text, keeping order and repetitions of the list; null if malformed. */
export declare function parseSack(text: string): Sack | null;
/** Formats a SACK for frames and hellos. */
export declare function formatSack(sack: Sack): string;
