package main

import (
	"context"
	"fmt"
	"log"
	"maps"
	"slices"
	"sync"
	"time"

	"minerva.dev/minerva"
)

// room is the group of all members.
const room = "room"

// maxText is the longest line, in bytes.
const maxText = 1000

// jobStep is the time between two reports of a job.
const jobStep = 500 * time.Millisecond

// chat serves the members of one room. Lines go through the group, so several instances can share a room; the history and the
// presence are those of this instance.
type chat struct {
	logins  logins
	history *history
	streams *minerva.Streams

	mutex sync.Mutex
	// The connected streams by name.
	present map[string]int
}

func newChat(logins logins, history *history, streams *minerva.Streams) *chat {
	return &chat{logins: logins, history: history, streams: streams, present: map[string]int{}}
}

// attend serves one client from the start of the stream, or from the last acknowledged event, to the end.
func (c *chat) attend(ctx context.Context, stream *minerva.Stream) error {
	name, isValid := c.logins.nameOf(stream.Credentials())
	if !isValid {
		return stream.Reset("log in first")
	}
	if err := stream.SetLabel(ctx, name); err != nil {
		return err
	}
	if err := stream.Join(ctx, room); err != nil {
		return err
	}
	if stream.FirstSend() == 0 {
		if err := stream.SendJSON(ctx, map[string]any{"t": "history", "lines": c.history.lines()}); err != nil {
			return err
		}
		// Sends of Streams take another way to the core, and could arrive first.
		if err := stream.Durable(ctx); err != nil {
			return err
		}
	}
	isHere := true
	c.count(ctx, name, 1)
	defer func() {
		if isHere {
			c.count(context.WithoutCancel(ctx), name, -1)
		}
	}()
	for event := range stream.Events(ctx) {
		switch event := event.(type) {
		case minerva.Message:
			if err := c.onMessage(ctx, stream, name, event); err != nil {
				return err
			}
		case minerva.TransportChanged:
			if isConnected := event.Transports > 0; isConnected != isHere {
				isHere = isConnected
				c.count(ctx, name, map[bool]int{true: 1, false: -1}[isHere])
			}
		}
	}
	return nil
}

func (c *chat) onMessage(ctx context.Context, stream *minerva.Stream, name string, message minerva.Message) error {
	var found struct{ T, Text string }
	switch err := message.DecodeJSON(&found); {
	case err == nil && found.T == "say" && found.Text != "" && len(found.Text) <= maxText:
		return c.say(ctx, line{stream.Number(), message.Event, name, found.Text})
	case err == nil && found.T == "job":
		// The job outlives the stream, and need not be in this process.
		go c.work(context.WithoutCancel(ctx), name)
		return nil
	}
	return stream.SendJSON(ctx, map[string]any{"t": "error", "problem": "say a text of 1 to 1000 bytes, or start a job"})
}

// say stores a line and sends it to all members. A message that is delivered again after a crash has its line, and takes effect
// once at each member, because the send has the same key.
func (c *chat) say(ctx context.Context, said line) error {
	if err := c.history.add(said); err != nil {
		return err
	}
	key := fmt.Appendf(nil, "%d:%d", said.Stream, said.Event)
	return c.tell(ctx, map[string]any{"t": "line", "name": said.Name, "text": said.Text}, minerva.WithKey(key))
}

// count changes the number of connected streams of a member, and reports the present members to all.
func (c *chat) count(ctx context.Context, name string, change int) {
	c.mutex.Lock()
	c.present[name] += change
	if c.present[name] <= 0 {
		delete(c.present, name)
	}
	here := slices.Sorted(maps.Keys(c.present))
	c.mutex.Unlock()
	if err := c.tell(ctx, map[string]any{"t": "here", "names": here}); err != nil {
		log.Printf("presence is not reported: %v", err)
	}
}

func (c *chat) tell(ctx context.Context, value any, options ...minerva.SendOption) error {
	content, err := minerva.JSON(value)
	if err != nil {
		return err
	}
	_, err = c.streams.SendToGroup(ctx, "default", room, []minerva.Content{content}, options...)
	return err
}

// work is a background job that reports its progress to all streams of a member.
func (c *chat) work(ctx context.Context, name string) {
	for percent := 25; percent <= 100; percent += 25 {
		time.Sleep(jobStep)
		content, err := minerva.JSON(map[string]any{"t": "progress", "percent": percent})
		if err == nil {
			_, err = c.streams.Send(ctx, minerva.ByLabel("default", name), []minerva.Content{content})
		}
		if err != nil {
			log.Printf("progress is not reported: %v", err)
		}
	}
}
