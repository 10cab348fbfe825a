package main

import (
	"bufio"
	"encoding/json"
	"os"
	"sync"
)

// maxLines is the number of lines that a client receives when it joins: a screenful or two.
const maxLines = 50

// line is one line of the room. Stream and Event identify the message of the client, so that no message is stored twice.
type line struct {
	Stream uint64 `json:"stream"`
	Event  uint64 `json:"event"`
	Name   string `json:"name"`
	Text   string `json:"text"`
}

// history is the file of all lines, one JSON object each.
type history struct {
	mutex sync.Mutex
	file  *os.File
	last  []line
	// The last stored event of each stream.
	stored map[uint64]uint64
}

func openHistory(path string) (*history, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	opened := &history{file: file, stored: map[uint64]uint64{}}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 2<<20)
	for lines.Scan() {
		var found line
		// The last line of a crash may be incomplete: its message was not acknowledged, and is delivered again.
		if json.Unmarshal(lines.Bytes(), &found) == nil {
			opened.note(found)
		}
	}
	return opened, lines.Err()
}

// add stores a line once: an event that is delivered again after a crash has its line already.
func (h *history) add(added line) error {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if added.Event <= h.stored[added.Stream] {
		return nil
	}
	encoded, err := json.Marshal(added)
	if err != nil {
		return err
	}
	// A line break in front ends an incomplete line.
	if _, err := h.file.Write(append(append([]byte("\n"), encoded...), '\n')); err != nil {
		return err
	}
	if err := h.file.Sync(); err != nil {
		return err
	}
	h.note(added)
	return nil
}

func (h *history) note(added line) {
	h.stored[added.Stream] = added.Event
	h.last = append(h.last, added)
	h.last = h.last[max(len(h.last)-maxLines, 0):]
}

func (h *history) lines() []line {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return append([]line{}, h.last...)
}
