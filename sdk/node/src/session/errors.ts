// Errors of the session machine: a full or ended send queue, and a core that breaks the contract.

/** Why a message was not queued: no room now, the stream is over, or the app has finished the stream. */
export type QueueProblem = 'no room' | 'over' | 'finished';

export class QueueError extends Error {
  constructor(readonly problem: QueueProblem) {
    super(problem);
  }
}

/** A core broke the contract, or a claim cannot be verified: the call must be ended. */
export class ContractError extends Error {}

/** The stream is in the maximal number of groups. */
export class TooManyGroupsError extends Error {}
