// Claim tags of the received events of one stream. After a rollback of the store a core may deliver another event under a
// received number, with another tag. Pure; owned by the stream.
import type { Long } from '../contract.js';

/** Most lines. A line is added when the partition has changed the owner; tags of older events become unknown. */
const MAX_LINES = 16;

/** The tags of received events: from which event on a tag applies. */
export class EventTags {
  private lines: { begins: number; tag: Long }[] = [];

  /** Notes that the events from `first` on, which are new, have this tag. */
  note(first: number, tag: Long): void {
    if (tag === this.last()) return;
    if (this.lines.length === MAX_LINES) this.lines.shift();
    this.lines.push({ begins: first, tag });
  }

  /** Tag of the last received event; 0 if unknown. */
  last(): Long {
    return this.lines.at(-1)?.tag ?? '0';
  }

  /** Whether an event from `first` up to, not including, `end` was received under another tag. */
  contradict(first: number, end: number, tag: Long): boolean {
    return this.lines.some(({ begins, tag: own }, index) => {
      const ends = this.lines[index + 1]?.begins ?? end;
      return differ(own, tag) && Math.max(begins, first) < Math.min(ends, end);
    });
  }
}

/** Whether both tags are known, and differ. */
export function differ(own: Long, other: Long): boolean {
  return own !== '0' && other !== '0' && own !== other;
}
