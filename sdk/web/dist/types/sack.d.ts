/** All strings up to `acked` (-1: none) and those listed in `beyond`. */
export interface Sack {
    readonly acked: number;
    readonly beyond: readonly number[];
}
/** Nothing received yet. */
export declare const NONE: Sack;
/** A window holds far fewer; a longer list is an attack or a defect. */
export declare const MAX_BEYOND = 4096;
/** Reads a SACK text; order and repeats in the list are kept. Null: malformed. */
export declare function parseSack(text: string): Sack | null;
/** Writes a SACK as it stands in frames and hellos. */
export declare function formatSack(sack: Sack): string;
