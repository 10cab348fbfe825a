package session

// maxLines bounds the lines of eventTags. A line is added when the partition has changed the owner; tags of older events
// become unknown.
const maxLines = 16

type tagLine struct{ first, tag uint64 }

// eventTags are the claim tags of the received events of one stream: from which event on a tag applies. After a rollback of
// the store a core may deliver another event under a received number, with another tag.
type eventTags struct{ lines []tagLine }

// note records that the events from first on, which are new, have this tag.
func (t *eventTags) note(first, tag uint64) {
	if tag == t.last() {
		return
	}
	if len(t.lines) == maxLines {
		t.lines = append(t.lines[:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, tagLine{first, tag})
}

// last returns the tag of the last received event; 0 if unknown.
func (t *eventTags) last() uint64 {
	if len(t.lines) == 0 {
		return 0
	}
	return t.lines[len(t.lines)-1].tag
}

// contradict returns whether an event from first up to, not including, end was received under another tag.
func (t *eventTags) contradict(first, end, tag uint64) bool {
	for index, line := range t.lines {
		ends := end
		if index+1 < len(t.lines) {
			ends = t.lines[index+1].first
		}
		if differ(line.tag, tag) && max(line.first, first) < min(ends, end) {
			return true
		}
	}
	return false
}

// differ returns whether both tags are known and differ.
func differ(own, other uint64) bool { return own != 0 && other != 0 && own != other }
