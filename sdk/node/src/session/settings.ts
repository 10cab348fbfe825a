// The settings of one stream: limits, label and groups. They are sent again on each attachment, because a lost core may not
// have stored them. Changes of label and groups are numbered and confirmed. Pure; owned by the stream.
import type { Command, Long, SetLimits } from '../contract.js';
import { TooManyGroupsError } from './errors.js';

/** Most groups of one stream. */
const MAX_GROUPS = 64;
/** Most left groups to repeat on a new attachment; the alphabetically first is forgotten beyond. */
const MAX_LEFT = 256;

/** The name of a setting: a group has the prefix. */
const LIMITS = 'limits';
const LABEL = 'label';
const GROUP = 'group ';

/** The settings made by the app. */
export class Settings {
  private limits: SetLimits = {};
  private label: string | null = null;
  /** Joined groups (true) and left groups (false). */
  private readonly groups = new Map<string, boolean>();
  /** Settings not sent on this attachment, in order. */
  private pending = new Set<string>();
  private changes = 0;
  /** Token of the last Sync of this attachment: the number of the last change in front of it. */
  private syncSent = 0;
  private confirmed = 0;

  /** Changes the limits that are set in `limits`. */
  setLimits(limits: SetLimits): void {
    this.limits = { ...this.limits, ...limits };
    this.pending.add(LIMITS);
  }

  /** The outbox limit in messages, if set by the app. */
  get outboxMessages(): number | undefined {
    return this.limits.outbox_messages;
  }

  /** Sets the label. Like `join` and `leave` returns the number of the change. */
  setLabel(label: string): number {
    this.label = label;
    return this.change(LABEL);
  }

  join(group: string): number {
    const joined = [...this.groups.values()].filter(Boolean).length;
    if (!this.groups.get(group) && joined >= MAX_GROUPS) throw new TooManyGroupsError();
    this.groups.set(group, true);
    return this.change(GROUP + group);
  }

  leave(group: string): number {
    if (this.groups.get(group) !== false) {
      const left = [...this.groups].filter(([, isJoined]) => !isJoined).map(([name]) => name).sort();
      if (left.length >= MAX_LEFT) this.groups.delete(left[0]!);
    }
    this.groups.set(group, false);
    return this.change(GROUP + group);
  }

  /** The core has refused to add the stream to a group. */
  onRefused(group: string): void {
    this.groups.delete(group);
  }

  /** Whether the group was joined or left and the core has not refused the change. */
  hasChanged(group: string): boolean {
    return this.groups.has(group);
  }

  /** The core has confirmed all changes up to the token. */
  onSynced(token: number): void {
    this.confirmed = Math.max(this.confirmed, Math.min(token, this.changes));
  }

  /** The core has confirmed sends. Without Sync this confirms all commands in front. */
  onSendState(hasSync: boolean): void {
    if (!hasSync && this.pending.size === 0) this.confirmed = this.changes;
  }

  /** Whether a change is durable. */
  isConfirmed(change: number): boolean {
    return this.confirmed >= change;
  }

  /** Whether all changes are sent and some are not confirmed. */
  get awaitsConfirmation(): boolean {
    return this.pending.size === 0 && this.confirmed < this.changes;
  }

  /** Ends the attachment: all settings are sent on the next one. */
  detach(): void {
    this.syncSent = this.confirmed;
    const groups = [...this.groups.keys()].sort().map((group) => GROUP + group);
    const limits = Object.keys(this.limits).length > 0 ? [LIMITS] : [];
    this.pending = new Set([...limits, ...(this.label === null ? [] : [LABEL]), ...groups]);
  }

  get hasPending(): boolean {
    return this.pending.size > 0;
  }

  /** Whether a command is ready, for a core with or without Sync. */
  hasCommands(hasSync: boolean): boolean {
    return this.hasPending || (hasSync && this.syncSent < this.changes);
  }

  /** Takes the next command: the settings, then the Sync that confirms them. */
  nextCommand(stream: Long, hasSync: boolean): Command | null {
    for (const setting of this.pending) {
      this.pending.delete(setting);
      if (setting === LIMITS) return { set_limits: { stream, ...this.limits } };
      if (setting === LABEL) return { set_label: { stream, label: this.label ?? '' } };
      const group = setting.slice(GROUP.length);
      const isJoined = this.groups.get(group);
      if (isJoined !== undefined) return isJoined ? { join_group: { stream, group } } : { leave_group: { stream, group } };
    }
    if (!hasSync || this.syncSent >= this.changes) return null;
    this.syncSent = this.changes;
    return { sync: { stream, token: this.changes } };
  }

  /** A repeated setting keeps the old position; the last value is sent. */
  private change(setting: string): number {
    this.pending.add(setting);
    return ++this.changes;
  }
}
