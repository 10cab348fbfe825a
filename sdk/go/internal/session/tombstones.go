package session

import (
	"container/list"
)

// maxTombstones bounds the tombstones: only acknowledgements in flight at the loss of a call matter, and no call has that
// many in flight.
const maxTombstones = 4096

// attachment is the call that serves a stream, and the epoch of the owner of the partition.
type attachment struct {
	call  CallID
	epoch uint64
}

type tombstone struct {
	stream uint64
	// The attachment of the acknowledged end; nil once the acknowledgement may be lost.
	at *attachment
}

// tombstones are the ended streams, the oldest first. If the acknowledgement of an end is lost with the call, the core
// delivers the stream again.
type tombstones struct {
	order   *list.List
	streams map[uint64]*list.Element
}

func newTombstones() tombstones { return tombstones{list.New(), map[uint64]*list.Element{}} }

func (t *tombstones) insert(stream uint64, at *attachment) {
	t.remove(stream)
	if t.order.Len() == maxTombstones {
		t.remove(t.order.Front().Value.(*tombstone).stream)
	}
	t.streams[stream] = t.order.PushBack(&tombstone{stream, at})
}

// remove removes a stream and returns whether the stream was present.
func (t *tombstones) remove(stream uint64) bool {
	element, isHere := t.streams[stream]
	if isHere {
		t.order.Remove(element)
		delete(t.streams, stream)
	}
	return isHere
}

// retain removes the streams of a partition that the owner, attached as given, did not start.
func (t *tombstones) retain(partition uint32, at attachment) {
	for _, each := range t.all() {
		if partitionOf(each.stream) == partition && (each.at == nil || *each.at != at) {
			t.remove(each.stream)
		}
	}
}

// detach detaches the streams of one partition, or of all, from a call.
func (t *tombstones) detach(id CallID, left *uint32) {
	for _, each := range t.all() {
		if each.at != nil && each.at.call == id && (left == nil || *left == partitionOf(each.stream)) {
			each.at = nil
		}
	}
}

func (t *tombstones) has(stream uint64) bool {
	_, isHere := t.streams[stream]
	return isHere
}

// isFreeFor returns whether the stream is present and attached to no call but id.
func (t *tombstones) isFreeFor(stream uint64, id CallID) bool {
	element, isHere := t.streams[stream]
	if !isHere {
		return false
	}
	at := element.Value.(*tombstone).at
	return at == nil || at.call == id
}

// detached returns the streams attached to no call.
func (t *tombstones) detached() []uint64 {
	var found []uint64
	for _, each := range t.all() {
		if each.at == nil {
			found = append(found, each.stream)
		}
	}
	return found
}

func (t *tombstones) all() []*tombstone {
	found := make([]*tombstone, 0, t.order.Len())
	for element := t.order.Front(); element != nil; element = element.Next() {
		found = append(found, element.Value.(*tombstone))
	}
	return found
}
