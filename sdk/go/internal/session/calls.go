package session

import (
	"math"
	"slices"

	"minerva.dev/minerva/internal/appv1"
)

// CallID identifies a call; never reused.
type CallID uint64

// MaxMessage is the length of the longest message of the protocol, in bytes.
const MaxMessage = 1_048_576

// partitionOf returns the partition of a stream: the upper 16 bits of the number.
func partitionOf(stream uint64) uint32 { return uint32(stream >> 48) }

// coreTraits are the limits and features of a core, from the registration.
type coreTraits struct {
	maxMessage                   int
	outboxMessages               uint32
	hasFinish, hasSync, hasKinds bool
}

func traitsOf(registered *appv1.Registered) coreTraits {
	has := func(feature string) bool { return slices.Contains(registered.GetFeatures(), feature) }
	return coreTraits{
		maxMessage:     int(min(registered.GetMaxMessageBytes(), MaxMessage)),
		outboxMessages: registered.GetOutboxMessages(),
		hasFinish:      has("finish"),
		hasSync:        has("sync"),
		hasKinds:       has("message-kinds"),
	}
}

// call is one open call.
type call struct {
	isRegistered bool
	traits       coreTraits
	// Attached streams with commands ready. A stream that has moved to another call is skipped.
	ready queue[uint64]
	// The epoch of the last claim on this call, per partition that the core claims to own.
	announced map[uint32]uint64
	// Per partition, the highest epoch announced by other calls, before or after this call began.
	competing map[uint32]uint64
	// Epochs of the ignored claims on this call: another call had announced a higher one.
	ignored map[uint32]uint64
}

// calls are the open calls of one instance, at most one per core: the streams with ready commands, and the current claims to
// partitions.
//
// Two cores may both claim a partition: the new owner, and a former owner whose events were in flight. The higher epoch
// wins, and events under a lower epoch are ignored. If the call with the higher epoch is lost, a late event and a store
// rollback cannot be distinguished: the call with the lower epoch is ended, and a new call settles the owner. The same
// applies if the call with the higher epoch leaves the partition.
type calls struct {
	live  map[CallID]*call
	begun CallID
}

func (c *calls) begin() CallID {
	began := &call{
		traits:    coreTraits{maxMessage: MaxMessage, outboxMessages: math.MaxUint32},
		announced: map[uint32]uint64{}, competing: map[uint32]uint64{}, ignored: map[uint32]uint64{},
	}
	for _, other := range c.live {
		for partition, epoch := range other.announced {
			raise(began.competing, partition, epoch)
		}
	}
	number := c.begun
	c.begun++
	c.live[number] = began
	return number
}

func (c *calls) end(id CallID) { delete(c.live, id) }

func (c *calls) onRegistered(id CallID, registered *appv1.Registered) {
	if live := c.live[id]; live != nil {
		live.isRegistered, live.traits = true, traitsOf(registered)
	}
}

func (c *calls) isRegistered(id CallID) bool {
	live := c.live[id]
	return live != nil && live.isRegistered
}

func (c *calls) traits(id CallID) coreTraits {
	if live := c.live[id]; live != nil {
		return live.traits
	}
	return coreTraits{maxMessage: MaxMessage, outboxMessages: math.MaxUint32}
}

// onAnnounced applies a claim: the core of the call owns a partition under this epoch. It returns whether the claim is
// current, and an error if a call that is lost by now has announced a higher epoch.
func (c *calls) onAnnounced(id CallID, partition uint32, epoch uint64) (bool, error) {
	live := c.live[id]
	if live == nil {
		return false, nil
	}
	if epoch < live.competing[partition] {
		live.ignored[partition] = epoch
		if c.isAnnouncedAbove(partition, epoch) {
			return false, nil
		}
		return false, broken("a partition was claimed under an older epoch than that of a lost call")
	}
	delete(live.ignored, partition)
	before := live.announced[partition]
	live.announced[partition] = epoch
	for number, other := range c.live {
		switch {
		case number == id:
		case epoch < before:
			// The claims of one core arrive in order, so a falling epoch means a store rollback.
			other.competing[partition] = epoch
		default:
			raise(other.competing, partition, epoch)
		}
	}
	return true, nil
}

// onLeft records that the core of the call has left a partition.
func (c *calls) onLeft(id CallID, partition uint32) {
	if live := c.live[id]; live != nil {
		delete(live.announced, partition)
		delete(live.ignored, partition)
		live.ready.retain(func(stream uint64) bool { return partitionOf(stream) != partition })
	}
}

// unsettled returns the calls with an ignored claim that may be the current one, because no call announces a higher epoch
// any more.
func (c *calls) unsettled() []CallID {
	var found []CallID
	for number, live := range c.live {
		for partition, epoch := range live.ignored {
			if !c.isAnnouncedAbove(partition, epoch) {
				found = append(found, number)
				break
			}
		}
	}
	slices.Sort(found)
	return found
}

// isStale returns whether another call has announced a higher epoch. Late events on this call are then expected.
func (c *calls) isStale(id CallID, partition uint32) bool {
	live := c.live[id]
	return live == nil || live.announced[partition] < live.competing[partition]
}

func (c *calls) pushReady(id CallID, stream uint64) {
	if live := c.live[id]; live != nil {
		live.ready.push(stream)
	}
}

// popReady takes the next stream with commands ready, in turn.
func (c *calls) popReady(id CallID) (uint64, bool) {
	live := c.live[id]
	if live == nil || live.ready.len() == 0 {
		return 0, false
	}
	return live.ready.pop(), true
}

// hasReady returns whether a stream may have commands ready for this call.
func (c *calls) hasReady(id CallID) bool {
	live := c.live[id]
	return live != nil && live.isRegistered && live.ready.len() > 0
}

func (c *calls) isAnnouncedAbove(partition uint32, epoch uint64) bool {
	for _, live := range c.live {
		if live.announced[partition] > epoch {
			return true
		}
	}
	return false
}

func raise(epochs map[uint32]uint64, partition uint32, epoch uint64) {
	epochs[partition] = max(epoch, epochs[partition])
}
